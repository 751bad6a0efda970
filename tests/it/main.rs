//! All tests that need more than one module, in one program: it links once.

mod bit_flips;
mod damaged;
mod hooks;
mod known;
mod known_bugs;
mod linear;
mod members;
mod network;
mod power_cut;
mod random;
mod recovery;
mod scripts;
mod search;
mod service;
mod sim;
mod switched;
mod tidy;
