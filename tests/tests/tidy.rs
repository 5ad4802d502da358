//! Rules of the house that a compiler does not keep: how files begin and how long they are, where `unsafe` and atomics may
//! stand, and that imports point down.

use std::fs;
use std::path::{Path, PathBuf};

/// The longest that a source file may be, in lines.
const LONGEST: usize = 600;

/// Where `unsafe` may stand, and why.
const UNSAFE: [(&str, &str); 20] = [
    ("core/src/span.rs", "reads and writes shared memory"),
    ("core/src/span/", "reads and writes shared memory"),
    ("core/src/sys/", "calls the kernel"),
    ("core/src/shm.rs", "makes spans of maps"),
    ("core/src/shm/object.rs", "hands out what is sealed in place"),
    ("core/src/ring/", "hands out payloads in place"),
    ("core/src/arena/memory.rs", "hands out payloads in place"),
    ("core/src/returns/held.rs", "hands out payloads in place"),
    ("ffi/src/", "takes pointers of C's"),
    ("ffi/tests/", "calls what C calls"),
    ("bindings/python/src/buffer.rs", "shows Python bytes in place"),
    ("bindings/python/src/dlpack.rs", "lends them to other libraries of Python"),
    ("examples/cxx/src/main.rs", "says that the C++ it calls is sound"),
    ("bench/src/floor", "shows what the hardware can do without us"),
    ("bench/icount/still.rs", "takes the clock from time while instructions are counted"),
    ("bench/rivals/iceoryx2/src/", "writes in place what the system lends"),
    ("bench/rivals/slipring-c/src/", "calls what C calls"),
    ("bench/rivals/tachyon/src/bus.rs", "writes in place what the system lends"),
    ("tests/", "breaks what must not be broken"),
    ("fuzz/", "breaks what must not be broken"),
];

/// Where atomics may be named by their own name: the door of the product, what stands beside it, and this file.
const ATOMICS: [&str; 6] =
    ["core/src/sync.rs", "core/src/models/", "ffi/src/handle.rs", "bench/src/floor", "tests/", "fuzz/"];

/// Lint levels that hide what they are about.
const NO_ALLOW: &str = "allow(";

/// A source file of the workspace.
struct Source {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl Source {
    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// The lines of code, with their numbers: no comments, and no text in quotes.
    fn code(&self) -> impl Iterator<Item = (usize, String)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, without_comments_and_quotes(line)));
        lines.filter(|(_, line)| !line.trim().is_empty())
    }

    /// The same up to the tests at the end of the file, which may reach for the helpers of any floor.
    fn code_before_tests(&self) -> impl Iterator<Item = (usize, String)> {
        self.code().take_while(|(_, line)| !(line.starts_with("#[cfg(") && line.contains("test")))
    }
}

/// Good enough for the style of this house: no comment stands between code, and no string goes over lines with code in it.
fn without_comments_and_quotes(line: &str) -> String {
    let mut code = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            _ if quoted => {}
            _ => code.push(c),
        }
    }
    code
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

/// Every Rust file of the workspace.
fn sources() -> Vec<Source> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let entry = entry.expect("an entry");
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("source is text");
                let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    assert!(found.len() > 50, "the sources are not where they are looked for");
    found
}

/// Fails with every breach that was found, so that they can be mended in one go.
fn assert_none(rule: &str, breaches: Vec<String>) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

#[test]
fn every_file_begins_with_what_it_is_about() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none("a file opens with a comment on its idea", silent.map(|source| source.path).collect());
}

#[test]
fn no_file_is_longer_than_a_reader_keeps_in_mind() {
    let length = |source: Source| (source.text.lines().count(), source.path);
    let long = sources().into_iter().map(length).filter(|(lines, _)| *lines > LONGEST);
    let long = long.map(|(lines, path)| format!("{path} has {lines} lines"));
    assert_none("a file has at most 600 lines", long.collect());
}

