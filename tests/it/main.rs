//! All tests that need more than one module, in one program: it links once.

mod scripts;
mod tidy;
