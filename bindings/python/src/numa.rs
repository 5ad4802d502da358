//! On which NUMA node memory is to be: a machine with one node has nothing to choose.

use crate::args::Length;
use crate::error::{OrRaise, invalid};
use pyo3::prelude::*;
use slipring::Cause;
use std::path::Path;

/// Where the kernel lists its nodes.
const NODES: &str = "/sys/devices/system/node";

/// Whether memory is on `node` whatever one does.
pub(crate) fn check(py: Python<'_>, node: Length) -> PyResult<()> {
    let there = |number: usize| Path::new(NODES).join(format!("node{number}")).exists();
    // A kernel that knows no nodes has one.
    if node.0 != 0 && !there(node.0) {
        return Err(invalid(py, format!("this machine has no NUMA node {}", node.0)));
    }
    if node.0 == 0 && !there(1) {
        return Ok(());
    }
    let what = "memory of an open end cannot be moved to a NUMA node; start the process under numactl --membind";
    Err(Cause::Unsupported { what }).or_raise(py)
}
