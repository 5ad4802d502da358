//! The native half of the Python package `slipring`: the core's types as Python classes.
//!
//! Nothing is decided here. A call checks its arguments, asks the core, and turns the answer into Python objects, or its cause into
//! an exception (`error.rs`). Three things are particular to Python, and each has its file: how a wait lets other threads run and
//! hears signals (`waiting.rs`), how one end is kept to one thread at a time (`end.rs`), and how bytes are shown without a copy for
//! as long as anybody looks at them (`buffer.rs`). Unsafe code stands in `buffer.rs` and `dlpack.rs` alone.
#![deny(unsafe_code)]

mod error;

mod args;
mod end;
mod logging;
mod options;
mod waiting;

mod buffer;
mod dlpack;
mod payload;

mod block;
mod shared;

mod receiving;
mod sending;

mod batch;
mod bus;
mod dispatch;
mod listener;
mod message;
mod observer;
mod placement;
mod poller;
mod rpc;
mod rpc_claims;
mod rx;
mod session;
mod stats;
mod tx;

use pyo3::prelude::*;

/// What stands in the module `slipring._native`. It has not been audited for interpreters without a lock, and says so.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use crate::batch::RxBatchGuard;
    #[pymodule_export]
    use crate::block::Block;
    #[pymodule_export]
    use crate::bus::Bus;
    #[pymodule_export]
    use crate::listener::Listener;
    #[pymodule_export]
    use crate::message::Message;
    #[pymodule_export]
    use crate::observer::Observer;
    #[pymodule_export]
    use crate::placement::pin_thread;
    #[pymodule_export]
    use crate::poller::{Notifier, Poller};
    #[pymodule_export]
    use crate::rpc::RpcBus;
    #[pymodule_export]
    use crate::rx::RxGuard;
    #[pymodule_export]
    use crate::shared::SharedBuffer;
    #[pymodule_export]
    use crate::tx::TxGuard;

    #[pymodule_export]
    use super::{limit_memory, memory_taken};

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        super::PyModuleMethods::add(module, "__version__", env!("CARGO_PKG_VERSION"))?;
        super::PyModuleMethods::add(module, "DEBUG_BUILD", cfg!(debug_assertions))
    }
}

/// The most bytes of shared memory that this process may have made at once.
#[pyfunction]
fn limit_memory(bytes: args::Length) {
    slipring::limit_memory(bytes.0 as u64);
}

/// How many bytes of shared memory this process has made and still has.
#[pyfunction]
fn memory_taken() -> u64 {
    slipring::memory_taken()
}
