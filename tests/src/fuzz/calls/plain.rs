//! Calls that need no handle: texts of numbers, ids, nodes, frames, results.

use super::caller::{Caller, Text, free};
use super::world::Standing;
use quorate::config::quorate_config_setting;
use quorate::node::*;
use quorate::page::*;
use quorate::result::quorate_error_new;
use quorate::status::*;
use quorate::transport::quorate_frame_kind;
use quorate::version::*;
use std::ffi::{CStr, c_char};
use std::ptr;

/// Reads a static text.
fn read(text: *const c_char) {
    // SAFETY: static texts end with NUL.
    let text = unsafe { CStr::from_ptr(text) };
    assert!(!text.to_str().expect("they are UTF-8").is_empty());
}

/// Lengths that no array has.
const IMPOSSIBLE: [usize; 3] = [usize::MAX, usize::MAX / 2 + 1, usize::MAX / 32 + 1];

impl Caller<'_, '_> {
    pub fn numbers(&mut self) {
        let number = self.input.u32() as i32;
        let number = if self.input.flag() { number } else { number % 8 };
        read(quorate_status_string(number));
        read(quorate_state_string(number));
        read(quorate_membership_change_mode_string(number));
        read(quorate_loop_command_string(number));
        read(quorate_version());
        assert_eq!(quorate_abi_version(), QUORATE_ABI_VERSION);
        assert!((0..=3).contains(&quorate_status_outcome(number)));
        assert_eq!(quorate_status_outcome(number) == 0, number >= 0);
    }

    pub fn node_ids(&mut self) {
        let id = self.input.u64();
        let mut out = [0x7f; QUORATE_NODE_ID_SIZE];
        // SAFETY: there is room for as many bytes as the header says.
        unsafe {
            quorate_node_id_format(id, out.as_mut_ptr());
            quorate_node_id_format(id, ptr::null_mut());
            assert_eq!(quorate_node_id_parse(out.as_ptr()), id);
            quorate_node_id_parse(
                self.text(&["0", "zz", "3w5e11264sgsf", "3w5e11264sgsg"]).as_ptr(),
            );
        }
    }

    /// A list of the host's own, parts of which are missing or have impossible lengths.
    pub fn node_lists(&mut self) {
        let addresses: Vec<Text> = (0..self.input.below(4)).map(|_| self.text(&["a:1"])).collect();
        let node = |text: &Text| quorate_node {
            node_id: 1 + addresses.len() as u64,
            address: text.as_ptr(),
            reserved: [0; 2],
        };
        let nodes: Vec<quorate_node> = addresses.iter().map(node).collect();
        let mut part = || match self.input.u8() % 8 {
            0 => (ptr::null(), usize::from(self.input.u8())),
            1 => (nodes.as_ptr(), self.input.one_of(&IMPOSSIBLE)),
            2 => (nodes.as_ptr().wrapping_byte_add(1), nodes.len()),
            _ => (nodes.as_ptr(), nodes.len()),
        };
        let [current, next, unique, learners] = [part(), part(), part(), part()];
        let list = quorate_node_list {
            current: current.0,
            current_len: current.1,
            next: next.0,
            next_len: next.1,
            unique: unique.0,
            unique_len: unique.1,
            index: 0,
            learners: learners.0,
            learners_len: learners.1,
        };
        let list = if self.input.u8() == 0 { ptr::null() } else { &raw const list };
        self.read_list(list);
        self.read_node(nodes.first().map_or(ptr::null(), ptr::from_ref));
    }

    /// # Panics
    /// When what the library says of it can't be read.
    pub fn read_list(&mut self, list: *const quorate_node_list) {
        let id = u64::from(self.input.u8());
        // SAFETY: the list is NULL, or its arrays are readable where their lengths are possible.
        let (text, found) =
            unsafe { (quorate_node_list_string(list), quorate_node_list_get_node(list, id)) };
        self.read_text(text);
        self.read_node(found);
    }

    fn read_node(&mut self, node: *const quorate_node) {
        // SAFETY: a node of a list that lives, or NULL.
        let text = unsafe { quorate_node_string(node) };
        self.read_text(text);
    }

    /// Reads a text that is a result, and frees or keeps it.
    pub fn read_text(&mut self, text: *mut c_char) {
        if text.is_null() {
            return;
        }
        // SAFETY: a result that is ours alone.
        unsafe { CStr::from_ptr(text) }.to_str().expect("texts are UTF-8");
        match self.input.below(4) {
            3 => self.world.keep(text, false),
            _ => free(text.expose_provenance()),
        }
    }

    pub fn errors(&mut self) {
        let message = self.text(&["no memory", ""]);
        // SAFETY: the text is NULL or ends with NUL.
        let error = unsafe { quorate_error_new(message.as_ptr()) };
        assert!(!error.is_null());
        self.world.keep(error, true);
    }

    pub fn free_one(&mut self) {
        self.free_result();
    }

    /// What is no result is left alone: the middle of one, memory of our own, a handle, any number.
    pub fn free_what_is_no_result(&mut self) {
        let number = self.input.below(256);
        let mine = 7u64;
        let address = match self.input.below(4) {
            0 => self.world.some_result(number) + 8,
            1 => (&raw const mine).addr(),
            2 => self.world.handles(|_| true).first().map_or(0, |handle| handle.number),
            _ => self.input.u64() as usize | 1,
        };
        free(address);
        assert_eq!(mine, 7);
    }

    pub fn settings(&mut self) {
        let at = self.input.below(32);
        let setting = quorate_config_setting(if at == 31 { usize::MAX } else { at });
        // SAFETY: NULL, or a static structure of static texts.
        if let Some(setting) = unsafe { setting.as_ref() } {
            [setting.key, setting.unit, setting.meaning].into_iter().for_each(read);
        }
    }

    pub fn frame_kinds(&mut self) {
        let frame = self.some_frame();
        let (data, len) = self.frame_as_given(&frame);
        // SAFETY: NULL, or as many readable bytes where the length is possible.
        let status = unsafe { quorate_frame_kind(data, len) };
        self.judge("quorate_frame_kind", Standing::Any, status);
        assert!(status <= 3);
    }

    /// A frame that was to be sent, perhaps with changed bytes, or any bytes.
    pub fn some_frame(&mut self) -> Vec<u8> {
        let mut frame = match self.input.below(4) {
            0 => self.input.piece().to_vec(),
            number => self.world.frame(number * self.input.below(16)),
        };
        for _ in 0..self.input.below(3) {
            let at = usize::from(self.input.u16()) % frame.len().max(1);
            let bits = self.input.u8();
            frame.get_mut(at).into_iter().for_each(|byte| *byte ^= bits);
        }
        frame
    }

    /// Pointer and length, not always those of the frame.
    pub fn frame_as_given(&mut self, frame: &[u8]) -> (*const std::ffi::c_void, usize) {
        match self.input.u8() {
            0 => (ptr::null(), frame.len()),
            1 => (frame.as_ptr().cast(), self.input.one_of(&IMPOSSIBLE[..2])),
            2 => (frame.as_ptr().cast(), frame.len() / 2),
            _ => (frame.as_ptr().cast(), frame.len()),
        }
    }
}
