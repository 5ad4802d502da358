//! The program as scripts use it: what it prints, and how it ends. Nothing here looks at how long anything took.

use std::io::Read;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

/// The longest that any run here may take; the slowest, the tour, takes half a minute on a quiet machine.
const WATCHDOG: Duration = Duration::from_secs(300);

/// The keys of a row, all of them.
const KEYS: &str = "work system payload reply wait api backend trust fence counters gap_ns clients idle inflight hold samples p50_ns \
                    p90_ns p99_ns p999_ns p9999_ns max_ns msgs_per_s bytes_per_s floor floor_p50_ns floor_p99_ns cpu_s \
                    wakeups rss_bytes pss_bytes slowest_share verified cpus steal_pct commit";

fn program(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring-bench"));
    command.args(line.split_whitespace()).stdin(Stdio::null());
    command
}

/// Runs it to its end, under the watchdog.
fn run(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start the program");
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read_out = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        out.read_to_end(&mut bytes).map(|_| bytes)
    });
    let read_err = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        err.read_to_end(&mut bytes).map(|_| bytes)
    });
    let status = end_of(&mut child);
    Output { status, stdout: read_out.join().unwrap().unwrap(), stderr: read_err.join().unwrap().unwrap() }
}

fn end_of(child: &mut Child) -> std::process::ExitStatus {
    wait_for("the program ends", || child.try_wait().expect("ask for its end"))
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < WATCHDOG, "the watchdog fired before {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The rows that a run prints, checked for what all rows have in common.
fn rows(line: &str) -> Vec<Value> {
    let output = run(program(line));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {:?}\n{errors}", output.status);
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let mut keys: Vec<&str> = KEYS.split_whitespace().collect();
    keys.sort_unstable();
    for row in &rows {
        let object = row.as_object().expect("an object");
        let mut found: Vec<&str> = object.keys().map(String::as_str).collect();
        found.sort_unstable();
        assert_eq!(found, keys, "{line}");
        assert_eq!(row["verified"], true, "{line}: {row}");
        assert_eq!(row["work"], line.split_whitespace().next().unwrap(), "{row}");
    }
    rows
}

fn systems(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["system"].as_str().expect("a name")).collect()
}

/// The key has a number above zero in this row.
fn assert_counts(row: &Value, keys: &[&str]) {
    for key in keys {
        assert!(row[key].as_f64().is_some_and(|number| number > 0.0), "{key} of {row}");
    }
}

const LATENCIES: [&str; 7] = ["samples", "p50_ns", "p90_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns"];

#[test]
fn floor_tells_all_five_floors() {
    let rows = rows("floor --seconds 0.1 --payload 4096 --json");
    assert_eq!(systems(&rows), ["floor-F", "floor-W", "floor-B", "floor-B0", "floor-S"]);
    for index in [0, 1, 4] {
        assert_counts(&rows[index], &LATENCIES);
    }
    for index in [2, 3] {
        assert_counts(&rows[index], &["msgs_per_s", "bytes_per_s"]);
        assert_eq!(rows[index]["p50_ns"], Value::Null);
    }
    assert_eq!((&rows[0]["payload"], &rows[2]["payload"]), (&32.into(), &4096.into()));
}

#[test]
fn rtt_has_a_row_for_each_wait_and_api_beside_its_floor() {
    let rows = rows("rtt --seconds 0.1 --wait spin,park,adaptive --api copy,claim --json");
    assert_eq!(systems(&rows)[..2], ["floor-F", "floor-W"]);
    assert_eq!(rows.len(), 8);
    for row in &rows[2..] {
        assert_counts(row, &LATENCIES);
        assert_counts(row, &["floor_p50_ns", "floor_p99_ns", "cpu_s", "clients"]);
        assert_eq!(row["floor"], if row["wait"] == "park" { "W" } else { "F" }, "{row}");
        assert_eq!((&row["trust"], &row["backend"]), (&"same-user".into(), &"memfd".into()));
    }
}

#[test]
fn rtt_at_a_distance_keeps_the_distance_in_the_row() {
    let rows = rows("rtt --seconds 0.1 --gap-ns 5000000 --json");
    assert!(rows.iter().all(|row| row["gap_ns"] == 5_000_000), "{rows:?}");
}

