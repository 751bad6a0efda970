//! The module `quorate._quorate`.
