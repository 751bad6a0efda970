//! quorate: an embeddable Raft consensus library. This crate is its engine; programs in C, C++,
//! Python and Go reach it through `quorate.h` and the bindings.

#[macro_use]
mod mutant;

pub mod change;
pub mod codec;
pub mod consensus;
#[cfg(feature = "runtime")]
mod driver;
pub mod error;
#[cfg(feature = "runtime")]
mod event;
#[cfg(feature = "runtime")]
pub mod logger;
pub mod os;
#[cfg(feature = "runtime")]
pub mod queue;
#[cfg(feature = "runtime")]
mod report;
#[cfg(feature = "runtime")]
mod request;
#[cfg(feature = "runtime")]
pub mod service;
#[cfg(feature = "runtime")]
pub mod settings;
#[cfg(feature = "runtime")]
mod slot;
pub mod state_machine;
pub mod status;
pub mod storage;
pub mod stored;
#[cfg(feature = "runtime")]
mod timer;
#[cfg(feature = "runtime")]
pub mod tracker;
pub mod transport;
