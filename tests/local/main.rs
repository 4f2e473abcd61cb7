//! Tests of `devicestate local`: the real binary, with the real handler as its child, on free ports and files of its own.

mod dying_handlers;
mod function_apps;
mod inputs;
mod real_telemetry;
mod support;
