//! The memory of a result: one allocation that holds the structure, then its arrays, then its
//! bytes, so that it is freed whole. Every living block is known by its address; freeing what is
//! not one, or not any more, does nothing. (A block that was freed, and whose address has become
//! that of another result since, can't be told from it.)

use quorate_engine::os;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::any::TypeId;
use std::collections::BTreeMap;
use std::ffi::c_char;
use std::mem::{align_of, size_of, size_of_val};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

const ALIGN: usize = 16;
const TOO_SMALL: &str = "the parts of a result are larger than was said";

/// Size and structure of each living block, by its address, disguised: so leak checkers, which look for
/// addresses, see a result that the host forgot to free.
static LIVING: Mutex<BTreeMap<usize, (usize, TypeId)>> = Mutex::new(BTreeMap::new());

fn living() -> MutexGuard<'static, BTreeMap<usize, (usize, TypeId)>> {
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A result in the making. The structure stands in front and is put there last, when all that it
/// points to has its place; arrays follow it, bytes follow them.
pub(crate) struct Block {
    base: *mut u8,
    size: usize,
    arrays_at: usize,
    texts_at: usize,
}

impl Block {
    /// Room for a `T`, for `arrays` bytes of arrays, and for `texts` bytes of texts with their
    /// NULs.
    pub(crate) fn new<T>(arrays: usize, texts: usize) -> Block {
        let size = size_of::<T>() + arrays + texts;
        let layout = layout(size);
        // SAFETY: the size is not 0, see `layout`.
        let base = unsafe { alloc_zeroed(layout) };
        if base.is_null() {
            handle_alloc_error(layout);
        }
        Block { base, size, arrays_at: size_of::<T>(), texts_at: size_of::<T>() + arrays }
    }

    /// Adds an array and returns where it stands.
    pub(crate) fn array<T: Copy>(&mut self, items: &[T]) -> *const T {
        assert!(size_of_val(items) <= self.size - self.arrays_at, "{TOO_SMALL}");
        assert!(self.arrays_at.is_multiple_of(align_of::<T>()), "arrays are of words");
        // SAFETY: the room is inside the block, of these items alone, and aligned, by the checks.
        let at = unsafe {
            let at = self.base.add(self.arrays_at).cast::<T>();
            ptr::copy_nonoverlapping(items.as_ptr(), at, items.len());
            at
        };
        self.arrays_at += size_of_val(items);
        at
    }

    /// Adds bytes and a NUL and returns where they stand.
    pub(crate) fn text(&mut self, text: &[u8]) -> *const c_char {
        assert!(text.len() < self.size - self.texts_at, "{TOO_SMALL}");
        // SAFETY: the room is inside the block and of these bytes alone; the NUL is there already.
        let at = unsafe {
            let at = self.base.add(self.texts_at);
            ptr::copy_nonoverlapping(text.as_ptr(), at, text.len());
            at
        };
        self.texts_at += text.len() + 1;
        at.cast()
    }

    /// Puts the structure in front and gives the block to the host.
    pub(crate) fn finish<T: Copy + 'static>(self, head: T) -> *mut T {
        os::watch_forks();
        let at = self.base.cast::<T>();
        // SAFETY: `new` left room for it in front, aligned as anything.
        unsafe { at.write(head) };
        living().insert(!self.base.addr(), (self.size, TypeId::of::<T>()));
        std::mem::forget(self);
        at
    }
}

/// A panic while a block is filled must not leak it.
impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: not finished, so nobody else has it.
        unsafe { dealloc(self.base, layout(self.size)) };
    }
}

/// Whether a pointer is a living result of that structure.
pub(crate) fn is_living<T: 'static>(result: *const T) -> bool {
    living().get(&!result.addr()).is_some_and(|(_, structure)| *structure == TypeId::of::<T>())
}

/// Frees a block; does nothing for what is none.
pub(crate) fn free(block: *mut u8) {
    let Some((size, _)) = living().remove(&!block.addr()) else { return };
    // SAFETY: it was made by `Block::new` with this size, and whoever takes it out frees it.
    unsafe { dealloc(block, layout(size)) };
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size.max(1), ALIGN).expect("what fits in memory has a layout")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    #[test]
    fn a_block_holds_its_parts_and_is_freed_once() {
        let numbers = [1u64, 2, 3];
        let mut block = Block::new::<[usize; 2]>(size_of_val(&numbers), 4);
        let (text, array) = (block.text(b"abc"), block.array(&numbers));
        let result = block.finish([array.addr(), text.addr()]);
        // SAFETY: all three stand in the block, which lives.
        unsafe {
            assert_eq!(std::slice::from_raw_parts(array, 3), numbers);
            assert_eq!(CStr::from_ptr(text), c"abc");
            assert_eq!(*result, [array.addr(), text.addr()]);
        }
        assert!(is_living(result) && !is_living(array) && !is_living(result.cast::<u8>()));
        free(result.cast());
        assert!(!is_living(result));
        free(result.cast());
    }

    #[test]
    fn what_is_no_result_is_left_alone() {
        let mut mine = 7u8;
        free(&raw mut mine);
        free(ptr::null_mut());
        assert_eq!(mine, 7);
    }

    #[test]
    #[should_panic(expected = "larger than was said")]
    fn parts_stay_inside() {
        Block::new::<u64>(8, 3).text(b"abc");
    }
}
