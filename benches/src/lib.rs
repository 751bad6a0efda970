//! What the benchmarks of quorate share.