#[test]
fn rtt_of_untrusted_fenced_ends_in_a_small_ring_works() {
    let rows = rows("rtt --seconds 0.1 --trust untrusted --fence always --ring 256 --inline 64 --payload 64 --json");
    assert_eq!((&rows[1]["trust"], &rows[1]["fence"]), (&"untrusted".into(), &"always".into()));
}

#[test]
fn either_backend_carries_round_trips_calls_and_streams_and_is_named_in_the_row() {
    for work in ["rtt", "rpc", "stream"] {
        for backend in ["memfd", "posix"] {
            let rows = rows(&format!("{work} --seconds 0.1 --payload 4096 --backend {backend} --json"));
            let ours = rows.iter().filter(|row| row["system"] == "slipring");
            let backends: Vec<_> = ours.map(|row| row["backend"].clone()).collect();
            assert_eq!(backends, [backend], "{work}");
        }
    }
}

#[test]
fn ends_that_count_for_themselves_only_are_measured_in_turns_with_those_that_show_it() {
    for work in ["rtt", "rpc", "stream", "fanin --clients 1"] {
        let rows = rows(&format!("{work} --seconds 0.1 --counters on,off --json"));
        let ours = rows.iter().filter(|row| row["system"] == "slipring");
        let counters: Vec<_> = ours.map(|row| row["counters"].clone()).collect();
        assert_eq!(counters, ["on", "off"], "{work}");
        assert!(rows.iter().all(|row| row["system"] == "slipring" || row["counters"].is_null()), "{work}");
    }
}

#[test]
fn untrusted_ends_carry_short_and_long_payloads_and_say_that_they_fence() {
    for line in
        ["rtt --payload 32,65536", "rpc --payload 32,65536 --inflight 1,8", "stream --payload 32,65536 --hold 0,10"]
    {
        for api in ["copy", "claim"] {
            let rows = rows(&format!("{line} --api {api} --seconds 0.4 --trust untrusted --json"));
            let ours: Vec<_> = rows.iter().filter(|row| row["system"] == "slipring").collect();
            assert!(ours.len() >= 2, "{line}");
            for row in ours {
                assert_counts(row, &["samples", "floor_p50_ns"]);
                assert_eq!((&row["trust"], &row["fence"]), (&"untrusted".into(), &"always".into()));
            }
        }
    }
}

#[test]
fn large_payloads_are_held_against_blocks() {
    for work in ["rtt", "stream"] {
        let rows = rows(&format!("{work} --seconds 0.1 --payload 65536 --json"));
        assert_eq!(systems(&rows), ["floor-B", "slipring"]);
        assert_eq!((&rows[1]["floor"], &rows[1]["floor_p99_ns"]), (&"B".into(), &Value::Null));
        assert_counts(&rows[1], &["floor_p50_ns"]);
    }
}

#[test]
fn each_length_of_a_stream_has_its_own_block_floor_from_16_kib_up() {
    let rows = rows("stream --seconds 0.05 --payload 16383,16384,1048576 --api copy,claim --json");
    assert_eq!(systems(&rows)[..3], ["floor-F", "floor-B", "floor-B"]);
    assert_eq!((&rows[1]["payload"], &rows[2]["payload"]), (&16384.into(), &1_048_576.into()));
    for row in &rows[3..] {
        let short = row["payload"] == 16383;
        assert_eq!(row["floor"], if short { "F" } else { "B" }, "{row}");
        if let Some(floor) = rows[1..3].iter().find(|floor| floor["payload"] == row["payload"]) {
            let block = 1e9 / floor["msgs_per_s"].as_f64().expect("a rate");
            let held_against = row["floor_p50_ns"].as_f64().expect("a floor");
            assert!((held_against / block - 1.0).abs() < 1e-9, "{row} against {floor}");
        }
    }
}

#[test]
fn rpc_tells_times_and_rates_of_calls_beside_the_floor_of_their_wait() {
    let rows = rows("rpc --seconds 0.1 --wait spin,park,adaptive --api copy,claim --inflight 1,16 --json");
    assert_eq!(systems(&rows)[..2], ["floor-F", "floor-W"]);
    assert_eq!(rows.len(), 14);
    for row in &rows[2..] {
        assert_counts(row, &LATENCIES);
        assert_counts(row, &["msgs_per_s", "bytes_per_s", "floor_p50_ns", "clients"]);
        assert_eq!(row["floor"], if row["wait"] == "park" { "W" } else { "F" }, "{row}");
        assert_eq!(row["reply"], 32);
        assert_eq!(row["floor_p99_ns"].is_null(), row["inflight"] == 16, "{row}");
    }
}

