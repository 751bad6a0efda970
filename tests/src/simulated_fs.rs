//! A simulated disk: everything that is not synced may be lost, sector by sector; any call can fail;
//! the power can be cut. All of it by seed.
//!
//! The model: a file has what programs see and what is on the disk. Writes are split into sectors of
//! 512 bytes, of which a power cut keeps any. Changes of names and lengths go through a journal, of
//! which it keeps a beginning. After a sync that failed, what was to be synced is seen and never
//! reaches the disk, as Linux does it.

use quorate_engine::storage::fs::{Access, Birth, File, Fs};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: u64 = 512;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The call fails with EIO, and what it was to do may be half done.
    Eio,
    /// The call fails with ENOSPC.
    Enospc,
    /// The power is cut: this call and all later ones fail.
    PowerCut,
}

/// A disk. Cloning gives another handle.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

#[derive(Clone)]
struct World {
    dice: Dice,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since the last sync of their directory, in order.
    journal: Vec<NameChange>,
    dirs: BTreeSet<PathBuf>,
    inodes: Vec<Inode>,
    /// Calls so far, and the one that goes wrong.
    calls: u64,
    fault: Option<(u64, Fault)>,
    is_off: bool,
    /// Bytes that files may take in all.
    space: u64,
    /// The disk before each call, since somebody wanted that.
    recorded: Option<Vec<Image>>,
}

/// A disk at one moment.
#[derive(Clone)]
pub struct Image(Box<World>);

impl Image {
    /// A disk with what a power cut may have left at that moment; the seed decides what.
    #[must_use]
    pub fn after_a_power_cut(&self, seed: u64) -> SimDisk {
        let mut world = World { dice: Dice(seed), ..(*self.0).clone() };
        world.power_cut();
        SimDisk(Arc::new(Mutex::new(world)))
    }
}

#[derive(Clone)]
struct NameChange {
    dir: PathBuf,
    name: PathBuf,
    inode: Option<usize>,
}

#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    birth: u64,
    is_locked: bool,
}

#[derive(Clone)]
enum Change {
    Bytes(u64, Vec<u8>),
    Len(u64),
}

/// Numbers by seed (SplitMix64).
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(World {
            dice: Dice(seed),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            journal: Vec::new(),
            dirs: BTreeSet::new(),
            inodes: Vec::new(),
            calls: 0,
            fault: None,
            is_off: false,
            space: u64::MAX,
            recorded: None,
        })))
    }

    /// Lets the call after the next `calls` go wrong.
    pub fn fail_after(&self, calls: u64, fault: Fault) {
        let mut world = self.world();
        world.fault = Some((world.calls + calls, fault));
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.world().calls
    }

    /// Limits what all files together may take to what they take now and `bytes` more.
    pub fn leave_space(&self, bytes: u64) {
        let mut world = self.world();
        world.space = world.used().saturating_add(bytes);
    }

    /// Loses what a power cut loses, and switches on again.
    pub fn power_cut(&self) {
        self.world().power_cut();
    }

    /// Another disk with the same content.
    #[must_use]
    pub fn copy(&self) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(self.world().clone())))
    }

    /// Another disk with what a power cut would leave of this one, which goes on.
    #[must_use]
    pub fn after_a_power_cut(&self) -> SimDisk {
        let mut world = self.world().clone();
        world.power_cut();
        SimDisk(Arc::new(Mutex::new(world)))
    }

    /// From now on the disk as it is before each call is kept.
    pub fn record(&self) {
        self.world().recorded = Some(Vec::new());
    }

    /// What was kept since the last time, and the present.
    #[must_use]
    pub fn recorded(&self) -> Vec<Image> {
        let mut world = self.world();
        let mut images = world.recorded.replace(Vec::new()).unwrap_or_default();
        images.push(world.image());
        images
    }

    /// Changes what a file holds, seen and on the disk, as a bad sector would.
    pub fn harm(&self, path: &Path, change: impl Fn(&mut Vec<u8>)) {
        let mut world = self.world();
        let Ok(inode) = world.inode(path) else { return };
        change(&mut world.inodes[inode].seen);
        change(&mut world.inodes[inode].durable);
    }

    /// No fault any more.
    pub fn heal(&self) {
        let mut world = self.world();
        (world.fault, world.is_off) = (None, false);
    }

    /// What programs see in all files.
    #[must_use]
    pub fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let world = self.world();
        let see =
            |(path, inode): (&PathBuf, &usize)| (path.clone(), world.inodes[*inode].seen.clone());
        world.names.iter().map(see).collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no test panics in here")
    }
}

