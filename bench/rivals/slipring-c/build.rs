//! Links to the shared library in the folder `SLIPRING_C_LIB`, which the file `env` has installed, and has the program look there.

fn main() {
    println!("cargo::rerun-if-env-changed=SLIPRING_C_LIB");
    let folder = std::env::var("SLIPRING_C_LIB").unwrap_or_else(|_| "/usr/local/lib".to_owned());
    println!("cargo::rerun-if-changed={folder}/libslipring.so");
    println!("cargo::rustc-link-search=native={folder}");
    println!("cargo::rustc-link-lib=dylib=slipring");
    println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
}
