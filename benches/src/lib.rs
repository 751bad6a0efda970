//! What the benchmarks of quorate share; the measuring programs are in `bin/`.

pub mod measure;