#[test]
fn long_requests_and_replies_are_held_against_blocks_filled_and_summed() {
    let long = rows("rpc --seconds 0.05 --payload 32 --reply 65536 --wait spin --api copy,claim --json");
    assert_eq!(systems(&long)[..2], ["floor-F", "floor-S"]);
    let time = |row: &Value| row["p50_ns"].as_f64().expect("a median");
    for row in &long[2..] {
        assert_eq!(row["floor"], "F + 1.15 S(65536)");
        let sum = row["floor_p50_ns"].as_f64().expect("a floor");
        assert!((sum - time(&long[0]) - 1.15 * time(&long[1])).abs() < 1e-6, "{row}");
    }
    let both = rows("rpc --seconds 0.05 --payload 16384 --reply 65536 --wait park --json");
    assert_eq!(systems(&both), ["floor-W", "floor-S", "floor-S", "slipring"]);
    assert_eq!(both[3]["floor"], "W + 1.15 S(16384) + 1.15 S(65536)");
}

#[test]
fn calls_ride_in_the_smallest_ring_and_in_large_ones() {
    for line in
        ["--ring 1024 --payload 400", "--inline 65536 --payload 65536 --inflight 8", "--inflight 4096 --wait spin"]
    {
        let rows = rows(&format!("rpc --seconds 0.05 {line} --json"));
        assert_counts(rows.last().expect("a row"), &["samples", "msgs_per_s"]);
    }
}

#[test]
fn a_reader_that_holds_messages_reads_on() {
    let rows = rows("stream --seconds 0.1 --payload 100,16384 --api copy,claim --hold 0,1000 --json");
    let ours = &rows[2..];
    assert_eq!(ours.len(), 8);
    for row in ours {
        assert_counts(row, &["samples", "msgs_per_s", "floor_p50_ns"]);
    }
    let held: Vec<_> = ours.iter().map(|row| row["hold"].as_u64().expect("a number")).collect();
    assert_eq!(held, [0, 1000, 0, 1000, 0, 1000, 0, 1000]);
}

#[test]
fn stream_tells_rates_and_no_percentiles() {
    let rows = rows("stream --seconds 0.2 --payload 32,100,1024 --api copy,claim --json");
    assert_eq!(rows.len(), 7);
    for row in &rows[1..] {
        assert_counts(row, &["samples", "msgs_per_s", "bytes_per_s", "floor_p50_ns"]);
        assert_eq!((&row["p50_ns"], &row["wait"]), (&Value::Null, &"adaptive".into()));
    }
}

#[test]
fn a_stream_in_the_smallest_ring_arrives() {
    for wait in ["spin", "park", "adaptive"] {
        let rows = rows(&format!("stream --seconds 0.1 --ring 256 --inline 64 --wait {wait} --json"));
        assert_counts(&rows[1], &["samples"]);
    }
}

#[test]
fn fanin_tells_of_every_crowd_beside_one_client_alone() {
    let rows = rows("fanin --seconds 0.1 --clients 3,9 --processes 2 --wait spin,park,adaptive --json");
    let crowds: Vec<_> =
        rows.iter().map(|row| (row["wait"].as_str().unwrap(), row["clients"].as_u64().unwrap())).collect();
    let each = |wait| [(wait, 1), (wait, 3), (wait, 9)];
    assert_eq!(crowds, [each("spin"), each("park"), each("adaptive")].concat());
    for row in &rows {
        assert_counts(row, &LATENCIES);
        assert_counts(row, &["msgs_per_s", "bytes_per_s", "cpu_s", "rss_bytes", "pss_bytes", "slowest_share"]);
        assert_eq!((&row["system"], &row["reply"], &row["idle"]), (&"slipring".into(), &32.into(), &0.into()));
        assert!(row["slowest_share"].as_f64().unwrap() <= 1.0, "{row}");
    }
}

