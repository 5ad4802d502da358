//! Papers: what a comparison tells people, as tables on a terminal and as a page of Markdown.

use std::fmt::Write;

use super::plots::Picture;
use super::rows::{CellResult, CompareRow, Entry};
use crate::table::{Table, amount, time};

/// The tables for a terminal.
pub(super) fn text(results: &[CellResult], machine: &[String]) -> String {
    let mut text = String::new();
    for result in results {
        let _ = writeln!(text, "{}\n{}", result.cell.title(), table(result));
    }
    for line in machine {
        let _ = writeln!(text, "  {line}");
    }
    text + "\n" + READING
}

/// How a table is to be read.
const READING: &str = "  `ours / its`: the median over pairs of blocks of what slipring has to what that system has, and the \
                       interval of 95 % of its bootstrap: a share of its time, or a multiple of its messages a second. \
                       Every payload was written, read and checked on both sides.\n";

/// The page for a record.
pub(super) fn markdown(results: &[CellResult], machine: &[String], pictures: &[Picture]) -> String {
    let mut text = String::from("# slipring beside other systems\n\n");
    for line in machine {
        let _ = writeln!(text, "- {line}");
    }
    let _ = writeln!(text, "\n{}", READING.trim());
    for result in results {
        let _ = write!(text, "\n## {}\n\n{}", result.cell.title(), table(result).markdown());
    }
    if !pictures.is_empty() {
        text += "\n## Pictures\n";
    }
    for picture in pictures {
        let _ = writeln!(text, "\n![{}]({}.svg)", picture.caption, picture.name);
    }
    text
}

/// One cell.
fn table(result: &CellResult) -> Table {
    let headings = [
        "system",
        "version",
        "wait",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max",
        "messages/s",
        "bytes/s",
        "x floor",
        "CPU a message",
        "CPU",
        "wake-ups",
        "PSS a session",
        "samples",
        "ours / its",
        "95 %",
        "status",
    ];
    let mut table = Table::new(&headings);
    for floor in &result.floors {
        table.line(cells(floor, None));
    }
    for entry in &result.entries {
        table.line(cells(&entry.row, Some(entry)));
    }
    table.without_empty_columns()
}

fn cells(compared: &CompareRow, entry: Option<&Entry>) -> Vec<String> {
    let row = &compared.row;
    let ns = |value: Option<u64>| value.map_or(String::new(), |ns| time(ns as f64));
    let number = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
    let floor = match (row.time_ns(), row.floor_p50_ns) {
        (Some(value), Some(floor)) => {
            format!("{:.3} {}", value / floor, row.floor.as_deref().unwrap_or_default())
        }
        _ => String::new(),
    };
    let ratio = entry.and_then(|entry| entry.ours_to_it);
    let status = match &compared.why {
        Some(why) => format!("{}: {why}", compared.status),
        None => String::new(),
    };
    vec![
        row.system.clone(),
        compared.version.clone().unwrap_or_default(),
        row.wait.clone().unwrap_or_default(),
        ns(row.p50_ns),
        ns(row.p90_ns),
        ns(row.p99_ns),
        ns(row.p999_ns),
        ns(row.p9999_ns),
        ns(row.max_ns),
        row.msgs_per_s.map_or(String::new(), |rate| amount(rate, "")),
        row.bytes_per_s.map_or(String::new(), |rate| amount(rate, "B/s")),
        floor,
        compared.cpu_ns_per_message.map_or(String::new(), time),
        row.cpu_s.map_or(String::new(), |seconds| format!("{seconds:.4} s")),
        number(row.wakeups),
        row.pss_bytes.map_or(String::new(), |bytes| amount(bytes as f64, "B")),
        number(row.samples),
        ratio.map_or(String::new(), |ratio| format!("{:.3}", ratio.median)),
        ratio.map_or(String::new(), |ratio| format!("{:.3} to {:.3}", ratio.low, ratio.high)),
        status,
    ]
}
