//! Handles: numbers in the guise of pointers, looked up in a table and never dereferenced. Only so
//! can the use of a freed handle be an error instead of undefined behaviour.
//!
//! A number is, from its top: 8 bits that name the type, 8 bits that make it no valid address on
//! any machine that we build for (nor one of Go's heap), 24 bits of generation, 24 bits of slot. A
//! slot whose generations are used up is never used again, so no number ever names two things.

use crate::guard::fail;
use quorate_engine::error::{Error, ErrorKind};
use quorate_engine::os;
use std::ptr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

const NO_ADDRESS: usize = 0x5a << 48;
const BITS: u32 = 24;
const MASK: usize = (1 << BITS) - 1;

/// All living things of one type.
pub(crate) struct Table<T> {
    tag: u8,
    name: &'static str,
    slots: RwLock<Slots<T>>,
}

struct Slots<T> {
    slots: Vec<Slot<T>>,
    vacant: Vec<usize>,
}

struct Slot<T> {
    generation: usize,
    thing: Option<Arc<T>>,
}

impl<T> Table<T> {
    /// `tag` is of this table alone, and not 0.
    pub(crate) const fn new(tag: u8, name: &'static str) -> Table<T> {
        Table { tag, name, slots: RwLock::new(Slots { slots: Vec::new(), vacant: Vec::new() }) }
    }

    /// Gives a thing its handle; an error when there are 2^24 of them.
    pub(crate) fn insert<H>(&self, thing: T) -> Result<*mut H, Error> {
        os::watch_forks();
        let mut slots = self.write();
        let Some(slot) = slots.vacate() else {
            return fail(
                ErrorKind::Busy,
                format!("there are too many of a {}: free some", self.name),
            );
        };
        slots.slots[slot].thing = Some(Arc::new(thing));
        Ok(ptr::without_provenance_mut(self.number(slot, slots.slots[slot].generation)))
    }

    /// The thing, which then lives at least as long as the call that asks.
    pub(crate) fn get<H>(&self, handle: *const H) -> Result<Arc<T>, Error> {
        let slot = self.slot_of(handle.addr())?;
        let slots = self.read();
        let found = slots.slots.get(slot).filter(|s| self.names(handle.addr(), slot, s));
        found.and_then(|s| s.thing.clone()).map_or_else(|| self.freed(), Ok)
    }

    /// Takes the thing out; the handle is dead from now on.
    pub(crate) fn remove<H>(&self, handle: *const H) -> Result<Arc<T>, Error> {
        let slot = self.slot_of(handle.addr())?;
        let mut slots = self.write();
        let found = slots.slots.get_mut(slot).filter(|s| self.names(handle.addr(), slot, s));
        let Some(thing) = found.and_then(|s| s.thing.take()) else { return self.freed() };
        slots.retire(slot);
        Ok(thing)
    }

    fn number(&self, slot: usize, generation: usize) -> usize {
        usize::from(self.tag) << 56 | NO_ADDRESS | generation << BITS | slot
    }

    fn names(&self, number: usize, slot: usize, found: &Slot<T>) -> bool {
        self.number(slot, found.generation) == number
    }

    fn slot_of(&self, number: usize) -> Result<usize, Error> {
        let shape = usize::from(self.tag) << 56 | NO_ADDRESS;
        match number {
            0 => fail(ErrorKind::Invalid, format!("the {} is NULL", self.name)),
            _ if number >> (2 * BITS) == shape >> (2 * BITS) => Ok(number & MASK),
            _ => fail(ErrorKind::Invalid, format!("this is no handle of a {}", self.name)),
        }
    }

    fn freed<R>(&self) -> Result<R, Error> {
        fail(ErrorKind::Closed, format!("the {} was freed", self.name))
    }

    fn read(&self) -> RwLockReadGuard<'_, Slots<T>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Slots<T>> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Slots<T> {
    /// A slot that is free.
    fn vacate(&mut self) -> Option<usize> {
        if let Some(slot) = self.vacant.pop() {
            return Some(slot);
        }
        let slot = self.slots.len();
        self.slots.push(Slot { generation: 1, thing: None });
        (slot <= MASK).then_some(slot)
    }

    /// Makes a slot free for its next generation.
    fn retire(&mut self, slot: usize) {
        if self.slots[slot].generation < MASK {
            self.slots[slot].generation += 1;
            self.vacant.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Thing {}

    fn kind_of<T>(result: Result<T, Error>) -> Option<ErrorKind> {
        result.err().map(|error| error.kind)
    }

    #[test]
    fn a_freed_handle_stays_dead_when_its_slot_lives_again() {
        let table = Table::new(1, "thing");
        let first: *mut Thing = table.insert("first").expect("there is room");
        assert_eq!(*table.get(first).expect("it lives"), "first");
        assert_eq!(*table.remove(first).expect("it lives"), "first");
        let second: *mut Thing = table.insert("second").expect("there is room");
        assert_eq!(first.addr() & MASK, second.addr() & MASK, "the slot is used again");
        assert_eq!(kind_of(table.get(first)), Some(ErrorKind::Closed));
        assert_eq!(kind_of(table.remove(first)), Some(ErrorKind::Closed));
        assert_eq!(*table.get(second).expect("it lives"), "second");
    }

    #[test]
    fn what_is_no_handle_of_the_type_is_invalid() {
        let (ours, others) = (Table::new(1, "thing"), Table::new(2, "other"));
        let _ours: *mut Thing = ours.insert(()).expect("there is room");
        let other: *mut Thing = others.insert(()).expect("there is room");
        let local = 0u8;
        for wrong in [ptr::null(), other.cast_const(), ptr::from_ref(&local).cast()] {
            assert_eq!(kind_of(ours.get(wrong)), Some(ErrorKind::Invalid));
        }
        let beyond: *const Thing = ptr::without_provenance(ours.number(5, 1));
        assert_eq!(kind_of(ours.get(beyond)), Some(ErrorKind::Closed));
    }

    #[test]
    fn a_slot_without_generations_left_is_given_up() {
        let table = Table::new(1, "thing");
        let mut handle: *mut Thing = table.insert(0).expect("there is room");
        table.write().slots[0].generation = MASK;
        handle = ptr::without_provenance_mut(handle.addr() | MASK << BITS);
        table.remove(handle).expect("it lives");
        let next: *mut Thing = table.insert(1).expect("there is room");
        assert_eq!(next.addr() & MASK, 1);
        assert!(table.get(handle).is_err());
    }

    #[test]
    fn a_handle_is_no_address() {
        let handle: *mut Thing = Table::new(0xa1, "thing").insert(()).expect("there is room");
        assert_eq!(handle.addr() >> 48, 0xa15a);
    }
}
