//! `results.py`: what it makes of a record of `compare`, in a copy of the repository's folders that has nothing else. Where there
//! is no Python there is nothing to test, and `ci/check.sh` says so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const SCRIPTS: [&str; 3] = ["results.py", "compared.py", "figures.py"];
const PAGE: &str = "# Page\n<!-- rows -->\n<!-- /rows -->\n<!-- compared -->\nold\n<!-- /compared -->\nafter\n";

/// A repository with pages, scripts and records only.
struct Copy(PathBuf);

impl Copy {
    /// `None` where no Python can run them.
    fn new(name: &str) -> Option<Self> {
        Command::new("python3").arg("--version").output().ok().filter(|output| output.status.success())?;
        let root = std::env::temp_dir().join(format!("slipring-results-{}-{name}", std::process::id()));
        std::fs::create_dir_all(root.join("bench")).expect("make a folder");
        std::fs::create_dir_all(root.join("docs")).expect("make a folder");
        for script in SCRIPTS {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
            std::fs::copy(from, root.join("bench").join(script)).expect("copy a script");
        }
        for page in ["README.md", "docs/COMPARE.md"] {
            std::fs::write(root.join(page), PAGE).expect("write a page");
        }
        Some(Self(root))
    }

    /// A record of `date`; one that compared if there are `rows`.
    fn record(&self, date: &str, rows: &[Value]) {
        let folder = self.0.join("bench/record/some-2cpu").join(date);
        std::fs::create_dir_all(folder.join("compare")).expect("make a folder");
        std::fs::write(folder.join("machine.txt"), "date of the day\n").expect("write the machine");
        if !rows.is_empty() {
            let lines: Vec<String> = rows.iter().map(ToString::to_string).collect();
            std::fs::write(folder.join("compare/compare.jsonl"), lines.join("\n")).expect("write the rows");
            std::fs::write(folder.join("compare/compare-rtt-32-spin.svg"), "<svg/>").expect("write a picture");
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let script = self.0.join("bench/results.py");
        Command::new("python3").arg("-B").arg(script).args(arguments).output().expect("run the script")
    }

    /// Runs it, and answers what then stands between the marks of the README and of the page.
    fn written(&self) -> [String; 2] {
        let output = self.run(&[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        ["README.md", "docs/COMPARE.md"].map(|page| {
            let text = std::fs::read_to_string(self.0.join(page)).expect("read a page");
            assert!(text.starts_with("# Page\n") && text.ends_with("<!-- /compared -->\nafter\n"), "{text}");
            let between =
                text.split("<!-- compared -->").nth(1).and_then(|rest| rest.split("<!-- /compared -->").next());
            between.expect("the marks are kept").to_owned()
        })
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A row of a round trip or of a stream.
fn row(work: &str, system: &str, ratio: Option<[f64; 3]>, against: Option<&str>) -> Value {
    json!({
        "work": work, "system": system, "payload": 32, "wait": "spin", "clients": 1, "load_pct": null,
        "p50_ns": 400, "p999_ns": 4000, "msgs_per_s": 5e6, "bytes_per_s": 1.6e8, "floor_p50_ns": 300.0,
        "version": "1.2.3", "status": "ok", "why": null, "against": against,
        "ratio": ratio.map(|ratio| ratio[0]), "ratio_low": ratio.map(|ratio| ratio[1]), "ratio_high": ratio.map(|ratio| ratio[2]),
    })
}

/// One cell in which slipring is held against two systems.
fn cell(work: &str, tachyon: [f64; 3], pipe: [f64; 3]) -> Vec<Value> {
    vec![
        row(work, "floor-F", None, None),
        row(work, "slipring", Some(tachyon), Some("tachyon")),
        row(work, "slipring", Some(pipe), Some("pipe")),
        row(work, "tachyon", None, None),
        row(work, "pipe", None, None),
    ]
}

#[test]
fn what_is_lost_is_marked_and_comes_first() {
    let Some(copy) = Copy::new("lost") else { return };
    let won = cell("rtt", [0.5, 0.4, 0.6], [0.9, 0.8, 1.1]);
    // More of a stream is better.
    let lost = cell("stream", [0.5, 0.4, 0.6], [1.5, 1.4, 1.6]);
    copy.record("2026-01-02", &[won, lost].concat());
    let [readme, page] = copy.written();
    let lines: Vec<&str> = readme.lines().filter(|line| line.starts_with("| ") && line.contains("32 B")).collect();
    assert_eq!(
        lines,
        [
            "| stream, 32 B, spin | 5.00 M/s | 1.50 (1.40 to 1.60) | **0.50 (0.40 to 0.60)** |",
            "| round trip, 32 B, spin | 400 ns | = 0.90 (0.80 to 1.10) | 0.50 (0.40 to 0.60) |",
        ]
    );
    let first = page.lines().find(|line| line.contains("**")).expect("something is marked");
    assert!(page.find("### Lost") < page.find("### Everything"), "{page}");
    assert!(first.contains("**missed**") && first.contains("tachyon"), "{first}");
    assert!(
        page.contains("| stream, 32 B, spin | 5.00 M/s | tachyon | 5.00 M/s | **0.50 (0.40 to 0.60)** |"),
        "{page}"
    );
    assert!(page.contains("(../bench/record/some-2cpu/2026-01-02/compare/compare-rtt-32-spin.svg)"), "{page}");
}

#[test]
fn a_system_that_failed_is_told_with_its_reason() {
    let Some(copy) = Copy::new("failed") else { return };
    let mut rows = cell("rtt", [0.5, 0.4, 0.6], [0.5, 0.4, 0.6]);
    rows.remove(2);
    let pipe = rows.last_mut().expect("the pipe's");
    (pipe["status"], pipe["why"]) = ("hung".into(), "process 7 said nothing in time".into());
    copy.record("2026-01-02", &rows);
    let [readme, page] = copy.written();
    assert!(readme.contains("| round trip, 32 B, spin | 400 ns | hung | 0.50 (0.40 to 0.60) |"), "{readme}");
    assert!(page.contains("| pipe | hung: process 7 said nothing in time | round trip, 32 B, spin |"), "{page}");
}

#[test]
fn the_last_record_that_compared_stays_and_without_one_it_says_how_to_make_one() {
    let Some(copy) = Copy::new("last") else { return };
    copy.record("2026-01-01", &[]);
    for text in copy.written() {
        assert!(text.contains("`make bench` makes one"), "{text}");
    }
    copy.record("2026-01-02", &cell("rtt", [0.5, 0.4, 0.6], [0.7, 0.6, 0.8]));
    copy.record("2026-01-03", &[]);
    for text in copy.written() {
        assert!(text.contains("0.70 (0.60 to 0.80)"), "{text}");
    }
}

#[test]
fn a_page_that_is_not_what_the_record_says_fails_the_check() {
    let Some(copy) = Copy::new("check") else { return };
    copy.record("2026-01-02", &cell("rtt", [0.5, 0.4, 0.6], [0.7, 0.6, 0.8]));
    let stale = copy.run(&["--check"]);
    let said = String::from_utf8_lossy(&stale.stderr).into_owned();
    assert!(
        stale.status.code() == Some(1) && said.contains("docs/COMPARE.md") && said.contains("make results"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(copy.0.join("README.md")).expect("read it"), PAGE, "a check writes nothing");
    copy.written();
    assert!(copy.run(&["--check"]).status.success());
    std::fs::write(copy.0.join("README.md"), "no marks").expect("write the page");
    let said = String::from_utf8_lossy(&copy.run(&["--check"]).stderr).into_owned();
    assert!(said.contains("README.md has no place for rows"), "{said}");
}
