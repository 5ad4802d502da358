//! What a thread has once: its node, which owns all its ports; and how two nodes find each other.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use iceoryx2::prelude::{
    Config, FileName, LogLevel, Node, NodeBuilder, Path, SemanticString, ServiceName, ipc, set_log_level,
};
use slipring_bench_kit::patience::nap_until;
use slipring_bench_kit::rival::Job;

/// The version that `Cargo.lock` names; the crate does not tell it.
pub(crate) const VERSION: &str = "0.10.0";

/// A node between processes, for use by one thread, which is what a benchmark of its authors uses too.
pub(crate) type Local = Rc<Node<ipc::Service>>;

thread_local! {
    /// Sessions of one process share a node: that is how it is meant to be used.
    static NODE: OnceCell<Local> = const { OnceCell::new() };
}

/// This thread's node, made when it is first asked for. Making it also removes what processes that died have left: looking
/// for that takes longer the more nodes there are, so of the clients of a crowd only the first does it.
pub(crate) fn of_this_thread(job: &Job) -> Result<Local> {
    NODE.with(|cell| {
        if let Some(node) = cell.get() {
            return Ok(Rc::clone(node));
        }
        set_log_level(LogLevel::Error);
        let mut config = Config::global_config().clone();
        let first = job.client == 0;
        config.global.node.cleanup_dead_nodes_on_creation = first;
        config.global.node.cleanup_dead_nodes_on_destruction = first;
        config.global.service.cleanup_dead_nodes_on_open = first;
        // A process that is killed leaves its files, and whoever started it removes them: by this name, and with this directory.
        config.global.prefix = FileName::new(job.shared_prefix().as_bytes()).context("name shared memory")?;
        let dir = job.dir.to_str().context("a directory with a name in UTF-8")?;
        config.global.set_root_path(&Path::new(dir.as_bytes()).context("name the directory")?);
        let node = NodeBuilder::new().config(&config).create::<ipc::Service>().context("make a node")?;
        Ok(Rc::clone(cell.get_or_init(|| Rc::new(node))))
    })
}

/// The name of one of the services of `job`.
pub(crate) fn service_name(job: &Job, part: &str) -> Result<ServiceName> {
    ServiceName::new(&format!("slipring-bench/{}/{part}", job.name)).context("name a service")
}

/// Waits until `there` says that the other end's port is.
pub(crate) fn wait_for(patience: Duration, there: impl Fn() -> bool) -> Result<()> {
    nap_until(patience, "the other end's port", || Ok(there().then_some(())))
}
