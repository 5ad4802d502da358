//! Versions: of the header, of the library, of the ABI and of the memory's layout.

use std::ffi::c_char;

/// The version of this header: major.
pub const SLIPRING_VERSION_MAJOR: i32 = 0;
/// The version of this header: minor.
pub const SLIPRING_VERSION_MINOR: i32 = 1;
/// The version of this header: patch.
pub const SLIPRING_VERSION_PATCH: i32 = 0;
/// The ABI of this header. A program runs with every library that has the same, whichever is newer; it is the number behind
/// libslipring.so.
pub const SLIPRING_ABI_VERSION: u32 = 0;

const _: () = {
    let told = env!("CARGO_PKG_VERSION").as_bytes();
    let here = [
        b'0' + SLIPRING_VERSION_MAJOR as u8,
        b'.',
        b'0' + SLIPRING_VERSION_MINOR as u8,
        b'.',
        b'0' + SLIPRING_VERSION_PATCH as u8,
    ];
    let mut at = 0;
    assert!(told.len() == here.len(), "the header tells the crate's version");
    while at < told.len() {
        assert!(told[at] == here[at], "the header tells the crate's version");
        at += 1;
    }
};

/// The version of the library that runs, as a text: "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn slipring_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The ABI of the library that runs. A program may compare it with SLIPRING_ABI_VERSION.
#[unsafe(no_mangle)]
pub extern "C" fn slipring_abi_version() -> u32 {
    SLIPRING_ABI_VERSION
}

/// The layout of shared memory that the library that runs speaks. Two processes can join only if theirs are the same.
#[unsafe(no_mangle)]
pub extern "C" fn slipring_layout_version() -> u32 {
    transport::LAYOUT_VERSION
}
