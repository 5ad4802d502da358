//! The ABI of the last release is still there: every function with its form, every number, every size and offset.
//!
//! What was released stands in `ffi/abi/<version>.txt`, a line a fact. A fact may be added, and a struct that begins with its size may
//! grow at its end; nothing may go or change. `SLIPRING_WRITE_ABI=1 cargo test -p slipring-ffi --test abi` writes the table anew,
//! which is for a release alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> String {
    fs::read_to_string(crate_dir().join("../include/slipring/slipring.h")).expect("the header is committed")
}

/// The table of the last release, the newest by its name.
fn baseline() -> PathBuf {
    let entries = fs::read_dir(crate_dir().join("abi")).expect("a folder of tables");
    let tables = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some());
    tables.max().unwrap_or_else(|| crate_dir().join("abi/0.1.0.txt"))
}

/// A header without comments and the lines of the preprocessor, each statement with single spaces.
fn statements(header: &str) -> Vec<String> {
    let code =
        header.lines().map(|line| line.split("//").next().unwrap_or("").trim()).filter(|line| !line.starts_with('#'));
    let mut statements = vec![String::new()];
    let mut depth = 0;
    for c in code.collect::<Vec<_>>().join(" ").replace("extern \"C\" {", "").chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c == ';' && depth <= 0 {
            statements.push(String::new());
        } else if let Some(statement) = statements.last_mut() {
            statement.push(c);
        }
    }
    let spaced = statements.iter().map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" "));
    spaced.filter(|statement| !statement.is_empty()).collect()
}

/// The structs of a header that show what is in them, each with its fields.
fn structs(statements: &[String]) -> Vec<(String, Vec<String>)> {
    let open = statements.iter().filter(|statement| statement.starts_with("typedef struct") && statement.contains('{'));
    let parse = |statement: &String| {
        let (_, rest) = statement.split_once('{')?;
        let (fields, name) = rest.rsplit_once('}')?;
        // An array has its length behind its name.
        let last_word = |field: &str| {
            let name = field.rsplit([' ', '*']).next().unwrap_or("");
            name.split('[').next().unwrap_or(name).to_owned()
        };
        Some((
            name.trim().to_owned(),
            fields.split(';').map(str::trim).filter(|f| !f.is_empty()).map(last_word).collect(),
        ))
    };
    open.filter_map(parse).collect()
}

/// Sizes and offsets, as a compiler of C sees them.
fn measured(header: &str, structs: &[(String, Vec<String>)]) -> Vec<String> {
    // Each test has a thread of its own.
    let own = format!("slipring-abi-{}-{:?}", std::process::id(), std::thread::current().id());
    let dir = std::env::temp_dir().join(own);
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("it.h"), header).expect("write the header");
    let mut program = String::from("#include \"it.h\"\n#include <stdio.h>\nint main(void) {\n");
    for (name, fields) in structs {
        program += &format!("printf(\"size {name} %zu\\n\", sizeof({name}));\n");
        for field in fields {
            program += &format!("printf(\"offset {name} {field} %zu\\n\", offsetof({name}, {field}));\n");
        }
    }
    fs::write(dir.join("it.c"), program + "return 0;\n}\n").expect("write the program");
    let built = Command::new("cc").arg(dir.join("it.c")).arg("-o").arg(dir.join("it")).output().expect("run cc");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let output = Command::new(dir.join("it")).output().expect("run what was built");
    fs::remove_dir_all(&dir).expect("our directory");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Every fact that a program could have been built upon.
fn facts(header: &str) -> BTreeSet<String> {
    let statements = statements(header);
    let mut facts: BTreeSet<String> = measured(header, &structs(&statements)).into_iter().collect();
    for line in header.lines().map(str::trim) {
        if let Some(define) = line.strip_prefix("#define SLIPRING_").filter(|define| define.contains(' ')) {
            facts.insert(format!("number SLIPRING_{define}"));
        } else if line.starts_with("SLIPRING_") && line.contains(" = ") {
            facts.insert(format!("number {}", line.trim_end_matches(',').replace(" =", "")));
        }
    }
    // The version of a header is no promise.
    facts.retain(|fact| {
        !fact.starts_with("number SLIPRING_VERSION_M") && !fact.starts_with("number SLIPRING_VERSION_P")
    });
    for statement in statements.iter().filter(|statement| statement.contains('(') && !statement.contains('{')) {
        facts.insert(format!("function {statement}"));
    }
    facts
}

