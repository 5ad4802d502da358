//! `compare` as scripts use it: what it prints and records, and how it ends when a system misbehaves. Nothing here looks at how
//! long anything took.

use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

/// The longest that any run here may take.
const WATCHDOG: Duration = Duration::from_secs(300);

/// What a row of a comparison has beside the keys of every other row.
const KEYS: [&str; 9] =
    ["version", "load_pct", "cpu_ns_per_message", "ratio", "ratio_low", "ratio_high", "against", "status", "why"];

/// A folder of rivals, each the faulty program under a name that says what it does.
struct Rivals(PathBuf);

impl Rivals {
    fn named(names: &[&str]) -> Self {
        let mut numbers = 0..;
        let folder = loop {
            let name = format!("slipring-compare-{}-{}", std::process::id(), numbers.next().unwrap_or(0));
            let folder = std::env::temp_dir().join(name);
            // Another test of this process may have it already.
            if std::fs::create_dir(&folder).is_ok() {
                break folder;
            }
        };
        for name in names {
            symlink(env!("CARGO_BIN_EXE_slipring-bench-faulty"), folder.join(name)).expect("place a rival");
        }
        Self(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipring-bench"));
        command.arg("compare").arg("--rivals").arg(&self.0).args(line.split_whitespace()).stdin(Stdio::null());
        command
    }

    /// One run, which must end with `code`: its rows, and what it says on standard error.
    fn rows(&self, line: &str, code: i32) -> (Vec<Value>, String) {
        let output = run(self.command(&format!("--quick --json {line}")));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{line}: {errors}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        (text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect(), errors)
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs it to its end, under the watchdog.
fn run(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the program");
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let all = |pipe: &mut dyn Read| {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    };
    let read_out = std::thread::spawn(move || all(&mut out));
    let read_err = std::thread::spawn(move || all(&mut err));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("ask for its end") {
            break status;
        }
        if begin.elapsed() > WATCHDOG {
            let _ = child.kill();
            panic!("the watchdog fired before the program ended");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    Output { status, stdout: read_out.join().unwrap().unwrap(), stderr: read_err.join().unwrap().unwrap() }
}

/// The rows of one system.
fn of<'r>(rows: &'r [Value], system: &str) -> Vec<&'r Value> {
    rows.iter().filter(|row| row["system"] == system).collect()
}

/// Every row of the system has this status, and there is one.
fn assert_status(rows: &[Value], system: &str, status: &str) {
    let rows = of(rows, system);
    assert!(!rows.is_empty(), "there is no row of {system}");
    for row in rows {
        assert_eq!(row["status"], status, "{row}");
        assert_eq!(row["verified"], status == "ok", "{row}");
    }
}

#[test]
fn systems_are_measured_beside_each_other_and_slipring_is_held_against_each() {
    let rivals = Rivals::named(&["honest"]);
    let (rows, _) = rivals.rows("--works rtt,stream --payload 64", 0);
    for row in &rows {
        for key in KEYS {
            assert!(row.as_object().is_some_and(|row| row.contains_key(key)), "{key}: {row}");
        }
        // The other one does not spin, and sleeps where slipring adapts.
        let refused = row["system"] == "honest" && row["wait"] == "spin";
        let status = if refused { "unsupported" } else { "ok" };
        assert_eq!((&row["status"], &row["verified"]), (&status.into(), &(!refused).into()), "{row}");
    }
    let (ours, theirs) = (of(&rows, "slipring"), of(&rows, "honest"));
    // Of rtt three waits and of stream two.
    assert_eq!((ours.len(), theirs.len()), (5, 5));
    let parked: Vec<_> = ours.iter().filter(|row| row["work"] == "rtt" && row["wait"] == "park").collect();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0]["against"], "honest");
    assert_eq!(theirs.iter().filter(|row| row["wait"] == "park").count(), 3);
    let number = |key: &str| parked[0][key].as_f64().unwrap_or_else(|| panic!("{key} of {}", parked[0]));
    assert!(number("ratio_low") <= number("ratio") && number("ratio") <= number("ratio_high"));
    assert!(number("samples") > 0.0 && number("p9999_ns") > 0.0 && number("floor_p50_ns") > 0.0);
    assert_eq!(of(&rows, "floor-W").len(), 2, "before and after the parked round trips");
    assert_eq!(theirs[0]["version"], "1.2.3");
}

#[test]
fn another_than_slipring_can_be_what_the_others_are_held_against() {
    let rivals = Rivals::named(&["honest"]);
    let (rows, _) = rivals.rows("--works rtt --payload 64 --waits park --ours honest", 0);
    let (ours, theirs) = (of(&rows, "honest"), of(&rows, "slipring"));
    assert_eq!((ours.len(), theirs.len()), (1, 1), "only the wait that was asked for");
    assert_eq!((&ours[0]["against"], &theirs[0]["against"]), (&"slipring".into(), &Value::Null));
    let (_, said) = rivals.rows("--works rtt --systems slipring --ours honest", 2);
    assert!(said.contains("honest is not among the systems"), "{said}");
}