#[test]
fn unsafe_stands_only_where_the_design_names_it() {
    let places = UNSAFE.map(|(place, _)| place);
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| !source.is_in(&places)) {
        for (number, line) in source.code() {
            if words(&line).any(|word| word == "unsafe") {
                breaches.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_none("unsafe code", breaches);
}

#[test]
fn atomics_and_fences_enter_by_one_door() {
    let mut breaches = Vec::new();
    for source in sources().iter().filter(|source| !source.is_in(&ATOMICS)) {
        for (number, line) in source.code() {
            if line.contains("sync::atomic") && !line.contains("crate::sync::atomic") {
                breaches.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_none("std::sync::atomic or its like, outside core/src/sync.rs", breaches);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let mut breaches = Vec::new();
    for source in sources() {
        for (number, line) in source.code() {
            if (line.contains("#[") || line.contains("#![")) && line.contains(NO_ALLOW) {
                breaches.push(format!("{}:{number}", source.path));
            }
        }
    }
    assert_none("an allow where expect(lint, reason) would say when it is no longer needed", breaches);
}

#[test]
fn imports_of_the_product_point_down() {
    let floors = floors();
    let floor_of = |module: &str| floors.iter().find(|(name, _)| name == module).map(|(_, floor)| *floor);
    let mut breaches = Vec::new();
    for source in sources() {
        let Some(module) = module_of(&source.path) else { continue };
        let Some(own) = floor_of(&module) else { continue };
        for (number, line) in source.code_before_tests() {
            for used in modules_used(&line) {
                if floor_of(&used).is_some_and(|floor| floor > own) {
                    breaches.push(format!("{}:{number} is on floor {own} and uses {used} above it", source.path));
                }
            }
        }
    }
    assert_none("an import that points up", breaches);
}

/// The top-level modules of the product, each with the floor under whose heading `lib.rs` lists it.
fn floors() -> Vec<(String, u32)> {
    let lib = fs::read_to_string(root().join("core/src/lib.rs")).expect("the product has a root");
    let mut floor = None;
    let mut floors = Vec::new();
    for line in lib.lines() {
        if let Some(heading) = line.strip_prefix("// Floor ") {
            floor = heading.split(':').next().and_then(|number| number.trim().parse().ok());
        } else if let (Some(floor), Some(module)) = (floor, line.strip_prefix("mod ")) {
            floors.push((module.trim_end_matches(';').to_owned(), floor));
        }
    }
    assert!(floors.len() >= 15, "lib.rs lists its modules under headings: {floors:?}");
    floors
}

/// The top-level module that a file of the product belongs to.
fn module_of(path: &str) -> Option<String> {
    let below = path.strip_prefix("core/src/")?;
    let first = below.split('/').next()?;
    Some(first.trim_end_matches(".rs").to_owned()).filter(|module| module != "lib")
}

/// The modules that a line names by `crate::`, one or a braced list of them.
fn modules_used(line: &str) -> Vec<String> {
    let mut used = Vec::new();
    for rest in line.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or(list));
        let names = if rest.starts_with('{') { list.split(',').collect() } else { vec![list] };
        used.extend(names.into_iter().filter_map(|name| words(name).next().map(str::to_owned)));
    }
    used
}

/// The words of a line: runs of letters, digits and underscores.
fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn the_house_keeps_its_rules_on_examples_of_their_breach() {
    assert_eq!(without_comments_and_quotes(r#"let x = "unsafe \" // no"; // unsafe"#), "let x = ; ");
    assert_eq!(modules_used("use crate::{bus::Bus, ring};"), ["bus", "ring"]);
    assert_eq!(modules_used("    pub(crate) fn f(x: crate::side::Side) -> crate::Error {"), ["side", "Error"]);
    assert_eq!(module_of("core/src/session/name/tests.rs").as_deref(), Some("session"));
    assert_eq!(module_of("core/src/ring.rs").as_deref(), Some("ring"));
    assert_eq!(module_of("core/src/lib.rs"), None);
    let source = Source { path: String::new(), text: "use a;\n\n#[cfg(test)]\nuse b;\n".to_owned() };
    assert_eq!(source.code_before_tests().map(|(number, _)| number).collect::<Vec<_>>(), [1]);
}