/// What the old facts have that the new ones break.
fn broken(old: &BTreeSet<String>, new: &BTreeSet<String>) -> Vec<String> {
    let may_have_grown = |fact: &str| {
        let mut words = fact.split(' ');
        let (Some("size"), Some(name), Some(size)) = (words.next(), words.next(), words.next()) else { return false };
        let size_first = format!("offset {name} size 0");
        let grown = |now: &String| {
            let now = now.strip_prefix(&format!("size {name} ")).and_then(|now| now.parse::<u64>().ok());
            now.is_some_and(|now| size.parse().is_ok_and(|old: u64| now > old))
        };
        old.contains(&size_first) && new.iter().any(grown)
    };
    old.iter().filter(|fact| !new.contains(*fact) && !may_have_grown(fact)).cloned().collect()
}

fn parse(table: &str) -> BTreeSet<String> {
    table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn everything_that_was_released_is_still_there() {
    let now = facts(&header());
    assert!(now.len() > 150, "the header was not understood: {now:#?}");
    if std::env::var_os("SLIPRING_WRITE_ABI").is_some() {
        let lines: Vec<_> = now.iter().cloned().collect();
        let text =
            "# What programs can have been built upon: see ffi/tests/abi.rs.\n".to_owned() + &lines.join("\n") + "\n";
        fs::write(baseline(), text).expect("write the table");
    }
    let released = parse(&fs::read_to_string(baseline()).expect("a table of the last release"));
    assert_eq!(broken(&released, &now), Vec::<String>::new(), "a program that was built before would break");
}

#[test]
fn a_function_that_is_gone_and_a_struct_that_changed_are_seen() {
    let (header, old) = (header(), facts(&header()));
    let breaks = |changed: String| {
        assert_ne!(changed, header, "the copy is changed");
        broken(&old, &facts(&changed)).join("\n")
    };
    let gone = breaks(header.replace("slipring_status_t slipring_bus_flush(slipring_bus_t *bus);", ""));
    assert!(gone.contains("slipring_bus_flush"), "{gone}");
    let form = breaks(
        header.replace("slipring_bus_flush(slipring_bus_t *bus)", "slipring_bus_flush(slipring_bus_t *bus, int x)"),
    );
    assert!(form.contains("slipring_bus_flush"), "{form}");
    let grown = breaks(header.replace("} slipring_slice_t;", "int more; } slipring_slice_t;"));
    assert!(grown.contains("size slipring_slice_t"), "{grown}");
    let moved = breaks(header.replace("uint32_t in_flight;", "uint64_t in_flight;"));
    assert!(moved.contains("offset slipring_config_t wait"), "{moved}");
    let renumbered = breaks(header.replace("SLIPRING_CLOSED = 4,", "SLIPRING_CLOSED = 40,"));
    assert!(renumbered.contains("SLIPRING_CLOSED 4"), "{renumbered}");
    assert_eq!(
        breaks(header.replace("} slipring_config_t;", "uint64_t more; } slipring_config_t;")),
        "",
        "it may grow"
    );
}

/// A library that has every function of a header, and nothing in them: what abidiff can compare. Made of the header alone, so that
/// what a program in C was built upon is told by C.
fn hollow(header: &str, name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("slipring-abidiff-{}-{name}", std::process::id()));
    fs::create_dir_all(&dir).expect("a directory");
    fs::write(dir.join("it.h"), header).expect("write the header");
    let is_function = |statement: &&String| statement.contains('(') && !statement.contains('{');
    let functions = statements(header);
    let functions = functions.iter().filter(is_function).filter(|statement| !statement.starts_with("typedef"));
    let bodies: String = functions.map(|function| format!("{function} {{ __builtin_trap(); }}\n")).collect();
    fs::write(dir.join("it.c"), format!("#include \"it.h\"\n{bodies}")).expect("write the functions");
    let library = dir.join("libit.so");
    let built = Command::new("cc").args(["-g", "-shared", "-fPIC", "-o"]).arg(&library).arg(dir.join("it.c")).output();
    let built = built.expect("run cc");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// What abidiff finds between two headers, functions that were added aside; `None` where it finds nothing.
fn abidiff(old: &str, new: &str, name: &str) -> Option<String> {
    let (old, new) = (hollow(old, &format!("{name}-old")), hollow(new, &format!("{name}-new")));
    let output = Command::new("abidiff").arg("--no-added-syms").args([&old, &new]).output().expect("run abidiff");
    for library in [old, new] {
        fs::remove_dir_all(library.parent().expect("a folder of ours")).expect("our directory");
    }
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The header of the release whose table is the newest, if it was released: a tag has it.
fn released_header() -> Option<String> {
    let version = baseline().file_stem()?.to_string_lossy().into_owned();
    let file = format!("v{version}:include/slipring/slipring.h");
    let output = Command::new("git").args(["show", &file]).current_dir(crate_dir()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The table is there for machines without abidiff, and for what abidiff does not see: numbers of constants. A struct that
/// begins with its size may grow, which abidiff cannot know: what it says of a release is for a person to judge then.
#[test]
fn abidiff_sees_what_the_table_sees_where_it_is_there() {
    if Command::new("abidiff").arg("--version").output().is_err() {
        println!("skipped: there is no abidiff here; the table stands for it");
        return;
    }
    let header = header();
    assert_eq!(abidiff(&header, &header, "same"), None);
    let gone = header.replace("slipring_status_t slipring_bus_flush(slipring_bus_t *bus);", "");
    assert!(abidiff(&header, &gone, "gone").is_some_and(|found| found.contains("slipring_bus_flush")));
    let grown = header.replace("} slipring_slice_t;", "int more; } slipring_slice_t;");
    assert!(abidiff(&header, &grown, "grown").is_some_and(|found| found.contains("slipring_slice_t")));
    match released_header() {
        Some(released) => assert_eq!(abidiff(&released, &header, "released"), None, "a program would break"),
        None => println!("nothing was released yet: the table alone says what may not go"),
    }
}

#[test]
fn the_library_exports_what_the_header_has_and_nothing_else() {
    let test = std::env::current_exe().expect("a test is a file");
    let profile = test.ancestors().nth(2).expect("a test lies in the folder of its build");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--quiet", "--package", "slipring-ffi"]).current_dir(crate_dir());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    build.env("CARGO_TARGET_DIR", profile.parent().expect("a folder above"));
    assert!(build.status().expect("start cargo").success(), "the library was not built");
    let library = profile.join("libslipring.so");
    let Ok(symbols) = Command::new("nm").args(["-D", "--defined-only"]).arg(&library).output() else {
        println!("skipped: there is no nm here");
        return;
    };
    let text = String::from_utf8_lossy(&symbols.stdout).into_owned();
    let exported: BTreeSet<_> = text.lines().filter_map(|line| line.rsplit(' ').next().map(str::to_owned)).collect();
    let name = |statement: &String| {
        let (before, _) = statement.split_once('(')?;
        Some(before.rsplit([' ', '*']).next()?.to_owned()).filter(|name| name.starts_with("slipring_"))
    };
    let plain = |statement: &&String| !statement.starts_with("typedef") && !statement.contains('{');
    let told: BTreeSet<_> = statements(&header()).iter().filter(plain).filter_map(name).collect();
    assert_eq!(exported, told);
    let dynamic = Command::new("readelf").arg("-d").arg(&library).output().expect("readelf is where nm is");
    assert!(String::from_utf8_lossy(&dynamic.stdout).contains("[libslipring.so.0]"), "the name for the loader");
}
