//! quorate.h - the C interface of quorate, an embeddable Raft library.
//!
//! A program hands the library a state machine and gets a replicated, ordered, durable log of
//! changes. The running instance is a service. It starts Standalone and takes proposals alone;
//! quorate_service_initialize_cluster makes it a cluster of one, quorate_service_add_node adds
//! others.
//!
//!     quorate_config *config = quorate_config_new();
//!     quorate_config_set(config, "data_dir", "./data", &err);
//!     quorate_config_set(config, "listen", "127.0.0.1:7001", &err);
//!     quorate_config_state_machine(config, &machine, &err);
//!     quorate_service_start(config, &service, &err);
//!     quorate_service_initialize_cluster(service, "127.0.0.1:7001", QUORATE_FOREVER, &err);
//!     quorate_service_propose_wait(service, &entry, 5000, &result, &err);
//!
//! OWNERSHIP
//!   1. Handles (quorate_config, _queue, _service, _tracker) are opaque. They are numbers in the
//!      guise of pointers, looked up and never followed. Free each once with its own _free; NULL
//!      is fine there, and a second free does nothing.
//!   2. Results (quorate_error, _result, _node_list, _protocol_status and text returned as char *)
//!      are allocated by the library, read-only, and freed whole with quorate_free; NULL is fine
//!      there.
//!   3. Pointers passed in are borrowed for the call and copied if kept. Pointers passed to a
//!      callback are valid until it returns.
//!   4. A hook's ctx belongs to the library from the moment it is given, also when that call
//!      fails. drop(ctx) runs exactly once, after the last other callback of that hook has
//!      returned. (Only a table whose struct_size is too small to hold `drop` leaves ctx with you.)
//!
//! ERRORS
//!   A call that can fail returns a quorate_status: 0 or a count when it is done, negative
//!   otherwise. Out-parameters are written only on success and may be NULL where the comment does
//!   not say "must". The last parameter `quorate_error **err` may be NULL; on failure it receives
//!   the details. Start with `quorate_error *err = NULL` and free it after each failure. Nothing is
//!   kept per thread. A handle that is NULL or of another type gives QUORATE_ERR_INVALID, one that
//!   was freed QUORATE_ERR_CLOSED; where no status is returned, NULL or 0.
//!   The thousands of a status say what happened: definitely not done, unknown, or fatal; see
//!   quorate_status_outcome. A code that is newer than your program falls in the right class too.
//!
//! THREADS
//!   Any function may be called from any thread, also at the same time on one handle, except:
//!   quorate_queue_poll (one thread at a time per queue) and _free (the last use of its handle).
//!   What takes `timeout_ms` blocks (quorate_tracker_notify does not), and so do
//!   quorate_tracker_wait, quorate_service_start, _close and _free.
//!
//! CALLBACKS
//!   Those of a state machine run on one thread, quorate-apply, those of a storage on quorate-log,
//!   those of a transport on quorate-loop, one call at a time; `drop` runs there too, or on the
//!   thread whose call ends the hook's life. A logger is called from all of them, and from the
//!   thread that is in quorate_service_start. A slow callback delays its own queue, nothing else.
//!   Inside a callback every blocking function returns QUORATE_ERR_IN_CALLBACK at once, and _free
//!   of a service frees nothing: call it again elsewhere. All others may be called. A callback must
//!   not throw, longjmp or exit its thread. It fails by returning any negative status; `err` is
//!   never NULL there, and may be given an error of quorate_error_new, which the library then owns.
//!
//! SIGNALS, FORK, PROCESS
//!   The library's threads block all asynchronous signals, SIGPIPE never reaches the host, and no
//!   signal handler or atexit function is used. Nothing is written to an output stream but, if
//!   ever, the message of a panic, to stderr. After fork() the child has none of the threads: there
//!   every call that needs the library returns QUORATE_ERR_FORKED (or NULL, 0) and leaves `err`
//!   alone, and every free does nothing; the parent is not disturbed. The library never aborts the
//!   host: a panic inside it is caught, and fails that one call or service.
//!
//! BINARY COMPATIBILITY
//!   Structures are of three kinds. Arguments start with struct_size, set by their _INIT macro, and
//!   grow at the end; the library takes any size from the first one on, and a larger one if the
//!   rest is zero (in an argument that it fills, it leaves the rest alone). Results grow at the end.
//!   Structures that stand in arrays keep their size; what is `reserved` in them is 0. Enumerations
//!   cross as int32_t, so that an unknown number is an error and not undefined behaviour.
//!
//! Text is UTF-8. Keys, addresses and paths end with NUL; everything else is pointer and length, and
//! in results and completions a NUL that is not counted follows the bytes.
//! Times are in milliseconds unless a name says otherwise. Indexes start at 1; 0 means none.

// The text above opens quorate.h. Each public module is a chapter of it; build.rs puts them together,
// and the comments of what is public go into the header word for word. This crate only translates: a
// function checks its arguments, borrows, calls the engine and hands out the result. It decides
// nothing.
//
// Invariants: nothing unwinds into C (`guard`), no handle is ever dereferenced (`handle`), no lock of
// this crate is held while a callback runs.

#![allow(non_camel_case_types, reason = "types have their C names")]
#![allow(clippy::missing_safety_doc, reason = "the text above says what callers must uphold")]
#![allow(missing_docs, reason = "comments are written for quorate.h, where a field may do without")]

mod block;
pub mod bytes;
mod callback;
pub mod config;
pub mod entry;
mod guard;
mod handle;
pub mod hooks;
pub mod info;
pub mod logger;
pub mod node;
pub mod page;
pub mod propose;
pub mod queue;
pub mod result;
pub mod service;
pub mod status;
pub mod storage;
pub mod tracker;
pub mod transport;
pub mod version;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("handles need pointers of 64 bits");