#[test]
fn fanin_among_idle_sessions_weighs_them_too() {
    let rows = rows("fanin --seconds 0.1 --clients 1 --idle 40 --gap-ns 1000000 --payload 5000 --json");
    let found: Vec<_> = rows.iter().map(|row| (row["clients"].as_u64(), row["idle"].as_u64())).collect();
    assert_eq!(found, [(Some(1), Some(0)), (Some(1), Some(40))]);
    assert!(rows[1]["pss_bytes"].as_u64() > rows[0]["pss_bytes"].as_u64(), "{rows:?}");
    assert!(rows.iter().all(|row| row["gap_ns"] == 1_000_000), "{rows:?}");
}

#[test]
fn fanin_works_on_either_backend_and_without_trust() {
    for ends in ["--backend posix", "--trust untrusted", "--fence always --ring 1024 --inline 64"] {
        let rows = rows(&format!("fanin --seconds 0.05 --clients 2 --payload 100 {ends} --json"));
        assert_eq!(rows.len(), 2, "{ends}");
    }
}

#[test]
fn any_process_of_a_crowd_that_dies_ends_the_run_with_4() {
    for which in [0, 1, 5] {
        let mut command = program("fanin --seconds 60 --clients 2 --idle 2");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start the program");
        // A server and a client, then a server, two clients, and two processes of idle sessions.
        let all = wait_for("all exist", || Some(children(child.id())).filter(|all| all.len() == 7));
        std::thread::sleep(Duration::from_millis(100));
        kill_process(all[which], Signal::KILL).expect("kill one");
        assert_eq!(end_of(&mut child).code(), Some(4), "process {which}");
    }
}

#[test]
fn a_shared_object_that_is_mapped_is_handed_over_beside_twice_the_floor() {
    for (wait, floor) in [("adaptive", "2 F + 5 us"), ("park", "2 W + 5 us")] {
        let rows = rows(&format!("rtt --shared --payload 3000001 --wait {wait} --seconds 0.1 --json"));
        assert_counts(&rows[1], &LATENCIES);
        assert_eq!((&rows[1]["floor"], &rows[1]["api"]), (&floor.into(), &"shared".into()));
        assert_eq!(rows[1]["payload"], 3_000_001);
        let (two, one) = (rows[1]["floor_p50_ns"].as_f64(), rows[0]["p50_ns"].as_f64());
        assert!((two.unwrap() - 2.0 * one.unwrap() - 5000.0).abs() < 1e-6, "{rows:?}");
    }
    let rows = rows("stream --shared --payload 1048576 --trust untrusted --seconds 0.1 --json");
    assert_counts(&rows[1], &["samples", "msgs_per_s"]);
}

#[test]
fn fresh_memory_is_held_against_untouched_pages() {
    let rows = rows("stream --fresh --payload 65536,50000000 --api copy,claim --seconds 0.05 --json");
    assert_eq!(systems(&rows)[..2], ["floor-B0", "floor-B0"]);
    assert_eq!(rows.len(), 6);
    for row in &rows[2..] {
        assert_counts(row, &["samples", "msgs_per_s", "floor_p50_ns"]);
        assert_eq!(row["floor"], "B0");
    }
}

#[test]
fn first_attach_touch_and_the_memory_of_many_readers_each_have_a_row() {
    let len = 5_000_000_u64;
    let rows = rows(&format!("shared --payload {len} --readers 3 --seconds 0.1 --json"));
    let apis: Vec<_> = rows.iter().map(|row| row["api"].as_str().expect("a word")).collect();
    assert_eq!(apis, ["attach", "touch", "readers"]);
    rows[..2].iter().for_each(|row| assert_counts(row, &LATENCIES));
    assert_eq!((&rows[2]["clients"], &rows[2]["p50_ns"]), (&3.into(), &Value::Null));
    let (pss, rss) = (rows[2]["pss_bytes"].as_u64().unwrap(), rows[2]["rss_bytes"].as_u64().unwrap());
    assert!((len - 16384..len + 16384).contains(&pss), "one copy: {pss}");
    assert!(rss >= 3 * len, "mapped by all: {rss}");
}

