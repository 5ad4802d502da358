//! A program of ten lines is built against an installed tree, in C and in C++, shared and static, and runs.

use slipring_tests::c::{has, library, root};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const CONSUMER: &str = r#"#include <slipring/slipring.h>
#include <stdio.h>
int main(void) {
    slipring_bus_t *bus;
    if (slipring_bus_connect("nobody-is-here", NULL, 0, &bus) != SLIPRING_NOT_FOUND) {
        return 1;
    }
    printf("slipring %s\n", slipring_version());
    return 0;
}
"#;

/// The same in C++, over the owners.
const CONSUMER_CPP: &str = r#"#include <iostream>
#include <slipring/slipring.hpp>
int main() {
    try {
        slipring::Bus::connect("nobody-is-here").send(1, "hello");
    } catch (const slipring::Error &error) {
        std::cout << "slipring " << slipring::version() << '\n';
        return error.code() == SLIPRING_NOT_FOUND ? 0 : 1;
    }
    return 1;
}
"#;

/// Runs a command that must end well, and gives what it said.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// An installed tree, and a program.
fn installed() -> Scratch {
    let tree = Scratch::new();
    let built = library().parent().expect("a library lies in a folder");
    run(Command::new(root().join("ci/install.sh"))
        .env("PREFIX", tree.path("usr"))
        .env("BUILT", built)
        .env_remove("DESTDIR")
        .env_remove("LIBDIR"));
    fs::write(tree.path("use.c"), CONSUMER).expect("write a program");
    fs::write(tree.path("use.cpp"), CONSUMER_CPP).expect("write a program");
    tree
}

fn says_its_version(tree: &Scratch, program: &str) {
    let said = run(Command::new(tree.path(program)).env("SLIPRING_RUNTIME_DIR", tree.dir()));
    assert_eq!(said.trim_end(), concat!("slipring ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn through_pkg_config() {
    let _watchdog = watchdog_for("consumers by pkg-config, or building the library", Duration::from_secs(240));
    if !has("pkg-config") {
        return;
    }
    let tree = installed();
    let lib = tree.path("usr/lib");
    let flags = |words: &[&str]| -> Vec<String> {
        let mut command = Command::new("pkg-config");
        command.args(words).arg("slipring").env("PKG_CONFIG_PATH", tree.path("usr/lib/pkgconfig"));
        run(&mut command).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(flags(&["--variable=libdir"]).concat(), lib);
    assert_eq!(flags(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    for (compiler, source) in [("cc", "use.c"), ("c++", "use.cpp")] {
        if !has(compiler) {
            continue;
        }
        let build = |program: &str, words: &[&str], more: &[&str]| {
            let (source, program) = (tree.path(source), tree.path(program));
            run(Command::new(compiler).args([&source, "-o", &program]).args(flags(words)).args(more));
        };
        build("shared", &["--cflags", "--libs"], &[&format!("-Wl,-rpath,{lib}")]);
        says_its_version(&tree, "shared");
        build("static", &["--static", "--cflags", "--libs"], &["-static"]);
        says_its_version(&tree, "static");
    }
}

/// CMake, from the path or from where `ci/cmake.sh` puts it.
fn cmake() -> Option<PathBuf> {
    let own = root().join(".venv/bin/cmake");
    let there =
        |cmake: &Path| Command::new(cmake).arg("--version").output().is_ok_and(|output| output.status.success());
    if there(&own) {
        return Some(own);
    }
    has("cmake").then(|| "cmake".into())
}

#[test]
fn through_cmake() {
    let _watchdog = watchdog_for("consumers by cmake, or building the library", Duration::from_secs(240));
    let Some(cmake) = cmake().filter(|_| has("c++")) else { return };
    let tree = installed();
    let lists = "cmake_minimum_required(VERSION 3.16)\nproject(consumer C CXX)\nset(CMAKE_CXX_STANDARD 17)\n\
        find_package(slipring 0.1 REQUIRED)\nforeach(language c cpp)\nforeach(kind slipring static)\n\
        add_executable(${language}-${kind} use.${language})\n\
        target_link_libraries(${language}-${kind} slipring::${kind})\nendforeach()\nendforeach()\n";
    fs::write(tree.path("CMakeLists.txt"), lists).expect("write a project");
    let prefix = format!("-DCMAKE_PREFIX_PATH={}", tree.path("usr"));
    run(Command::new(&cmake).args(["-S"]).arg(tree.dir()).args(["-B", &tree.path("out"), &prefix]));
    run(Command::new(&cmake).args(["--build", &tree.path("out")]));
    for program in ["c-slipring", "c-static", "cpp-slipring", "cpp-static"] {
        says_its_version(&tree, &format!("out/{program}"));
    }
    // A version that is asked for and not there is said to be none.
    let other = lists.replace("slipring 0.1 ", "slipring 9.0 ");
    fs::write(tree.path("CMakeLists.txt"), other).expect("write a project");
    let refused = Command::new(&cmake).args(["-S"]).arg(tree.dir()).args(["-B", &tree.path("other"), &prefix]).output();
    assert!(!refused.expect("run cmake").status.success(), "version 9 was found");
}

#[test]
fn the_tree_is_the_promised_one_below_a_staging_directory_too() {
    let _watchdog = watchdog_for("installing, or building the library", Duration::from_secs(240));
    let stage = Scratch::new();
    let install = |prefix: &str, libdir: &str| {
        let mut command = Command::new(root().join("ci/install.sh"));
        let built = library().parent().expect("a library lies in a folder");
        command.env("PREFIX", prefix).env("LIBDIR", libdir).env("DESTDIR", stage.dir()).env("BUILT", built);
        command
    };
    run(&mut install("/opt/it", "/opt/it/lib64"));
    for file in [
        "include/slipring/slipring.h",
        "include/slipring/slipring.hpp",
        "include/slipring/hpp/bus.hpp",
        "lib64/libslipring.so.0.1.0",
        "lib64/libslipring.so.0",
        "lib64/libslipring.so",
        "lib64/libslipring.a",
        "lib64/pkgconfig/slipring.pc",
        "lib64/cmake/slipring/slipring-config.cmake",
    ] {
        assert!(fs::metadata(stage.path("opt/it").to_owned() + "/" + file).is_ok(), "{file} is missing");
    }
    let told = fs::read_to_string(stage.path("opt/it/lib64/pkgconfig/slipring.pc")).expect("a file of pkg-config's");
    assert!(told.contains("prefix=/opt/it\nlibdir=/opt/it/lib64\n"), "{told}");
    assert!(!install("not/absolute", "/lib").output().expect("run it").status.success());
}