fn off() -> io::Error {
    io::Error::other("the power is off")
}

fn enospc() -> io::Error {
    io::ErrorKind::StorageFull.into()
}

impl World {
    /// Counts a call and says whether it goes wrong.
    fn call(&mut self) -> Result<(), io::Error> {
        if self.is_off {
            return Err(off());
        }
        self.calls += 1;
        if self.recorded.is_some() {
            let image = self.image();
            self.recorded.as_mut().into_iter().for_each(|all| all.push(image.clone()));
        }
        match self.fault {
            Some((at, fault)) if self.calls > at => {
                self.fault = None;
                self.is_off = fault == Fault::PowerCut;
                Err(match fault {
                    Fault::Eio => io::Error::from_raw_os_error(5),
                    Fault::Enospc => enospc(),
                    Fault::PowerCut => off(),
                })
            }
            _ => Ok(()),
        }
    }

    fn image(&mut self) -> Image {
        let recorded = self.recorded.take();
        let image = Image(Box::new(self.clone()));
        self.recorded = recorded;
        image
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].seen.len() as u64).sum()
    }

    fn inode(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, name: &Path, inode: Option<usize>) {
        match inode {
            Some(inode) => self.names.insert(name.into(), inode),
            None => self.names.remove(name),
        };
        let dir = name.parent().expect("files stand in directories").into();
        self.journal.push(NameChange { dir, name: name.into(), inode });
    }

    fn make(&mut self, path: &Path) -> usize {
        let birth = 1 + self.inodes.len() as u64;
        self.inodes.push(Inode { birth, ..Inode::default() });
        self.name(path, Some(self.inodes.len() - 1));
        self.inodes.len() - 1
    }

    fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
        match change.inode {
            Some(inode) => names.insert(change.name.clone(), inode),
            None => names.remove(&change.name),
        };
    }

    fn sync_dir(&mut self, dir: &Path) {
        let (synced, rest) = self.journal.drain(..).partition(|change| change.dir == dir);
        self.journal = rest;
        let synced: Vec<NameChange> = synced;
        synced.iter().for_each(|change| Self::apply(&mut self.durable_names, change));
    }

    fn power_cut(&mut self) {
        let kept = self.dice.below(self.journal.len() as u64 + 1) as usize;
        for change in self.journal.drain(..).take(kept).collect::<Vec<_>>() {
            Self::apply(&mut self.durable_names, &change);
        }
        self.names = self.durable_names.clone();
        for inode in &mut self.inodes {
            inode.power_cut(&mut self.dice);
        }
        (self.is_off, self.fault) = (false, None);
    }
}

impl Inode {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        write_into(&mut self.seen, offset, bytes);
        let mut at = 0;
        while at < bytes.len() {
            let room = SECTOR - (offset + at as u64) % SECTOR;
            let end = bytes.len().min(at + room as usize);
            self.pending.push(Change::Bytes(offset + at as u64, bytes[at..end].to_vec()));
            at = end;
        }
    }

    fn set_len(&mut self, len: u64) {
        self.seen.resize(len as usize, 0);
        self.pending.push(Change::Len(len));
    }

    /// What was written since the last sync reaches the disk; what an earlier sync lost does not.
    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Bytes(offset, bytes) => write_into(&mut self.durable, offset, &bytes),
                Change::Len(len) => self.durable.resize(len as usize, 0),
            }
        }
    }

    /// Any sectors are kept, none or all too, and a beginning of the changes of length.
    fn power_cut(&mut self, dice: &mut Dice) {
        let until = dice.below(self.pending.len() as u64 + 1) as usize;
        let odds = [0, 1, 4, 4, 4, 7, 8, 8][dice.below(8) as usize];
        for (at, change) in self.pending.drain(..).enumerate() {
            match change {
                Change::Bytes(offset, bytes) if dice.below(8) < odds => {
                    write_into(&mut self.durable, offset, &bytes);
                }
                Change::Len(len) if at < until => self.durable.resize(len as usize, 0),
                Change::Bytes(..) | Change::Len(_) => {}
            }
        }
        self.seen.clone_from(&self.durable);
        self.is_locked = false;
    }
}

