//! The snippets of the guide's chapter on C++ are one program, which compiles under both standards, and runs.

use slipring_tests::c::{has, library, root};
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog_for;
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Calls every function that the chapter shows.
const MAIN: &str = r#"
#include <thread>

int main(int, char **words)
{
    const std::string name = words[1];
    const auto both = [](auto first, auto second) {
        std::thread other(second);
        first();
        other.join();
    };
    both([&] { receive(name); }, [&] { send(name); });
    both([&] { auto bus = slipring::Bus::listen(name, 5s); until_it_ends(bus); }, [&] { send(name); });
    std::vector<slipring::Lease> album;
    both([&] { auto bus = slipring::Bus::listen(name, 5s); album = collect(bus); },
         [&] { auto bus = slipring::Bus::connect(name, 5s); hand_out(bus); bus.close(5s); });
    std::cout << album.at(0).text() << " of " << album.at(0).shared(0).size() << '\n';
    both([&] { serve(name); }, [&] { ask(name); });
}
"#;

#[test]
fn the_snippets_of_the_chapter_compile_and_run() {
    if !has("c++") {
        return;
    }
    let _watchdog = watchdog_for("the snippets of the guide, or building the library", Duration::from_secs(240));
    let chapter = fs::read_to_string(root().join("docs/guide/src/cpp.md")).expect("the chapter");
    let snippets = chapter.split("```cpp\n").skip(1).map(|rest| rest.split("```").next().expect("an end"));
    let scratch = Scratch::new();
    fs::write(scratch.path("guide.cpp"), snippets.collect::<String>() + MAIN).expect("write a program");
    std::os::unix::fs::symlink(library(), scratch.path("libslipring.so.0")).expect("a link in our directory");
    for standard in ["-std=c++17", "-std=c++20"] {
        let built = Command::new("c++")
            .args([standard, "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-I"])
            .arg(root().join("include"))
            .args(["-o", &scratch.path("guide"), &scratch.path("guide.cpp")])
            .arg(library())
            .args(["-lpthread", "-Wl,-rpath,$ORIGIN"])
            .output()
            .expect("run the compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let mut command = Command::new(scratch.path("guide"));
        let output =
            command.arg(scratch.path("name")).env("SLIPRING_RUNTIME_DIR", scratch.dir()).output().expect("run it");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        for said in ["1: hello", "goodbye", "a table of 1048576", "echo", "twoone", "nothing was asked"] {
            assert!(text.contains(said), "{said}: {text}");
        }
    }
}
