//! The store that keeps nothing: for tests, examples and state that may be lost.