#[test]
fn every_work_runs() {
    let rivals = Rivals::named(&[]);
    let (rows, _) = rivals.rows("", 0);
    assert_status(&rows, "slipring", "ok");
    let works = "rtt rpc stream open-loop wake connect memory idle one-cpu crowded fanin";
    for work in works.split(' ') {
        assert!(rows.iter().any(|row| row["work"] == work && row["system"] == "slipring"), "{work}");
    }
    let of = |work: &str| rows.iter().find(|row| row["work"] == work && row["system"] == "slipring").unwrap();
    assert!(of("open-loop")["gap_ns"].as_u64().is_some_and(|gap| gap > 0));
    assert!(of("connect")["p50_ns"].as_u64().is_some_and(|ns| ns > 0));
    assert!(of("memory")["pss_bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    assert!(of("idle")["cpu_s"].is_number());
    assert!(rows.iter().any(|row| row["work"] == "fanin" && row["clients"] == 8));
}

#[test]
fn a_system_that_crashes_has_a_row_that_says_so_and_the_run_goes_on() {
    let rivals = Rivals::named(&["crasher", "honest"]);
    let (rows, errors) = rivals.rows("--works rtt,wake --payload 32", 4);
    assert!(rows.iter().any(|row| row["system"] == "crasher" && row["status"] == "died"), "{errors}");
    assert!(errors.contains("crasher") && errors.contains("signal 6"), "{errors}");
    let after: Vec<_> = of(&rows, "honest").into_iter().filter(|row| row["wait"] == "park").collect();
    assert_eq!(after.len(), 4, "two works, of two waits each: {after:?}");
    assert!(after.iter().all(|row| row["status"] == "ok"), "{after:?}");
}

#[test]
fn a_system_that_hangs_is_ended_and_the_run_goes_on() {
    let rivals = Rivals::named(&["hanger", "honest"]);
    let (rows, errors) = rivals.rows("--works stream --payload 32,64,128 --patience 1", 4);
    let hung: Vec<_> = of(&rows, "hanger").into_iter().filter(|row| row["status"] == "hung").collect();
    assert!(!hung.is_empty(), "{errors}");
    assert!(hung.last().unwrap()["why"].as_str().is_some_and(|why| why.contains("left out")), "{hung:?}");
    assert!(errors.contains("hanger: hung"), "{errors}");
    assert!(of(&rows, "honest").iter().any(|row| row["status"] == "ok"));
    assert_status(&rows, "slipring", "ok");
}

#[test]
fn a_message_that_is_damaged_or_lost_fails_the_run() {
    for name in ["damager", "loser"] {
        let rivals = Rivals::named(&[name]);
        let (rows, errors) = rivals.rows("--works stream --payload 64", 3);
        let damaged = of(&rows, name).into_iter().find(|row| row["status"] == "damaged");
        assert!(damaged.is_some_and(|row| row["verified"] == false), "{rows:?}");
        assert!(errors.contains("lost or damaged"), "{errors}");
        assert_status(&rows, "slipring", "ok");
    }
    let (_, errors) = Rivals::named(&[]).rows("--works rtt,stream,open-loop --payload 64 --damage 3", 3);
    assert!(errors.contains("lost or damaged"), "{errors}");
}

#[test]
fn what_a_system_does_not_have_is_no_failure() {
    let rivals = Rivals::named(&["refuser"]);
    let (rows, _) = rivals.rows("--works rtt --payload 32", 0);
    assert_status(&rows, "refuser", "unsupported");
    assert!(of(&rows, "refuser").iter().all(|row| row["why"] == "on principle"));
}

#[test]
fn a_system_that_cannot_be_opened_says_why() {
    let rivals = Rivals::named(&["closed"]);
    let (rows, errors) = rivals.rows("--works wake --payload 32", 1);
    assert!(of(&rows, "closed").iter().any(|row| row["status"] == "failed"));
    assert!(errors.contains("there is nothing to open"), "{errors}");
}

#[test]
fn a_file_that_is_no_system_is_left_out() {
    let rivals = Rivals::named(&[]);
    let script = rivals.path().join("mute");
    std::fs::write(&script, "#!/bin/sh\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (rows, errors) = rivals.rows("--works idle", 0);
    assert!(errors.contains("left out") && errors.contains("mute"), "{errors}");
    assert_status(&rows, "slipring", "ok");
}

#[test]
fn a_program_that_does_not_say_who_it_is_is_ended_and_left_out() {
    let rivals = Rivals::named(&["honest"]);
    let script = rivals.path().join("silent");
    std::fs::write(&script, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (rows, errors) = rivals.rows("--works wake", 0);
    assert!(errors.contains("left out") && errors.contains("silent"), "{errors}");
    assert_eq!(of(&rows, "honest").len(), 2, "{rows:?}");
    assert_status(&rows, "slipring", "ok");
}

#[test]
fn a_system_that_does_not_end_when_it_is_told_to_is_ended() {
    let rivals = Rivals::named(&["lingerer", "honest"]);
    let (rows, errors) = rivals.rows("--works wake", 0);
    assert_status(&rows, "lingerer", "ok");
    assert_eq!(of(&rows, "honest").len(), 2, "{errors}");
    assert_status(&rows, "slipring", "ok");
}

#[test]
fn a_system_that_hangs_while_it_opens_has_a_row_that_says_so() {
    let rivals = Rivals::named(&["sleeper", "honest"]);
    let (rows, errors) = rivals.rows("--works wake --patience 1", 4);
    assert_status(&rows, "sleeper", "hung");
    assert!(errors.contains("sleeper: hung"), "{errors}");
    assert_status(&rows, "honest", "ok");
    assert_status(&rows, "slipring", "ok");
}

#[test]
fn what_cannot_be_is_a_usage_error() {
    let rivals = Rivals::named(&["honest"]);
    for (line, said) in [
        ("--systems slipring,nobody", "there are slipring, honest"),
        ("--systems nobody", "there is no system nobody"),
        ("--payload 7", "7 is not from 8 to 16777216 bytes"),
        ("--payload 16777217", "is not from 8"),
        ("--payload many", "not a number of bytes"),
        ("--works typing", "typing"),
        ("--cpus 0", "not two CPU numbers"),
        ("--cpus 0,1023", "CPU 1023"),
        ("--seconds 0", "is not a time"),
    ] {
        let (rows, errors) = rivals.rows(line, 2);
        assert!(rows.is_empty() && errors.contains(said), "{line}: {errors}");
    }
}

#[test]
fn on_one_cpu_only_what_takes_turns_is_compared() {
    let rivals = Rivals::named(&[]);
    let allowed = sched_getaffinity(None).expect("the CPUs of this process");
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).expect("there is a CPU");
    // Of this thread only, and of the children that it starts.
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("stay on one CPU");
    let (_, errors) = rivals.rows("--works rtt", 2);
    assert!(errors.contains("only one CPU may be used") && errors.contains("one-cpu"), "{errors}");
    let (rows, _) = rivals.rows("--works one-cpu,idle", 0);
    assert_status(&rows, "slipring", "ok");
}

#[test]
fn a_record_holds_rows_tables_and_plots() {
    let rivals = Rivals::named(&["honest"]);
    let folder = rivals.path().join("record/of/today");
    let line = format!("--quick --works wake,stream --payload 32,4096 --record {}", folder.display());
    let output = run(rivals.command(&line));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("stream 32 B spin") && text.contains("honest 1.2.3"), "{text}");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap_or_else(|_| panic!("there is no {name}"));
    assert!(read("compare-messages-adaptive.svg").starts_with(b"<svg"));
    assert!(read("compare-bytes-adaptive.png").starts_with(b"\x89PNG"));
    assert!(read("compare-wake-32-park.png").len() > 1000);
    let rows = String::from_utf8(read("compare.jsonl")).unwrap();
    assert!(rows.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let page = String::from_utf8(read("compare.md")).unwrap();
    for said in ["## wake 32 B park", "| honest |", "- kernel ", "- command slipring-bench compare", ".svg)"] {
        assert!(page.contains(said), "{said}: {page}");
    }
}

#[test]
fn a_record_that_cannot_be_written_is_heard_of_before_anything_is_measured() {
    let rivals = Rivals::named(&[]);
    let file = rivals.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    // Not even root writes into /proc, or below a file.
    for folder in [Path::new("/proc/slipring"), Path::new("/proc/self"), &file, &file.join("below")] {
        let (rows, errors) = rivals.rows(&format!("--record {}", folder.display()), 1);
        assert!(rows.is_empty() && errors.contains("nothing can be written there"), "{}: {errors}", folder.display());
        assert!(errors.contains(&*folder.to_string_lossy()), "{errors}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "no folder");
}

#[test]
fn a_record_that_is_there_already_is_left_alone() {
    let rivals = Rivals::named(&[]);
    let folder = rivals.path().join("yesterday");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("compare.jsonl"), "what was measured yesterday\n").unwrap();
    let (rows, errors) = rivals.rows(&format!("--works idle --record {}", folder.display()), 1);
    assert!(rows.is_empty() && errors.contains("there is a record already"), "{errors}");
    let kept = std::fs::read_to_string(folder.join("compare.jsonl")).unwrap();
    assert_eq!(kept, "what was measured yesterday\n");
}
