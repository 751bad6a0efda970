//! The module `quorate._quorate`: the engine's facade in Python's terms. The package around it
//! (`python/quorate`) adds what is better said in Python: exceptions, enumerations, futures, asyncio.
//!
//! What must hold: a call that waits has released the GIL; an engine thread attaches once for a batch,
//! never for an entry; whatever keeps a Python object alive on an engine thread lets it go while
//! attached; after a fork nothing here touches the engine of the parent.

use pyo3::prelude::*;

mod change;
mod completion;
mod conformance;
mod entry;
mod error;
mod event;
mod future;
mod guard;
mod hook;
mod logger;
mod parts;
mod queue;
mod service;
mod settings;
mod state_machine;
mod status;
mod storage;
mod submit;
mod thread_state;
mod tracker;
mod transport;
mod turn;
mod wait;
mod work;

#[pymodule]
mod _quorate {
    #[pymodule_export]
    use super::completion::{Position, Reply};
    #[pymodule_export]
    use super::conformance::check_storage;
    #[pymodule_export]
    use super::entry::Entry;
    #[pymodule_export]
    use super::error::error_kinds;
    #[pymodule_export]
    use super::event::Events;
    #[pymodule_export]
    use super::future::{Future, Futures};
    #[pymodule_export]
    use super::queue::Queue;
    #[pymodule_export]
    use super::service::Service;
    #[pymodule_export]
    use super::settings::settings;
    #[pymodule_export]
    use super::status::{format_node_id, parse_node_id};
    #[pymodule_export]
    use super::storage::Record;
    #[pymodule_export]
    use super::tracker::ChangeTracker;
    #[pymodule_export]
    use super::transport::frame_kind;
    #[pymodule_export]
    use super::turn::Turn;
    #[pymodule_export]
    use super::wait::settle;
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