#[test]
fn round_trips_beside_a_crowd_have_a_row_alone_and_one_beside_it() {
    let output = run(program("rtt --beside 9 --seconds 0.1 --json"));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("9 sessions beside got"), "{errors}");
    let rows = rows("rtt --beside 3 --wait adaptive,park --seconds 0.1 --json");
    assert_eq!(systems(&rows), ["floor-F", "floor-W", "slipring", "slipring", "slipring", "slipring"]);
    let clients: Vec<_> = rows[2..].iter().map(|row| row["clients"].as_u64().expect("a number")).collect();
    assert_eq!(clients, [1, 4, 1, 4]);
    rows.iter().for_each(|row| assert_counts(row, &LATENCIES));
}

#[test]
fn many_accepts_are_one_sample() {
    let rows = rows("connect --clients 100 --seconds 0.1 --json");
    assert_counts(&rows[0], &LATENCIES);
    assert_counts(&rows[0], &["msgs_per_s"]);
    assert_eq!(rows[0]["clients"], 100);
}

#[test]
fn wake_lets_the_other_side_fall_asleep() {
    let rows = rows("wake --seconds 0.2 --json");
    assert_eq!(systems(&rows), ["floor-W", "slipring"]);
    assert_counts(&rows[1], &LATENCIES);
    assert_eq!((&rows[1]["wait"], &rows[1]["floor"]), (&"park".into(), &"W".into()));
}

#[test]
fn connect_counts_fresh_sessions() {
    let rows = rows("connect --seconds 0.2 --json");
    assert_eq!(systems(&rows), ["slipring"]);
    assert_counts(&rows[0], &LATENCIES);
}

#[test]
fn idle_tells_processor_time_and_memory() {
    let rows = rows("idle --seconds 0.2 --json");
    assert!(rows[0]["cpu_s"].is_number() && rows[0]["wakeups"].is_number(), "{rows:?}");
    assert_counts(&rows[0], &["rss_bytes", "pss_bytes"]);
}

#[test]
fn death_has_a_row_for_each_way_to_wait() {
    let all = rows("death --seconds 0.05 --json");
    let ways: Vec<&str> = all.iter().map(|row| row["wait"].as_str().expect("a way")).collect();
    assert_eq!(ways, ["park", "spin", "send", "try"]);
    all.iter().for_each(|row| assert_counts(row, &LATENCIES));
    let one = rows("death --seconds 0.05 --while send --json");
    assert_eq!((one.len(), &one[0]["wait"]), (1, &"send".into()));
}

#[test]
fn people_get_a_table() {
    let output = run(program("rtt --seconds 0.05"));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for word in ["system", "floor-F", "slipring", "x floor", "p99.99"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    for line in [
        "",
        "fly",
        "rtt --clients 4",
        "rtt --wait sleep",
        "rtt --payload 7",
        "rtt --inflight 4",
        "rtt --ring 1000",
        "rtt --backend posix --trust untrusted",
        "floor --backend posix",
        "rtt --seconds 0",
        "rtt --cpus 0",
        "rtt --cpus 0,9999",
        "stream --gap-ns 5",
        "stream --hold 5000",
        "rpc --gap-ns 5",
        "rpc --inflight 0",
        "rpc --ring 512",
        "rpc --ring 1024 --inflight 64 --seconds 0.1",
        "death --while asleep",
        "stream --payload 1073741825",
        "floor --payload 1073741824",
        "fanin --clients 0",
        "fanin --clients 2 --inflight 4",
        "fanin --idle x",
        "fanin --backend posix --trust untrusted",
        "fanin --cpus 0,9999",
        "idle --payload 32",
        "rtt --beside 5000",
        "rtt --beside 2 --shared",
        "stream --shared --hold 2",
        "connect --clients 0",
    ] {
        let output = run(program(line));
        assert_eq!(output.status.code(), Some(2), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{line}");
    }
}

#[test]
fn damage_in_any_work_is_found() {
    for line in [
        "floor --payload 4096",
        "rtt --wait spin",
        "rtt --wait park --api claim",
        "stream",
        "stream --payload 1000 --api claim",
        "stream --payload 20000 --api claim --hold 10",
        "rpc --wait spin",
        "rpc --wait park --api claim --reply 65536",
        "rpc --payload 20000 --inflight 16",
        "rpc --trust untrusted --api claim --inflight 16",
        "wake --gap-ns 1000",
        "connect",
        "connect --clients 20",
        "rtt --shared --payload 100000",
        "rtt --beside 2",
        "stream --shared --payload 100000",
        "stream --fresh --payload 100000",
        "shared --payload 100000 --readers 2",
        "fanin",
        "fanin --wait park --clients 20 --payload 5000",
    ] {
        let output = run(program(&format!("{line} --seconds 0.2 --damage 3 --json")));
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{line}: {errors}");
        assert!(output.stdout.is_empty(), "{line}");
        assert!(errors.contains("is lost or damaged"), "{line}: {errors}");
    }
}

/// The children of a process of one thread.
fn children(pid: u32) -> Vec<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|word| word.parse().ok().and_then(Pid::from_raw)).collect()
}

