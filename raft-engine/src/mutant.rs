//! Deliberate mistakes, by which the tests prove that they see. There are none in a build without
//! `--cfg quorate_mutant="NAME"`: then each is the constant `false`. With the name `chosen` those that
//! `QUORATE_MUTANT` names are made, with commas between them, so that one build serves for all.

/// Whether the mistake of that name is to be made.
macro_rules! mutant {
    ($name:tt) => {
        cfg!(quorate_mutant = $name) || $crate::mutant::is_chosen($name)
    };
}

/// Whether the environment names it.
#[cfg(quorate_mutant = "chosen")]
pub fn is_chosen(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| {
        let chosen = std::env::var("QUORATE_MUTANT").unwrap_or_default();
        chosen.split(',').map(|name| name.trim().to_owned()).collect()
    });
    CHOSEN.iter().any(|chosen| chosen == name)
}

/// No mistake is made here.
#[cfg(not(quorate_mutant = "chosen"))]
pub const fn is_chosen(_name: &str) -> bool {
    false
}
