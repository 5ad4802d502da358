//! What the core tells in passing, as records of Python's `logging`.
//!
//! The core speaks wherever it is: without the interpreter's lock, or with a lock of its own, under which nothing of Python's may run.
//! So what it says is written down, and [`deliver`]ed by a call that has reached its end. Python's level is looked up whenever an end
//! is opened ([`refresh`]); while nobody listens, an event costs the core one load, as if this were not here.

use pyo3::prelude::*;
use pyo3::types::PyModule;
use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, TryLockError};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

/// How many records are kept for a call that delivers them. What is more is counted, and said.
const KEPT: usize = 256;

/// The levels of Python's, with the core's. The lowest has no name there.
const LEVELS: [(u8, Level); 5] =
    [(5, Level::TRACE), (10, Level::DEBUG), (20, Level::INFO), (30, Level::WARN), (40, Level::ERROR)];

/// What was said and not yet delivered, and up to which level anybody listens.
struct Said {
    level: LevelFilter,
    records: Vec<(&'static str, Level, String)>,
    lost: u64,
}

static SAID: Mutex<Said> = Mutex::new(Said { level: LevelFilter::OFF, records: Vec::new(), lost: 0 });

/// The notebook, unless somebody writes in it at this moment, who may be a thread that a fork left behind for good. A lost record is
/// better than a wait.
fn said() -> Option<MutexGuard<'static, Said>> {
    match SAID.try_lock() {
        Ok(said) => Some(said),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Writes events down.
struct Notebook;

impl Subscriber for Notebook {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level changes with Python's, so each event asks.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= LevelFilter::current()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(said().map_or_else(LevelFilter::current, |said| said.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let Some(mut said) = said() else { return };
        if said.records.len() < KEPT {
            let metadata = event.metadata();
            said.records.push((metadata.target(), *metadata.level(), text.0));
        } else {
            said.lost += 1;
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        // The core opens none.
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// An event in one line: what it says, and its fields.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => {
                let fields = std::mem::take(&mut self.0);
                write!(self.0, "{value:?}{fields}")
            }
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Looks up from which level on anybody listens.
pub(crate) fn refresh(py: Python<'_>) {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Nobody else can have installed one: this copy of the core is the extension's own.
        let _ = tracing::subscriber::set_global_default(Notebook);
    });
    let level = match lowest(py) {
        Ok(level) => level,
        Err(error) => return error.write_unraisable(py, None),
    };
    let before = said().map(|mut said| std::mem::replace(&mut said.level, level));
    if before.is_some_and(|before| before != level) {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// The lowest level that is listened to.
fn lowest(py: Python<'_>) -> PyResult<LevelFilter> {
    let logger = py.import("logging")?.call_method1("getLogger", ("slipring",))?;
    for (number, level) in LEVELS {
        if logger.call_method1("isEnabledFor", (number,))?.is_truthy()? {
            return Ok(LevelFilter::from_level(level));
        }
    }
    Ok(LevelFilter::OFF)
}

/// Hands over what was said. What goes wrong there is no failure of the call that does it.
pub(crate) fn deliver(py: Python<'_>) {
    let (records, lost) = {
        let Some(mut said) = said().filter(|said| !said.records.is_empty()) else { return };
        (std::mem::take(&mut said.records), std::mem::take(&mut said.lost))
    };
    let pending = PyErr::take(py);
    if let Err(error) = hand_over(py, &records, lost) {
        error.write_unraisable(py, None);
    }
    if let Some(pending) = pending {
        pending.restore(py);
    }
}

fn hand_over(py: Python<'_>, records: &[(&'static str, Level, String)], lost: u64) -> PyResult<()> {
    let logging = PyModule::import(py, "logging")?;
    for (target, level, text) in records {
        let number = LEVELS.iter().find(|(_, known)| known == level).map_or(10, |(number, _)| *number);
        let logger = logging.call_method1("getLogger", (target.replace("::", "."),))?;
        logger.call_method1("log", (number, "%s", text))?;
    }
    if lost > 0 {
        let logger = logging.call_method1("getLogger", ("slipring",))?;
        logger.call_method1("warning", ("%d more events were not kept", lost))?;
    }
    Ok(())
}
