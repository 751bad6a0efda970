//! Members and configurations, as results.

// Chapter: Nodes

use crate::block::Block;
use crate::bytes::{array, text, value};
use crate::guard::quietly;
use crate::result::new_text;
use quorate_engine::consensus::membership::Member;
use quorate_engine::consensus::types::{NodeId, parse_base36};
use quorate_engine::error::Error;
use quorate_engine::status::NodeList;
use std::ffi::c_char;
use std::mem::size_of;
use std::ptr;

/// A member of a cluster. Stands in arrays.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_node {
    pub node_id: u64,
    /// host:port, ends with NUL.
    pub address: *const c_char,
    pub reserved: [u64; 2],
}

/// A configuration. A result: quorate_free.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct quorate_node_list {
    /// The voters; during joint consensus the old ones.
    pub current: *const quorate_node,
    pub current_len: usize,
    /// The new voters; empty except during joint consensus.
    pub next: *const quorate_node,
    pub next_len: usize,
    /// GetUniqueNodes: current, then those of next that are not in it.
    pub unique: *const quorate_node,
    pub unique_len: usize,
    /// 0 in this version. Index of the entry that made it; 0 when Standalone. Since: 0.3
    pub index: u64,
    /// Nodes that are sent the log and do not vote, such as one that catches up.
    pub learners: *const quorate_node,
    pub learners_len: usize,
}

/// The node of that id, voter or learner, inside `list`, or NULL. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_list_get_node(
    list: *const quorate_node_list,
    node_id: u64,
) -> *const quorate_node {
    quietly(ptr::null(), || {
        // SAFETY: by the contract of the header, a list that is not freed.
        let list = unsafe { View::of(list) }?;
        let everyone = list.unique.iter().chain(list.learners);
        let found = everyone.into_iter().find(|node| node.node_id == node_id);
        Ok(found.map_or(ptr::null(), ptr::from_ref))
    })
}

/// "NodeList{Current:a, b, Next:c}", with addresses alone. A result: quorate_free. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_list_string(list: *const quorate_node_list) -> *mut c_char {
    quietly(ptr::null_mut(), || {
        // SAFETY: by the contract of the header, a list that is not freed.
        let list = unsafe { View::of(list) }?;
        let (current, next) = (addresses(list.current)?, addresses(list.next)?);
        let next = if next.is_empty() { next } else { format!(", Next:{next}") };
        Ok(new_text(&format!("NodeList{{Current:{current}{next}}}")))
    })
}

/// "Node{<id in base 36>: <address>}". A result: quorate_free. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_string(node: *const quorate_node) -> *mut c_char {
    quietly(ptr::null_mut(), || {
        // SAFETY: by the contract of the header, a node of a list that is not freed.
        let (node, address) = unsafe {
            let node = value(node, "node")?;
            (node, text(node.address, "address")?)
        };
        Ok(new_text(&format!("Node{{{}: {address}}}", NodeId(node.node_id))))
    })
}

// Section: Ids as text.

/// Bytes that quorate_node_id_format writes at most, the NUL included.
pub const QUORATE_NODE_ID_SIZE: usize = 14;

/// Writes a node or cluster id in base 36, lower case, without padding, with a NUL. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_id_format(node_id: u64, out: *mut c_char) {
    let text = NodeId(node_id).to_string();
    if out.is_null() || text.len() >= QUORATE_NODE_ID_SIZE {
        return;
    }
    // SAFETY: by the contract of the header `out` has room for QUORATE_NODE_ID_SIZE bytes.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), out.cast(), text.len());
        out.add(text.len()).write(0);
    }
}

/// Reads base 36. 0 for anything that is not an id, never an error. Since: 0.1
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_id_parse(text: *const c_char) -> u64 {
    // SAFETY: by the contract of the header it ends with NUL.
    unsafe { crate::bytes::text(text, "text") }.map_or(0, parse_base36)
}

/// The arrays of a list.
struct View<'a> {
    current: &'a [quorate_node],
    next: &'a [quorate_node],
    unique: &'a [quorate_node],
    learners: &'a [quorate_node],
}

impl<'a> View<'a> {
    /// # Safety
    /// `list` is NULL, or readable with its arrays for `'a`.
    unsafe fn of(list: *const quorate_node_list) -> Result<View<'a>, Error> {
        // SAFETY: by the contract of this function.
        unsafe {
            let list = value(list, "list")?;
            Ok(View {
                current: array(list.current, list.current_len, "list.current")?,
                next: array(list.next, list.next_len, "list.next")?,
                unique: array(list.unique, list.unique_len, "list.unique")?,
                learners: array(list.learners, list.learners_len, "list.learners")?,
            })
        }
    }
}

