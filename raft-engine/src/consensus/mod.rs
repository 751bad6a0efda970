//! The protocol: Raft (Ongaro and Ousterhout 2014; Ongaro's thesis), pure and deterministic.

pub mod command;
pub mod config;
pub mod event;
pub mod membership;
pub mod message;
pub mod ready;
pub mod refusal;
pub mod types;
