//! What the tests of quorate share: a cluster of protocol cores in one thread, with disks, a network
//! and a clock that do what a test says, and the scripts that tell stories about it.

pub mod callers;
pub mod cluster;
pub mod disk;
pub mod fuzz;
pub mod golden;
pub mod journal;
pub mod linear;
pub mod model;
pub mod network;
pub mod node;
pub mod raw;
pub mod safety;
pub mod scene;
pub mod script;
pub mod search;
pub mod show;
pub mod sim;
pub mod simulated_fs;
pub mod words;
