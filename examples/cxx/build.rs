//! Compiles the C++ half of the program. The header of `slipring-cxx` is found because that is a dependency.

fn main() {
    cxx_build::bridge("src/main.rs").file("src/peer.cpp").std("c++17").flag("-Wall").flag("-Wextra").compile("peer");
    for file in ["src/main.rs", "src/peer.cpp", "src/peer.h"] {
        println!("cargo::rerun-if-changed={file}");
    }
}