fn write_into(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let end = offset as usize + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset as usize..end].copy_from_slice(bytes);
}

impl Fs for SimDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call()?;
        world.dirs.insert(path.into());
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut world = self.world();
        world.call()?;
        if !world.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|p| Some(p.file_name()?.to_string_lossy().into())).collect())
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let mut world = self.world();
        world.call()?;
        let inode = match (world.inode(path), access) {
            (Ok(inode), Access::Create) => {
                world.inodes[inode].set_len(0);
                inode
            }
            (Err(_), Access::Create) => world.make(path),
            (found, _) => found?,
        };
        Ok(Box::new(SimFile { disk: self.clone(), inode, holds_lock: Mutex::new(false) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call()?;
        let inode = world.inode(from)?;
        world.name(to, Some(inode));
        world.name(from, None);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call()?;
        world.inode(path)?;
        world.name(path, None);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.call()?;
        world.sync_dir(path);
        Ok(())
    }

    fn birth(&self, path: &Path) -> io::Result<Option<Birth>> {
        let mut world = self.world();
        world.call()?;
        let seconds = world.inodes[world.inode(path)?].birth;
        Ok(Some(Birth { seconds, nanoseconds: 0 }))
    }

    fn random(&self) -> io::Result<u64> {
        Ok(self.world().dice.roll())
    }

    fn has_threads(&self) -> bool {
        false
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
    holds_lock: Mutex<bool>,
}

impl SimFile {
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Inode, &mut Dice, io::Result<()>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut world = self.disk.world();
        let called = world.call();
        let World { inodes, dice, .. } = &mut *world;
        work(&mut inodes[self.inode], dice, called)
    }

    fn grow(&self, end: u64) -> io::Result<()> {
        let world = self.disk.world();
        let more = end.saturating_sub(world.inodes[self.inode].seen.len() as u64);
        if world.used() + more > world.space { Err(enospc()) } else { Ok(()) }
    }
}

impl File for SimFile {
    fn lock(&self) -> io::Result<bool> {
        self.with(|inode, _, called| {
            called?;
            let free = !std::mem::replace(&mut inode.is_locked, true);
            *self.holds_lock.lock().expect("one thread") |= free;
            Ok(free)
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.with(|inode, _, called| called.map(|()| inode.seen.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|inode, _, called| {
            called?;
            let rest = inode.seen.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes = parts.iter().map(|part| &part[..]).collect::<Vec<&[u8]>>().concat();
        self.grow(offset + bytes.len() as u64)?;
        self.with(|inode, dice, called| {
            let failed = called.is_err();
            let len = if failed { dice.below(bytes.len() as u64) as usize } else { bytes.len() };
            inode.write(offset, &bytes[..len]);
            called
        })
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        self.grow(len)?;
        self.with(|inode, _, called| called.map(|()| inode.set_len(len)))?;
        Ok(true)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.with(|inode, _, called| called.map(|()| inode.set_len(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|inode, _, called| {
            match &called {
                Ok(()) => inode.sync(),
                Err(e) if e.raw_os_error() == Some(5) => inode.pending.clear(),
                Err(_) => {}
            }
            called
        })
    }

    fn evict(&self) -> io::Result<()> {
        self.with(|inode, _, called| {
            called?;
            if inode.pending.is_empty() {
                inode.seen.clone_from(&inode.durable);
            }
            Ok(())
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if self.holds_lock.lock().is_ok_and(|held| *held)
            && let Ok(mut world) = self.disk.0.lock()
        {
            world.inodes[self.inode].is_locked = false;
        }
    }
}
