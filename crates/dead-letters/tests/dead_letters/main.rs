//! The tools for dead letters over a queue in a file and a store that misbehaves on command.

mod audit;
mod redriving;
mod redriving_cut_off;
mod sessions;
