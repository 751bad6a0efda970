//! The C interface of quorate: translation only.
