//! Replay and audit trail, over a queue in a file and a store with scripted faults.

mod audit;
mod faulty_devices;
mod identity;
mod iot_hub;
mod not_stored;
mod replaying;
mod replaying_cut_off;
mod scanning;
mod sessions;
