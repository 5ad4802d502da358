//! Rows: one result, under the keys that outsiders build on. Each key is always there, and null where it does not
//! apply.

use serde::{Deserialize, Serialize};

use crate::flow::Moved;
use crate::meter::Used;
use crate::plan::{BusPlan, word};
use crate::tally::Summary;

/// One result. The fields stand in the order of the records; their names are the keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) system: String,
    pub(crate) payload: Option<u64>,
    pub(crate) reply: Option<u64>,
    pub(crate) wait: Option<String>,
    pub(crate) api: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) trust: Option<String>,
    pub(crate) fence: Option<String>,
    pub(crate) counters: Option<String>,
    pub(crate) gap_ns: Option<u64>,
    pub(crate) clients: Option<u64>,
    pub(crate) idle: Option<u64>,
    pub(crate) inflight: Option<u64>,
    pub(crate) hold: Option<u64>,
    pub(crate) samples: Option<u64>,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p90_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
    pub(crate) p9999_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
    pub(crate) msgs_per_s: Option<f64>,
    pub(crate) bytes_per_s: Option<f64>,
    pub(crate) floor: Option<String>,
    pub(crate) floor_p50_ns: Option<f64>,
    pub(crate) floor_p99_ns: Option<f64>,
    pub(crate) cpu_s: Option<f64>,
    pub(crate) wakeups: Option<u64>,
    pub(crate) rss_bytes: Option<u64>,
    pub(crate) pss_bytes: Option<u64>,
    pub(crate) slowest_share: Option<f64>,
    pub(crate) verified: Option<bool>,
    pub(crate) cpus: Option<String>,
    pub(crate) steal_pct: Option<f64>,
    pub(crate) commit: Option<String>,
}

impl Row {
    /// A row of `work` by `system`. It exists because every payload in it was checked.
    pub(crate) fn new(work: &str, system: &str) -> Self {
        Self { work: work.to_owned(), system: system.to_owned(), verified: Some(true), ..Self::default() }
    }

    /// With what a `Bus` was opened with.
    pub(crate) fn bus(mut self, plan: &BusPlan) -> Self {
        self.wait = Some(word(plan.wait));
        self.api = Some(word(plan.api));
        self.session(plan)
    }

    /// With what every session has: a backend, a trust, a fence scheme, counters or none, and one client.
    pub(crate) fn session(mut self, plan: &BusPlan) -> Self {
        self.backend = Some(word(plan.backend));
        self.trust = Some(word(plan.trust));
        self.fence = Some(word(plan.fences()));
        self.counters = Some(word(plan.counters));
        self.clients = Some(1);
        self
    }

    /// With the percentiles of `summary`.
    pub(crate) fn latencies(mut self, summary: &Summary) -> Self {
        self.samples = Some(summary.samples);
        self.p50_ns = Some(summary.p50_ns);
        self.p90_ns = Some(summary.p90_ns);
        self.p99_ns = Some(summary.p99_ns);
        self.p999_ns = Some(summary.p999_ns);
        self.p9999_ns = Some(summary.p9999_ns);
        self.max_ns = Some(summary.max_ns);
        self
    }

    /// With the rates of messages of `payload` bytes: those of a stream, or calls with their replies.
    pub(crate) fn rates(mut self, moved: &Moved, payload: usize) -> Self {
        let per_second = moved.messages as f64 / moved.time.as_secs_f64();
        self.samples = self.samples.or(Some(moved.messages));
        self.msgs_per_s = Some(per_second).filter(|rate| rate.is_finite());
        self.bytes_per_s = self.msgs_per_s.map(|rate| rate * payload as f64);
        self
    }

    /// With what the busier side used.
    pub(crate) fn used(mut self, used: Used) -> Self {
        self.cpu_s = Some(used.cpu.as_secs_f64());
        self.wakeups = Some(used.wakeups);
        self
    }

    /// The time of one message: the median, or for a stream and for calls that overlap what the rate leaves to each.
    pub(crate) fn time_ns(&self) -> Option<f64> {
        let alone = self.p50_ns.filter(|_| !self.overlaps());
        alone.map(|ns| ns as f64).or_else(|| self.msgs_per_s.map(|rate| 1e9 / rate))
    }

    /// Whether several messages were under way at once, each waiting for those before it.
    pub(crate) fn overlaps(&self) -> bool {
        self.inflight.is_some_and(|calls| calls > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_keys_are_these_in_this_order() {
        let keys = "work system payload reply wait api backend trust fence counters gap_ns clients idle inflight hold samples p50_ns \
                    p90_ns p99_ns p999_ns p9999_ns max_ns msgs_per_s bytes_per_s floor floor_p50_ns floor_p99_ns cpu_s \
                    wakeups rss_bytes pss_bytes slowest_share verified cpus steal_pct commit";
        let text = serde_json::to_string(&Row::new("rtt", "slipring")).unwrap();
        let places: Vec<_> = keys.split_whitespace().map(|key| text.find(&format!("\"{key}\":"))).collect();
        assert!(places.iter().all(Option::is_some), "{text}");
        assert!(places.is_sorted(), "{text}");
        let object: serde_json::Map<_, _> = serde_json::from_str(&text).unwrap();
        assert_eq!(object.len(), places.len());
    }

    #[test]
    fn a_stream_that_moved_nothing_has_no_rate() {
        let row = Row::new("stream", "slipring").rates(&Moved::default(), 32);
        assert_eq!((row.samples, row.msgs_per_s), (Some(0), None));
        let moved = Moved { messages: 500, time: Duration::from_millis(500) };
        assert_eq!(Row::new("stream", "slipring").rates(&moved, 32).time_ns(), Some(1e6));
    }

    #[test]
    fn calls_that_overlap_are_told_by_their_rate_and_others_by_their_median() {
        let row = Row { p50_ns: Some(900), msgs_per_s: Some(1e7), ..Row::new("rpc", "slipring") };
        assert_eq!(row.time_ns(), Some(900.0));
        assert_eq!(Row { inflight: Some(1), ..row.clone() }.time_ns(), Some(900.0));
        assert_eq!(Row { inflight: Some(64), ..row }.time_ns(), Some(100.0));
    }
}
