//! Counters and capabilities as dicts.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods};
use slipring::{Backend, Capabilities, State, Stats};

/// The counters of an end, by their names.
pub(crate) fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, count) in [
        ("frames_sent", stats.frames_sent),
        ("bytes_sent", stats.bytes_sent),
        ("frames_received", stats.frames_received),
        ("bytes_received", stats.bytes_received),
        ("waits_for_room", stats.waits_for_room),
        ("parks", stats.parks),
        ("naps", stats.naps),
        ("bells_rung", stats.bells_rung),
        ("bells_heard", stats.bells_heard),
        ("regions", stats.regions.into()),
        ("region_bytes", stats.region_bytes),
        ("blocks_out", stats.blocks_out.into()),
        ("block_bytes_out", stats.block_bytes_out),
        ("block_bytes_high", stats.block_bytes_high),
        ("held_blocks", stats.held_blocks),
        ("held_bytes", stats.held_bytes),
        ("shared_told", stats.shared_told.into()),
        ("shared_known", stats.shared_known.into()),
        ("shared_mapped", stats.shared_mapped),
        ("late_replies", stats.late_replies),
    ] {
        dict.set_item(name, count)?;
    }
    Ok(dict)
}

/// What a session can promise, by name.
pub(crate) fn capabilities<'py>(py: Python<'py>, can: Capabilities) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let backend = match can.backend {
        Backend::Memfd => "memfd",
        Backend::Posix => "posix",
    };
    dict.set_item("backend", backend)?;
    dict.set_item("sealed", can.sealed)?;
    dict.set_item("peer_sealed", can.peer_sealed)?;
    dict.set_item("spill", can.spill)?;
    Ok(dict)
}

/// How a session stands, in a word.
pub(crate) fn state(state: State) -> &'static str {
    match state {
        State::Open => "open",
        State::Closed => "closed",
        State::PeerDied => "peer-died",
        _ => "corrupt",
    }
}
