//! The port for watching a service: what people and tools may want to know when it happens. Nothing
//! depends on it.

use crate::consensus::ready::Notice;
use crate::error::Error;

/// Watches a service. Called from quorate-loop; a slow observer delays the protocol.
pub trait Observer: Send {
    /// Something happened in the protocol.
    fn notice(&mut self, notice: &Notice) {
        let _ = notice;
    }

    /// The service failed and stops.
    fn failed(&mut self, error: &Error) {
        let _ = error;
    }
}

/// Watches nothing.
#[derive(Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
