//! Which library this is, for programs that were compiled with another one's header.

// Chapter: Version

use std::ffi::c_char;

pub const QUORATE_VERSION_MAJOR: u32 = 0;
pub const QUORATE_VERSION_MINOR: u32 = 1;
pub const QUORATE_VERSION_PATCH: u32 = 0;
/// Changes only when programs must be compiled anew.
pub const QUORATE_ABI_VERSION: u32 = 1;

/// The version of the library at run time, such as "0.1.0". Static. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_version() -> *const c_char {
    const TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    TEXT.as_ptr().cast()
}

/// Compare it with QUORATE_ABI_VERSION before anything else; bindings do. Since: 0.1
#[unsafe(no_mangle)]
pub extern "C" fn quorate_abi_version() -> u32 {
    QUORATE_ABI_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constants_are_the_version_of_the_package() {
        let text =
            format!("{QUORATE_VERSION_MAJOR}.{QUORATE_VERSION_MINOR}.{QUORATE_VERSION_PATCH}");
        assert_eq!(text, env!("CARGO_PKG_VERSION"));
    }
}
