//! The networks, over real sockets where there are some.

mod adapters;
mod attacks;
mod bench;
mod identity;
mod peers;
mod signals;
