//! The few file operations that stores use, as a trait, so that a simulated disk can stand in and let
//! any of them fail.
//!
//! All unsafe code of the stores is here. What must hold: a write has reached the file whole or gives
//! an error; nothing is durable before the sync that follows it; a name is durable once its directory
//! was synced.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::UNIX_EPOCH;

/// How to open a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// To read a file that exists.
    Read,
    /// To read and write a file that exists.
    Write,
    /// To read and write; made when missing, emptied when not.
    Create,
}

/// When a file was made, in seconds and nanoseconds since 1970. It can't be set, so a copy has another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Birth {
    /// Seconds.
    pub seconds: u64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

/// A file system.
pub trait Fs: Send + Sync {
    /// Makes a directory and what is missing above it, durably; likewise when it is there already.
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory; `NotFound` when there is none.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>>;

    /// Renames a file; one that has the name already is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// When the file was made; `None` where the file system does not say.
    fn birth(&self, path: &Path) -> io::Result<Option<Birth>>;

    /// A number that nobody can guess.
    fn random(&self) -> io::Result<u64>;

    /// Whether work may be done on a thread of its own. A simulated disk says no, to keep the order of
    /// calls the same in each run.
    fn has_threads(&self) -> bool {
        true
    }
}

/// An open file; closed when dropped.
pub trait File: Send + Sync {
    /// Locks the file for as long as it is open; `false` when somebody else has locked it.
    fn lock(&self) -> io::Result<bool>;

    /// Its length.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buffer.len()` bytes, fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all parts, one after the other. Consumes the slices.
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;

    /// Makes the file that long and reserves the space, so that writing there can't fail for want of
    /// it; false where the file system can't reserve. New bytes read as zero, and still cost a change
    /// of metadata when they are first written.
    fn allocate(&self, len: u64) -> io::Result<bool>;

    /// Cuts the file.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// Makes the content durable, and the length. The file is open for writing.
    fn sync_data(&self) -> io::Result<()>;

    /// Drops what is cached and clean, as far as the system lets us, so that the next read asks the
    /// disk: after a sync that failed, the cache holds what the disk does not.
    fn evict(&self) -> io::Result<()>;
}

/// The file system of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Fs for Disk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                let _ = self.sync_dir(parent(path)); // whoever made it may have been stopped before
                return Ok(());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && path.parent().is_some() => {
                self.make_dir(parent(path))?;
                fs::create_dir(path)?;
            }
            made => made?,
        }
        self.sync_dir(parent(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into())).collect()
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn File>> {
        let writes = access != Access::Read;
        let create = access == Access::Create;
        let file = fs::OpenOptions::new()
            .read(true)
            .write(writes)
            .create(create)
            .truncate(create)
            .custom_flags(libc::O_CLOEXEC)
            .open(path)?;
        Ok(Box::new(DiskFile(file, AtomicBool::new(false))))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn birth(&self, path: &Path) -> io::Result<Option<Birth>> {
        let made = fs::metadata(path)?.created().ok();
        let since = made.and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        Ok(since.map(|t| Birth { seconds: t.as_secs(), nanoseconds: t.subsec_nanos() }))
    }

    fn random(&self) -> io::Result<u64> {
        let mut bytes = [0u8; 8];
        // SAFETY: the buffer is writable for as many bytes as the call is told.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if got == 8 { Ok(u64::from_le_bytes(bytes)) } else { Err(io::Error::last_os_error()) }
    }
}

/// The directory that a path stands in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A file, and whether we have locked it.
struct DiskFile(fs::File, AtomicBool);

impl Drop for DiskFile {
    /// Closing is not enough: while a program forks, a child has the same file open for a moment.
    fn drop(&mut self) {
        if *self.1.get_mut() {
            let _ = self.0.unlock(); // closing comes next in any case
        }
    }
}

/// The file system that a directory lies on, for a store whose files are written by somebody else.
#[cfg(feature = "sled")]
pub(super) struct Volume(fs::File);

#[cfg(feature = "sled")]
impl Volume {
    pub fn of(dir: &Path) -> io::Result<Volume> {
        fs::File::open(dir).map(Volume)
    }

