//! What the engine needs of Linux and the standard library does not offer: a clock that counts
//! suspended time, eventfd, threads that no signal of the host reaches, randomness, and two facts
//! about the calling thread: whether it runs a callback of the host, and whether it lives in a forked
//! child.
//!
//! Together with `storage/fs.rs` the only unsafe code of the engine.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Nanoseconds of CLOCK_BOOTTIME, which never goes back and counts suspended time.
#[must_use]
pub fn boottime_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid place for one timespec.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut now) };
    debug_assert_eq!(status, 0, "Linux has had this clock since 2.6.39");
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Fills `out` with random bytes of the system.
///
/// # Errors
/// When the system has none to give.
pub fn random(out: &mut [u8]) -> io::Result<()> {
    let mut filled = 0;
    while filled < out.len() {
        let rest = &mut out[filled..];
        // SAFETY: `rest` is writable for its whole length.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => filled += got,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// A random number.
///
/// # Errors
/// As `random`.
pub fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    random(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// A descriptor that is readable while it is raised.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A descriptor that is not raised.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new() -> io::Result<EventFd> {
        // SAFETY: the call takes no pointer.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and belongs to nobody else.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The descriptor, for polling only.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Whether it is raised.
    #[cfg(test)]
    pub(crate) fn is_raised(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which is ours; the call does not wait.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    /// Makes it readable.
    pub fn raise(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: `one` is readable for its length. The counter can't overflow: it is raised once
        // between two reads.
        unsafe { libc::write(self.fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable.
    pub fn lower(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: `count` is writable for its length; the descriptor does not block.
        unsafe { libc::read(self.fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

/// Starts a thread in which all asynchronous signals and SIGPIPE are blocked from its first
/// instruction on: a signal of the host never runs a handler on it, and a broken connection is an
/// error code. Threads that it starts inherit that.
///
/// # Errors
/// When the system starts no more threads.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    let _blocked = BlockedSignals::new();
    std::thread::Builder::new().name(name.to_owned()).spawn(body)
}

/// Blocks signals in the calling thread until it is dropped.
struct BlockedSignals {
    before: libc::sigset_t,
}

/// Raised by a faulty instruction of the thread itself; blocking them would only turn a crash with a
/// reason into one without.
const SYNCHRONOUS: [libc::c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
];

impl BlockedSignals {
    fn new() -> BlockedSignals {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset initialises `all` before it is changed and used; pthread_sigmask fills
        // `before`. None of them fails with these arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            for signal in SYNCHRONOUS {
                libc::sigdelset(all.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr());
            BlockedSignals { before: before.assume_init() }
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `before` was filled by pthread_sigmask; no old mask is asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    FORKED.store(true, Ordering::Relaxed);
}

/// From now on a forked child knows that it is one. Called before the first thread or queue is made:
/// what a child makes of a process that had none of them is its own.
pub fn watch_forks() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        // SAFETY: the handler only stores to an atomic, which is allowed after fork. A failure, for
        // want of memory, costs a child the error code and nothing else.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Whether this process was forked from one that had a service or a queue. The threads stayed there.
#[must_use]
pub fn forked() -> bool {
    FORKED.load(Ordering::Relaxed)
}

thread_local! {
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread runs a callback of the host: whatever blocks is refused there, because
/// it would wait for its own thread.
#[must_use]
pub fn in_callback() -> bool {
    CALLBACKS.with(Cell::get) > 0
}

/// Marks the calling thread as running a callback until it is dropped.
#[derive(Debug)]
pub struct Callback(());

impl Callback {
    /// A callback begins.
    #[must_use]
    pub fn enter() -> Callback {
        CALLBACKS.with(|depth| depth.set(depth.get() + 1));
        Callback(())
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        CALLBACKS.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Runs code of the host: as a callback, and no panic leaves it.
///
/// # Errors
/// It panicked, and with what.
pub fn callback<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let _callback = Callback::enter();
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_readable_while_raised() {
        let event = EventFd::new().expect("a descriptor is left");
        assert!(!event.is_raised());
        event.raise();
        assert!(event.is_raised());
        event.lower();
        assert!(!event.is_raised());
    }

    #[test]
    fn the_clock_goes_forward_and_randomness_differs() {
        let before = boottime_ns();
        assert!(before > 0 && boottime_ns() >= before);
        assert_ne!(random_u64().expect("random"), random_u64().expect("random"));
    }

    #[test]
    fn an_engine_thread_blocks_the_hosts_signals_and_only_it_does() {
        fn blocked() -> Vec<libc::c_int> {
            let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
            // SAFETY: a null new mask only asks for the present one.
            let mask = unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr());
                mask.assume_init()
            };
            // SAFETY: `mask` is a valid set and the numbers are signals.
            (1..32).filter(|n| unsafe { libc::sigismember(&mask, *n) } == 1).collect()
        }
        let before = blocked();
        let (send, receive) = std::sync::mpsc::channel();
        let thread = spawn("quorate-test", move || {
            let name = std::thread::current().name().map(str::to_owned);
            send.send((blocked(), name)).expect("the test waits");
        });
        thread.expect("a thread").join().expect("it does not panic");
        let (inside, name) = receive.recv().expect("it answered");
        for signal in [libc::SIGPIPE, libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGALRM] {
            assert!(inside.contains(&signal), "{signal}");
        }
        assert!(!inside.contains(&libc::SIGSEGV));
        assert_eq!(name.as_deref(), Some("quorate-test"));
        assert_eq!(blocked(), before, "the caller's mask is as it was");
    }

    #[test]
    fn callbacks_nest() {
        let outer = Callback::enter();
        drop(Callback::enter());
        assert!(in_callback());
        drop(outer);
        assert!(!in_callback());
    }

    #[test]
    fn only_a_forked_child_is_told_so() {
        watch_forks();
        // SAFETY: the child calls nothing but an atomic load and _exit.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let status = i32::from(!forked());
            // SAFETY: ends the child without running anything of the test program.
            unsafe { libc::_exit(status) };
        }
        let mut status = 0;
        // SAFETY: `status` is a valid place, and the child is ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child knew");
        assert!(!forked(), "the parent is none");
    }
}
