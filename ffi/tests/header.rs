//! The committed header is the one that this crate makes, and compilers of C and C++ find nothing to say about it.
//!
//! `SLIPRING_WRITE_HEADER=1 cargo test -p slipring-ffi --test header` (`make header`) writes it anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Before which function which heading stands.
const HEADINGS: [(&str, &str); 20] = [
    ("slipring_version", "VERSIONS"),
    ("slipring_strerror", "ERRORS"),
    ("slipring_config_init_sized", "CONFIG"),
    ("slipring_bus_listen", "BUS: OPENING AND CLOSING"),
    ("slipring_bus_send", "BUS: SENDING A COPY"),
    ("slipring_bus_recv", "BUS: RECEIVING"),
    ("slipring_lease_data", "WHAT WAS RECEIVED"),
    ("slipring_bus_claim", "BUS: WRITING IN PLACE"),
    ("slipring_claim_data", "WHAT IS WRITTEN IN PLACE"),
    ("slipring_rpc_listen", "CALLS: OPENING AND CLOSING"),
    ("slipring_rpc_call", "CALLS: CALLING"),
    ("slipring_rpc_serve", "CALLS: SERVING"),
    ("slipring_rpc_claim_request", "CALLS: WRITING IN PLACE"),
    ("slipring_shared_build", "SHARED OBJECTS"),
    ("slipring_listener_bind", "MANY CLIENTS: LISTENER, POLLER, SERVER"),
    ("slipring_bus_fd", "LOOKING: EVENT LOOPS, STATE, WAITS"),
    ("slipring_stats_init_sized", "LOOKING: COUNTERS"),
    ("slipring_totals_init_sized", "LOOKING: FROM ANOTHER PROCESS"),
    ("slipring_placement_init_sized", "MEMORY AND PROCESSORS"),
    ("slipring_limit_memory", "LIMITS OF THE PROCESS"),
];

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn committed() -> PathBuf {
    crate_dir().join("../include/slipring/slipring.h")
}

/// The header, as this crate makes it.
fn generated() -> String {
    let config = cbindgen::Config::from_file(crate_dir().join("cbindgen.toml")).expect("a config");
    let bindings = cbindgen::Builder::new().with_crate(crate_dir()).with_config(config).generate().expect("bindings");
    let mut plain = Vec::new();
    bindings.write(&mut plain);
    with_headings(&String::from_utf8(plain).expect("a header is text"))
}

/// Puts each heading before the comment of the function that it belongs to.
fn with_headings(plain: &str) -> String {
    let mut lines: Vec<String> = plain.lines().map(|line| line.trim_end().to_owned()).collect();
    for (function, heading) in HEADINGS {
        let begins = format!("{function}(");
        let is_it = |line: &String| !line.starts_with("//") && !line.starts_with('#') && line.contains(&begins);
        let at = lines.iter().position(is_it).unwrap_or_else(|| panic!("no function {function}"));
        let comment = lines[..at].iter().rposition(|line| !line.starts_with("//")).map_or(0, |before| before + 1);
        lines.splice(comment..comment, [format!("// ---- {heading} ----"), String::new()]);
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_committed_header_is_the_one_that_this_crate_makes() {
    let made = generated();
    if std::env::var_os("SLIPRING_WRITE_HEADER").is_some() {
        fs::write(committed(), &made).expect("write the header");
    }
    let there = fs::read_to_string(committed()).expect("the header is committed");
    let differs = there.lines().zip(made.lines()).enumerate().find(|(_, (there, made))| there != made);
    assert_eq!(differs, None, "the header is not the one that the source makes: make header");
    assert_eq!(there.len(), made.len(), "the header is not the one that the source makes: make header");
}

#[test]
fn no_line_is_too_long_to_read() {
    let there = fs::read_to_string(committed()).expect("the header is committed");
    let long: Vec<_> = there.lines().filter(|line| line.chars().count() > 140).collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn c_and_cpp_compilers_take_it_without_a_word() {
    let dir = std::env::temp_dir().join(format!("slipring-header-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    for (compiler, file, standard) in [("cc", "use.c", "-std=c99"), ("c++", "use.cpp", "-std=c++17")] {
        if Command::new(compiler).arg("--version").output().is_err() {
            println!("skipped: no {compiler}");
            continue;
        }
        let program = dir.join(file);
        // Twice, for the guard; and the macros, which nothing else would look at.
        let text = "#include <slipring/slipring.h>\n#include <slipring/slipring.h>\nint main(void) {\n\
            slipring_config_t config;\nslipring_stats_t stats;\n\
            return (int)slipring_config_init(&config) + (int)slipring_stats_init(&stats);\n}\n";
        fs::write(&program, text).expect("write a program");
        let include = crate_dir().join("../include");
        let output = Command::new(compiler)
            .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only", "-I"])
            .args([&include, &program])
            .output()
            .expect("run the compiler");
        assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
    }
    fs::remove_dir_all(&dir).expect("our directory");
}
