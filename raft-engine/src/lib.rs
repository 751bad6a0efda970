//! quorate: an embeddable Raft consensus library. This crate is its engine; programs in C, C++,
//! Python and Go reach it through `quorate.h` and the bindings.

pub mod change;
pub mod codec;
pub mod consensus;
pub mod error;
pub mod queue;
pub mod service;
pub mod settings;
pub mod state_machine;
pub mod status;
pub mod storage;
pub mod tracker;
pub mod transport;
