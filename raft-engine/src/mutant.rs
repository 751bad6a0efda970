//! Deliberate mistakes, by which the tests prove that they see. There are none in a build without
//! `--cfg quorate_mutant="NAME"`: then each is the constant `false`. With the name `chosen` the one
//! that `QUORATE_MUTANT` names is made, so that one build serves for all.

/// Whether the mistake of that name is to be made.
macro_rules! mutant {
    ($name:tt) => {
        cfg!(quorate_mutant = $name) || $crate::mutant::is_chosen($name)
    };
}

/// Whether the environment names it.
#[cfg(quorate_mutant = "chosen")]
pub fn is_chosen(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| std::env::var("QUORATE_MUTANT").unwrap_or_default());
    *CHOSEN == name
}

/// No mistake is made here.
#[cfg(not(quorate_mutant = "chosen"))]
pub const fn is_chosen(_name: &str) -> bool {
    false
}
