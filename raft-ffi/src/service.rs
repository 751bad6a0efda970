//! A service's life, and the cluster that it takes part in.

// Chapter: Service: life and cluster

use crate::bytes::{text, timeout};
use crate::config::{self, Taken, quorate_config};
use crate::guard::{blocking, fail, guard, quietly, refuse_in_callback};
use crate::handle::Table;
use crate::queue::{self, quorate_queue};
use crate::result::quorate_error;
use crate::status::{QUORATE_OK, quorate_status};
use quorate_engine::consensus::types::NodeId;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::service::Service;
use std::ffi::{CString, c_char};
use std::sync::Arc;

/// A timeout_ms without end; any negative number is. (A change of membership then waits as long as
/// the setting node_proposal_timeout says, and goes on.)
pub const QUORATE_FOREVER: i64 = -1;

/// A running instance: one member, or one that may become one.
pub struct quorate_service {
    _opaque: [u8; 0],
}

/// StartRaft. Opens the store, the state machine and the listener, and starts the threads. A new
/// data directory gives a Standalone service, another one what it was. The hooks in `config` move
/// to the service, also on failure but IN_CALLBACK; `config` can then only be freed. `out` must not
/// be NULL. Errors: INVALID, ADDRESS_IN_USE, IO, LOCKED, CORRUPT, IDENTITY, VERSION, UNSUPPORTED,
/// STATE_MACHINE, the fatal ones when `open` fails. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_start(
    config: *mut quorate_config,
    out: *mut *mut quorate_service,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        let Taken { settings, machine, parts } = config::take(config)?;
        if out.is_null() {
            return fail(ErrorKind::Invalid, "out is NULL: where would the service go?");
        }
        let running = Running::new(Service::start_with(settings, Box::new(machine), parts)?);
        // SAFETY: not NULL, so by the contract of the header a place for the service.
        unsafe { out.write(SERVICES.insert(running)?) };
        Ok(QUORATE_OK)
    })
}

/// Stops the service and its threads, hooks included. Whoever waits gets INTERRUPTED, trackers
/// their last value. Looking goes on to work; everything else returns CLOSED, or what the service
/// had failed with. A second close returns QUORATE_OK. Errors: IN_CALLBACK; a fatal code when the
/// service had failed, closed all the same. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_close(
    service: *mut quorate_service,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || find(service)?.service.close().map(|()| QUORATE_OK))
}

/// Closes if that was not done, and frees; no hook is called any more when it returns. In a callback
/// it does nothing, because it would wait for that. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_service_free(service: *mut quorate_service) {
    quietly((), || {
        refuse_in_callback()?;
        // The threads must be gone when this returns, even if another call still holds the service.
        SERVICES.remove(service)?.service.close()
    });
}

/// Makes this Standalone service a cluster of one that others can be added to, its data kept.
/// `address` is the host:port at which the others reach this node. Returns when that is committed.
/// Errors: ALREADY_MEMBER, UNREACHABLE (not this node answers there), CHANGE_IN_PROGRESS, NOT_LEADER
/// (of itself, just after the start), BUSY, TIMEOUT, LEADERSHIP_LOST. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_initialize_cluster(
    service: *mut quorate_service,
    address: *const c_char,
    timeout_ms: i64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        // SAFETY: by the contract of the header it ends with NUL.
        let address = unsafe { text(address, "address") }?;
        find(service)?.service.initialize_cluster(address, timeout(timeout_ms))?;
        Ok(QUORATE_OK)
    })
}

/// Asks who is at `address`, lets that node catch up as a learner, and adds it by joint consensus.
/// On any member. Returns when the final configuration is applied here. Half-done changes are
/// finished by whoever leads; after a TIMEOUT the change goes on, and quorate_service_remove_node
/// cancels it.
/// Errors: NO_CLUSTER, ALREADY_MEMBER, OTHER_CLUSTER, HAS_DATA, UNREACHABLE, CHANGE_IN_PROGRESS,
/// NOT_LEADER, BUSY, TIMEOUT, LEADERSHIP_LOST, LEFT_CLUSTER. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_add_node(
    service: *mut quorate_service,
    address: *const c_char,
    timeout_ms: i64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        // SAFETY: by the contract of the header it ends with NUL.
        let address = unsafe { text(address, "address") }?;
        find(service)?.service.add_node(address, timeout(timeout_ms))?;
        Ok(QUORATE_OK)
    })
}

/// Removes a member, this node and the leader included. It becomes Standalone with its data,
/// durably, and can be added again. Errors: NO_CLUSTER, NOT_FOUND, CHANGE_IN_PROGRESS, NOT_LEADER,
/// BUSY, TIMEOUT, LEADERSHIP_LOST, LEFT_CLUSTER. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_remove_node(
    service: *mut quorate_service,
    node_id: u64,
    timeout_ms: i64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    blocking(err, || {
        find(service)?.service.remove_node(NodeId(node_id), timeout(timeout_ms))?;
        Ok(QUORATE_OK)
    })
}

/// From now on every event of this service arrives in `queue` as a completion with this token
/// (QUORATE_EVENT_*): its present state and leader first, then every change, until the queue is
/// freed or QUORATE_EVENT_CLOSED has come, which stands for the states Stopping and Stopped too.
/// Non-blocking. Errors: INVALID, CLOSED. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_subscribe(
    service: *mut quorate_service,
    queue: *mut quorate_queue,
    token: u64,
    err: *mut *mut quorate_error,
) -> quorate_status {
    guard(err, || {
        find(service)?.service.subscribe(&queue::queue(queue)?, token)?;
        Ok(QUORATE_OK)
    })
}

static SERVICES: Table<Running> = Table::new(0xa3, "service");

/// A service, and what of it C borrows for as long as it has the handle.
pub(crate) struct Running {
    pub(crate) service: Service,
    pub(crate) address: Option<CString>,
}

impl Running {
    fn new(service: Service) -> Running {
        let address = service.address().and_then(|address| CString::new(address).ok());
        Running { service, address }
    }
}

/// The service behind a handle.
pub(crate) fn find(service: *const quorate_service) -> Result<Arc<Running>, Error> {
    SERVICES.get(service)
}