/// Starts a long measurement and waits until its two workers exist.
fn long_run(line: &str) -> (Child, Vec<Pid>) {
    let mut command = program(line);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("start the program");
    let pid = child.id();
    let workers = wait_for("two workers exist", || Some(children(pid)).filter(|workers| workers.len() == 2));
    (child, workers)
}

#[test]
fn a_worker_that_dies_ends_the_run_with_4() {
    for (line, which) in [("rtt --seconds 60", 0), ("rtt --seconds 60 --wait park", 1), ("floor --seconds 60", 1)] {
        let (mut child, workers) = long_run(line);
        std::thread::sleep(Duration::from_millis(100));
        kill_process(workers[which], Signal::KILL).expect("kill a worker");
        assert_eq!(end_of(&mut child).code(), Some(4), "{line}");
    }
}

#[test]
fn workers_do_not_outlive_who_started_them() {
    let (mut child, workers) = long_run("floor --seconds 60");
    child.kill().expect("kill the program");
    child.wait().expect("collect it");
    for worker in workers {
        wait_for("the worker is gone", || test_kill_process(worker).is_err().then_some(()));
    }
}

#[test]
fn a_run_sweeps_up_after_one_that_was_killed() {
    let base = std::env::temp_dir().join(format!("slipring-bench-test-{}", std::process::id()));
    std::fs::create_dir(&base).expect("make a directory");
    let in_base = |line| {
        let mut command = program(line);
        command.env("TMPDIR", &base);
        command
    };
    let entries = || std::fs::read_dir(&base).expect("look into it").count();
    let mut killed = in_base("floor --seconds 60").stdout(Stdio::null()).spawn().expect("start the program");
    wait_for("its directory exists", || (entries() == 1).then_some(()));
    killed.kill().expect("kill it");
    killed.wait().expect("collect it");
    assert_eq!(entries(), 1);
    assert!(run(in_base("rtt --seconds 0.05")).status.success());
    assert_eq!(entries(), 0);
    std::fs::remove_dir(&base).expect("it is empty");
}

#[test]
fn with_one_cpu_it_says_so_and_still_runs() {
    let output = std::thread::spawn(|| {
        let allowed = sched_getaffinity(None).expect("ask for the CPUs");
        let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).expect("there is a CPU");
        let mut one = CpuSet::new();
        one.set(first);
        sched_setaffinity(None, &one).expect("keep to one CPU");
        run(program("rtt --seconds 0.05 --wait park --json"))
    });
    let output = output.join().expect("the run");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("only one CPU is available"), "{errors}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let row: Value = serde_json::from_str(text.lines().last().expect("a row")).expect("an object");
    assert_eq!((&row["cpus"], &row["verified"]), (&Value::Null, &true.into()));
}

#[test]
fn the_tour_carries_a_file_and_leaves_nothing_behind() {
    let mut command = program("run");
    command.env("FILE", env!("CARGO_BIN_EXE_slipring-bench"));
    let output = run(command);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}\n{errors}");
    for words in [
        "(a)",
        "(h)",
        "each answered and checked",
        "reader 4",
        "1.00 copies",
        "right, right",
        "dropped in random order: every SHA-256 right",
        "slipring RpcBus",
        "\"the peer died\"",
        "nothing left",
        "nothing is left",
    ] {
        assert!(text.contains(words), "{words} in\n{text}");
    }
    assert!(!errors.contains('['), "no progress bar where nobody looks: {errors}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = run(program("run --file /nonexistent/file"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/file"));
}
