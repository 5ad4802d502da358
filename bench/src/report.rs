//! Reports: rows as a table for people, and what places a row among others.

use std::process::{Command, Stdio};

use crate::row::Row;
use crate::table::{Table, amount, time};

/// The rows as a table for people.
pub(crate) fn table(rows: &[Row]) -> Table {
    let headings = [
        "system",
        "bytes",
        "reply",
        "wait",
        "api",
        "counters",
        "clients",
        "idle",
        "slowest share",
        "in flight",
        "held",
        "samples",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max",
        "messages/s",
        "bytes/s",
        "a message",
        "x floor",
        "p99 x floor",
        "CPU",
        "wake-ups",
        "RSS",
        "PSS",
    ];
    let many = rows.iter().any(|row| row.slowest_share.is_some() || row.clients > Some(1));
    let quiet = rows.iter().any(|row| row.counters.as_deref() == Some("off"));
    let mut table = Table::new(&headings);
    for row in rows {
        let number = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
        let ns = |value: Option<u64>| value.map_or(String::new(), |ns| time(ns as f64));
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let ratio = |value: Option<f64>, floor: Option<f64>| match (value, floor) {
            (Some(value), Some(floor)) => format!("{:.3} {}", value / floor, text(&row.floor)),
            _ => String::new(),
        };
        let bytes = |value: Option<u64>| value.map_or(String::new(), |bytes| amount(bytes as f64, "B"));
        table.line(vec![
            row.system.clone(),
            number(row.payload),
            number(row.reply),
            text(&row.wait),
            text(&row.api),
            text(&row.counters.clone().filter(|_| quiet)),
            number(row.clients.filter(|_| many)),
            number(row.idle.filter(|&idle| idle > 0)),
            row.slowest_share.map_or(String::new(), |share| format!("{share:.2}")),
            number(row.inflight),
            number(row.hold.filter(|&held| held > 0)),
            number(row.samples),
            ns(row.p50_ns),
            ns(row.p90_ns),
            ns(row.p99_ns),
            ns(row.p999_ns),
            ns(row.p9999_ns),
            ns(row.max_ns),
            row.msgs_per_s.map_or(String::new(), |rate| amount(rate, "")),
            row.bytes_per_s.map_or(String::new(), |rate| amount(rate, "B/s")),
            row.msgs_per_s.map_or(String::new(), |rate| time(1e9 / rate)),
            ratio(row.time_ns(), row.floor_p50_ns),
            ratio(row.p99_ns.map(|ns| ns as f64), row.floor_p99_ns),
            row.cpu_s.map_or(String::new(), |seconds| format!("{seconds:.3} s")),
            number(row.wakeups),
            bytes(row.rss_bytes),
            bytes(row.pss_bytes),
        ]);
    }
    table.without_empty_columns()
}

/// The commit of the sources that this program was built from, if they are still there and git knows them.
pub(crate) fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|commit| !commit.is_empty())
}
