//! What the tests of quorate share.
