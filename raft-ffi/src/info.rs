//! Looking at a service: nothing here changes anything, and all of it works after close.

// Chapter: Service: looking

use crate::block::Block;
use crate::guard::{fail, guard, quietly};
use crate::node::{new_node_list, quorate_node_list};
use crate::page::{quorate_membership_change_mode, quorate_state};
use crate::result::new_text;
use crate::service::{Running, find, quorate_service};
use crate::status::{QUORATE_OK, quorate_status};
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::status::{ProtocolStatus, Report};
use std::ffi::c_char;
use std::mem::{size_of, size_of_val};
use std::ptr;

/// The page's plain getters, all of one moment.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_info {
    pub struct_size: u32,
    pub state: quorate_state,
    pub membership_change_mode: quorate_membership_change_mode,
    /// With state Failed the fatal code, else 0.
    pub failure: quorate_status,
    pub my_id: u64,
    /// 0 in no cluster.
    pub cluster_id: u64,
    /// 0 unknown; on the leader its own.
    pub leader_id: u64,
    pub current_term: u64,
    pub commit_index: u64,
    pub last_applied: u64,
    /// Bounds of the local log; 0 when empty.
    pub first_index: u64,
    pub last_index: u64,
    pub last_term: u64,
    /// Where the listener really is, host:port; NULL without one. Valid until the service is freed.
    pub address: *const c_char,
    /// 0 in this version. Index of the newest snapshot. Since: 0.2
    pub snapshot_index: u64,
}

// Verbatim: #define QUORATE_INFO_INIT \
// Verbatim:     {(uint32_t)sizeof(quorate_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0}

/// Fills `out`. One call for all, because the values belong together. Non-blocking.
/// Errors: INVALID. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_info(
    service: *const quorate_service,
    out: *mut quorate_info,
) -> quorate_status {
    guard(ptr::null_mut(), || {
        let service = find(service)?;
        if out.is_null() || !out.is_aligned() {
            return fail(ErrorKind::Invalid, "out is NULL");
        }
        // SAFETY: not NULL, and by the contract of the header as large as it says.
        let struct_size = unsafe { (&raw const (*out).struct_size).read() };
        if (struct_size as usize) < size_of::<quorate_info>() {
            return fail(ErrorKind::Invalid, "out.struct_size: start with QUORATE_INFO_INIT");
        }
        // SAFETY: likewise; what lies beyond this structure is left alone.
        unsafe { out.write(info(&service, struct_size)) };
        Ok(QUORATE_OK)
    })
}

// Section: The members, and how far each one is.

/// The configuration in force; empty when Standalone. A result: quorate_free. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_node_config(
    service: *const quorate_service,
) -> *mut quorate_node_list {
    quietly(ptr::null_mut(), || Ok(new_node_list(&find(service)?.service.node_config())))
}

/// Stands in arrays.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_peer_index {
    pub node_id: u64,
    /// The last index that this member is known to hold durably.
    pub index: u64,
    pub reserved: [u64; 2],
}

/// ProtocolStatus. A result: quorate_free.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_protocol_status {
    /// On a leader one for each member, itself included; Standalone none; else NULL.
    pub peer_indices: *const quorate_peer_index,
    pub peer_indices_len: usize,
}

/// A result: quorate_free. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_raft_status(
    service: *const quorate_service,
) -> *mut quorate_protocol_status {
    quietly(ptr::null_mut(), || Ok(protocol_status(&find(service)?.service.raft_status())))
}

// Section: Texts for people and tools.

/// Everything, with peers, queues, settings and failure: one JSON object.
pub const QUORATE_REPORT_JSON: i32 = 0;
/// Metrics as Prometheus text, version 0.0.4.
pub const QUORATE_REPORT_PROMETHEUS: i32 = 1;

/// A text of kind QUORATE_REPORT_*, NULL for an unknown one. A result: quorate_free. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_service_report(
    service: *const quorate_service,
    report: i32,
) -> *mut c_char {
    quietly(ptr::null_mut(), || Ok(new_text(&find(service)?.service.report(kind(report)?))))
}

fn kind(report: i32) -> Result<Report, Error> {
    match report {
        QUORATE_REPORT_JSON => Ok(Report::Json),
        QUORATE_REPORT_PROMETHEUS => Ok(Report::Prometheus),
        other => fail(ErrorKind::Invalid, format!("report {other} is none of QUORATE_REPORT_*")),
    }
}

fn info(running: &Running, struct_size: u32) -> quorate_info {
    let info = running.service.info();
    quorate_info {
        struct_size,
        state: info.state as i32,
        membership_change_mode: info.membership_change_mode as i32,
        failure: info.failure.map_or(QUORATE_OK, ErrorKind::code),
        my_id: info.my_id.0,
        cluster_id: info.cluster_id.0,
        leader_id: info.leader_id.0,
        current_term: info.current_term.0,
        commit_index: info.commit_index.0,
        last_applied: info.last_applied.0,
        first_index: info.first_index.0,
        last_index: info.last_index.0,
        last_term: info.last_term.0,
        address: running.address.as_ref().map_or(ptr::null(), |address| address.as_ptr()),
        snapshot_index: 0,
    }
}

fn protocol_status(status: &ProtocolStatus) -> *mut quorate_protocol_status {
    let Some(indices) = &status.peer_indices else {
        let none = quorate_protocol_status { peer_indices: ptr::null(), peer_indices_len: 0 };
        return Block::new::<quorate_protocol_status>(0, 0).finish(none);
    };
    let rows = indices.iter().map(|(id, index)| quorate_peer_index {
        node_id: id.0,
        index: index.0,
        reserved: [0; 2],
    });
    let rows: Vec<quorate_peer_index> = rows.collect();
    let mut block = Block::new::<quorate_protocol_status>(size_of_val(rows.as_slice()), 0);
    let peer_indices = block.array(&rows);
    block.finish(quorate_protocol_status { peer_indices, peer_indices_len: rows.len() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::quorate_free;
    use quorate_engine::consensus::types::{Index, NodeId};
    use std::collections::BTreeMap;

    fn seen(peer_indices: Option<BTreeMap<NodeId, Index>>) -> Option<Vec<(u64, u64)>> {
        let status = protocol_status(&ProtocolStatus { peer_indices });
        // SAFETY: it lives until it is freed, here.
        unsafe {
            let (rows, len) = ((*status).peer_indices, (*status).peer_indices_len);
            let rows = (!rows.is_null()).then(|| std::slice::from_raw_parts(rows, len));
            let rows = rows.map(|rows| rows.iter().map(|row| (row.node_id, row.index)).collect());
            quorate_free(status.cast());
            rows
        }
    }

    #[test]
    fn no_leader_and_no_peers_are_told_apart() {
        assert_eq!(seen(None), None);
        assert_eq!(seen(Some(BTreeMap::new())), Some(vec![]));
        let two = [(NodeId(1), Index(7)), (NodeId(2), Index(5))].into();
        assert_eq!(seen(Some(two)), Some(vec![(1, 7), (2, 5)]));
    }
}