/// The addresses of some nodes.
fn addresses(nodes: &[quorate_node]) -> Result<String, Error> {
    let addresses = nodes.iter().map(|node| {
        // SAFETY: by the contract of the header the address of a node ends with NUL.
        unsafe { text(node.address, "address") }
    });
    Ok(addresses.collect::<Result<Vec<_>, _>>()?.join(", "))
}

/// What members take in a block: bytes of the array, and of the addresses.
pub(crate) fn room(members: &[Member]) -> (usize, usize) {
    (size_of::<quorate_node>() * members.len(), members.iter().map(|m| m.address.len() + 1).sum())
}

/// Puts the addresses of members into a block and returns the nodes, which are still to be put.
pub(crate) fn put(block: &mut Block, members: &[Member]) -> Vec<quorate_node> {
    let put = |member: &Member| quorate_node {
        node_id: member.id.0,
        address: block.text(member.address.as_bytes()),
        reserved: [0; 2],
    };
    members.iter().map(put).collect()
}

/// A configuration as a result.
pub(crate) fn new_node_list(list: &NodeList) -> *mut quorate_node_list {
    let parts = [&list.current, &list.next, &list.learners].map(|members| room(members));
    let texts = parts.iter().map(|part| part.1).sum();
    // Those of `unique` are the first two parts again; the texts are shared.
    let nodes = 2 * (parts[0].0 + parts[1].0) + parts[2].0;
    let mut block = Block::new::<quorate_node_list>(nodes, texts);
    let current = put(&mut block, &list.current);
    let next = put(&mut block, &list.next);
    let learners = put(&mut block, &list.learners);
    let unique = unique(&current, &next);
    let head = quorate_node_list {
        current: block.array(&current),
        current_len: current.len(),
        next: block.array(&next),
        next_len: next.len(),
        unique: block.array(&unique),
        unique_len: unique.len(),
        index: 0,
        learners: block.array(&learners),
        learners_len: learners.len(),
    };
    block.finish(head)
}

fn unique(current: &[quorate_node], next: &[quorate_node]) -> Vec<quorate_node> {
    let is_new = |node: &&quorate_node| !current.iter().any(|known| known.node_id == node.node_id);
    current.iter().chain(next.iter().filter(is_new)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::quorate_free;
    use std::ffi::CStr;

    fn member(id: u64, address: &str) -> Member {
        Member { id: NodeId(id), address: address.into() }
    }

    fn take_text(text: *mut c_char) -> String {
        // SAFETY: it was just made, and is freed here alone.
        unsafe {
            let copy = CStr::from_ptr(text).to_str().expect("it is text").to_owned();
            quorate_free(text.cast());
            copy
        }
    }

    #[test]
    fn a_list_has_every_node_and_each_unique_one_once() {
        let list = new_node_list(&NodeList {
            current: vec![member(1, "a:1"), member(2, "b:2")],
            next: vec![member(2, "b:2"), member(36, "c:3")],
            learners: vec![member(4, "d:4")],
        });
        // SAFETY: the list lives until the end of the test.
        unsafe {
            let view = View::of(list).expect("it is well-formed");
            let ids = |nodes: &[quorate_node]| nodes.iter().map(|n| n.node_id).collect::<Vec<_>>();
            assert_eq!(ids(view.current), [1, 2]);
            assert_eq!(ids(view.next), [2, 36]);
            assert_eq!(ids(view.unique), [1, 2, 36]);
            assert_eq!(ids(view.learners), [4]);
            assert_eq!(take_text(quorate_node_string(view.next.as_ptr().add(1))), "Node{10: c:3}");
            assert_eq!((*quorate_node_list_get_node(list, 4)).node_id, 4);
            assert!(quorate_node_list_get_node(list, 5).is_null());
            assert_eq!(
                take_text(quorate_node_list_string(list)),
                "NodeList{Current:a:1, b:2, Next:b:2, c:3}"
            );
            quorate_free(list.cast());
        }
    }

    #[test]
    fn an_empty_list_is_one() {
        let list = new_node_list(&NodeList::default());
        // SAFETY: it lives until it is freed.
        unsafe {
            assert_eq!(take_text(quorate_node_list_string(list)), "NodeList{Current:}");
            quorate_free(list.cast());
        }
    }
}
