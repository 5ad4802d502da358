//! The counting of instructions as `make icount` uses it: it sees a path that has grown, and is quiet where there is nothing to
//! compare with. Built for tests the paths take other numbers than those of the tables, so each test has tables of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The longest that a run here may take; on a quiet machine it is some seconds.
const WATCHDOG: Duration = Duration::from_secs(300);

/// A folder for tables, removed in the end.
struct Tables(PathBuf);

impl Tables {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("slipring-icount-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("nobody else makes it");
        Self(folder)
    }

    /// The one table in it.
    fn table(&self) -> PathBuf {
        let entries: Vec<_> =
            fs::read_dir(&self.0).expect("it is there").map(|entry| entry.expect("an entry")).collect();
        let [entry] = &entries[..] else { panic!("one table, for one compiler and processor: {entries:?}") };
        entry.path()
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the program for one path, under the watchdog.
fn icount(verb: &str, tables: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring-icount"));
    command.args([verb, "--only", "publish-32", "--tables"]).arg(tables).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the program");
    let start = Instant::now();
    while child.try_wait().expect("ask for its end").is_none() {
        if start.elapsed() > WATCHDOG {
            child.kill().expect("end it");
            panic!("the watchdog fired: slipring-icount {verb} did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("what it said")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether there is nothing to count with here.
fn is_skipped(output: &Output) -> bool {
    let skipped = out(output).contains("skipped: instruction counts (no valgrind here)");
    if skipped {
        println!("skipped: no valgrind here");
    }
    skipped
}

#[test]
fn a_path_that_has_grown_fails_by_name_with_what_it_was_and_is() {
    let tables = Tables::new("grown");
    let kept = icount("keep", &tables.0);
    if is_skipped(&kept) {
        return;
    }
    assert!(kept.status.success(), "{}", err(&kept));

    let same = icount("check", &tables.0);
    assert!(same.status.success() && out(&same).contains("+0.0 %"), "{}{}", out(&same), err(&same));

    let text = fs::read_to_string(tables.table()).expect("a table");
    let row = text.lines().find(|line| line.starts_with("publish-32 ")).expect("a row");
    let was: f64 = row.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    let less = format!("{:.1}", was * 0.9);
    fs::write(tables.table(), text.replace(row, &format!("publish-32 {less}"))).expect("written");
    let grown = icount("check", &tables.0);
    assert_eq!(grown.status.code(), Some(1), "{}", out(&grown));
    let told = format!("publish-32 takes {was:.1} instructions a message, and took {less}: 11.1 % more");
    assert!(err(&grown).contains(&told), "{told}\n{}", err(&grown));
    assert!(err(&grown).contains("KEEP=1"), "it says what to do where that has to be: {}", err(&grown));
}

#[test]
fn without_a_table_the_counts_are_printed_and_all_is_well() {
    let tables = Tables::new("none");
    let counted = icount("check", &tables.0);
    if is_skipped(&counted) {
        return;
    }
    assert!(counted.status.success(), "{}", err(&counted));
    let said = out(&counted);
    assert!(said.contains("publish-32") && said.contains("nothing to compare with"), "{said}");
    assert!(said.contains("make icount KEEP=1"), "it says how to keep them: {said}");
    assert!(fs::read_dir(&tables.0).expect("it is there").next().is_none(), "a check writes nothing");
}

#[test]
fn a_damaged_table_is_told_with_its_file_and_line() {
    let tables = Tables::new("damaged");
    if is_skipped(&icount("keep", &tables.0)) {
        return;
    }
    for (damage, told) in [
        ("publish-32 6x.1\n", "line 1: `6x.1` is not a number of instructions"),
        ("# \npublish-32\n", "line 2: `publish-32` is not a path and its instructions"),
        ("", "it has no lines"),
        ("\u{0}\u{1}\n", "line 1"),
    ] {
        fs::write(tables.table(), damage).expect("written");
        let answer = icount("check", &tables.0);
        let said = err(&answer);
        assert_eq!(answer.status.code(), Some(1), "{damage:?}: {said}");
        assert!(said.contains(told) && said.contains(&tables.table().display().to_string()), "{damage:?}: {said}");
        assert!(said.contains("is damaged: mend it, or write it anew with make icount KEEP=1"), "{said}");
    }
}

#[test]
fn a_path_that_is_not_there_is_a_usage_error_that_names_those_that_are() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring-icount"));
    let answer = command.args(["check", "--only", "publish-33"]).stdin(Stdio::null()).output().expect("it runs");
    assert_eq!(answer.status.code(), Some(2));
    assert!(err(&answer).contains("publish-33") && err(&answer).contains("publish-32"), "{}", err(&answer));
}
