//! Gives the shared library the name by which programs ask for it at run time. Its number is that of the ABI, which goes up
//! when a program that was built before could no longer run.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libslipring.so.0");
}
