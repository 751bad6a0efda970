//! How much memory a piece of code takes: an allocator that counts what each thread has, and the most
//! that it had. A program that wants figures makes `Meter` its global allocator; in others they are 0.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// What all threads together have.
static ALL: AtomicIsize = AtomicIsize::new(0);

/// The system's allocator, counted.
pub struct Meter;

fn count(bytes: isize) {
    ALL.fetch_add(bytes, Ordering::Relaxed);
    let now = NOW.get() + bytes;
    NOW.set(now);
    MOST.set(MOST.get().max(now));
}

// SAFETY: all of it is passed on to the system's allocator; what is added touches two cells of the
// thread that need no memory and no drop.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: by the contract of this function.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: by the contract of this function.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: by the contract of this function.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// Bytes that the process has allocated and not freed.
pub fn living() -> isize {
    ALL.load(Ordering::Relaxed)
}

/// Does `work`, which may at no time take more than `limit` bytes beyond what this thread has now.
pub fn within<T>(limit: usize, work: impl FnOnce() -> T) -> T {
    let before = NOW.get();
    MOST.set(before);
    let done = work();
    let most = (MOST.get() - before).max(0) as usize;
    assert!(most <= limit, "it took {most} bytes of memory, {limit} are allowed");
    done
}