    /// Makes durable whatever was written to any of its files, by us or by others.
    pub fn sync(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open; the call touches no memory of ours.
        match unsafe { libc::syncfs(self.0.as_raw_fd()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// How much we may still write.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the descriptor is open, and the buffer is one that the call fills.
        if unsafe { libc::fstatvfs(self.0.as_raw_fd(), found.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so it has written all of it.
        let found = unsafe { found.assume_init() };
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

/// The most parts that one system call takes.
const PARTS_MAX: usize = 1024;

impl File for DiskFile {
    fn lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => {
                self.1.store(true, Ordering::Relaxed);
                Ok(true)
            }
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.0.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, mut parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0); // drops empty parts in front
        while !parts.is_empty() {
            let count = parts.len().min(PARTS_MAX);
            // SAFETY: an IoSlice has the layout of an iovec (std promises that), and all of them
            // borrow memory that outlives the call.
            let n = unsafe {
                libc::pwritev(
                    self.0.as_raw_fd(),
                    parts.as_ptr().cast(),
                    count as i32,
                    offset as i64,
                )
            };
            match usize::try_from(n) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    offset += n as u64;
                    IoSlice::advance_slices(&mut parts, n);
                }
                Err(_) => retry_if_interrupted()?,
            }
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        // SAFETY: the descriptor is open; the call touches no memory of ours.
        while unsafe { libc::fallocate(self.0.as_raw_fd(), 0, 0, len as i64) } != 0 {
            let e = io::Error::last_os_error();
            match e.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => {
                    return self.0.set_len(len).map(|()| false);
                }
                _ => return Err(e),
            }
        }
        Ok(true)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    /// Writes nothing afterwards, which fails where the file system has stopped: ext4 may end a sync well
    /// whose extents it could not convert any more, because its journal was aborted meanwhile.
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()?;
        self.0.write_at(&[], 0).map(drop)
    }

    fn evict(&self) -> io::Result<()> {
        // SAFETY: the descriptor is open; advice touches no memory of ours.
        unsafe { libc::posix_fadvise(self.0.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        Ok(())
    }
}

fn retry_if_interrupted() -> io::Result<()> {
    match io::Error::last_os_error() {
        e if e.kind() == io::ErrorKind::Interrupted => Ok(()),
        e => Err(e),
    }
}

/// Faults of the thread itself; blocking them would only hide where it crashed.
const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];

/// Starts a thread that no signal of the host reaches: the mask is set before it begins to run.
pub(super) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` writes `all` whole before it is read, and `pthread_sigmask` writes `before`.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        for fault in FAULTS {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr())
    };
    let thread = std::thread::Builder::new().name(name.into()).spawn(work);
    if blocked == 0 {
        // SAFETY: `before` was written by the successful call above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    thread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_parts_are_written_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = Disk.open(&dir.path().join("f"), Access::Create).expect("opens");
        let bytes: Vec<[u8; 3]> = (0..3000u32).map(|n| [n as u8, (n >> 8) as u8, 7]).collect();
        let mut parts: Vec<IoSlice<'_>> = vec![IoSlice::new(&[])];
        parts.extend(bytes.iter().map(|b| IoSlice::new(b)));
        file.write_at(&mut parts, 5).expect("writes");
        let mut back = vec![0; 10_000];
        assert_eq!(file.read_at(&mut back, 5).expect("reads"), 9000);
        assert_eq!(back[..9000], bytes.concat());
    }

    #[test]
    fn a_directory_is_made_with_its_parents() {
        let dir = tempfile::tempdir().expect("a directory");
        let deep = dir.path().join("a/b/c");
        Disk.make_dir(&deep).expect("made");
        Disk.make_dir(&deep).expect("fine when it is there");
        assert_eq!(Disk.list(&deep).expect("lists"), Vec::<String>::new());
        let taken = dir.path().join("file");
        Disk.open(&taken, Access::Create).expect("made");
        Disk.make_dir(&taken).expect_err("a file is no directory");
    }

    #[test]
    fn a_lock_excludes_a_second_opening() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("LOCK");
        let first = Disk.open(&path, Access::Create).expect("opens");
        assert!(first.lock().expect("locks"));
        let second = Disk.open(&path, Access::Write).expect("opens");
        assert!(!second.lock().expect("asks"));
        drop(first);
        assert!(second.lock().expect("locks"));
    }

    #[test]
    fn space_is_reserved_and_reads_as_zero() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = Disk.open(&dir.path().join("f"), Access::Create).expect("opens");
        file.allocate(8192).expect("reserves");
        assert_eq!(file.len().expect("length"), 8192);
        file.write_at(&mut [IoSlice::new(b"x")], 10).expect("writes");
        file.sync_data().expect("syncs");
        file.evict().expect("evicts");
        let mut back = [1; 12];
        file.read_at(&mut back, 0).expect("reads");
        assert_eq!(&back, b"\0\0\0\0\0\0\0\0\0\0x\0");
        file.truncate(3).expect("cuts");
        assert_eq!(file.len().expect("length"), 3);
    }

    #[test]
    fn a_thread_blocks_signals_and_its_parent_does_not() {
        fn blocks(signal: i32) -> bool {
            let mut mask = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: the mask is written by the first call before the second reads it.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), mask.as_mut_ptr());
                libc::sigismember(mask.as_ptr(), signal) == 1
            }
        }
        let (tell, told) = std::sync::mpsc::channel();
        let work = move || tell.send(blocks(libc::SIGTERM) && blocks(libc::SIGPIPE)).expect("sent");
        spawn("quorate-prep", work).expect("starts").join().expect("ends");
        assert!(told.recv().expect("told"));
        assert!(!blocks(libc::SIGTERM));
    }
}
