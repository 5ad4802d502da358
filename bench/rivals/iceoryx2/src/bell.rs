//! Bells: an event service with one listener, rung after every message for a receiver that sleeps.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::prelude::{PortFactory, ipc};
use iceoryx2::service::port_factory::event;
use slipring_bench_kit::fault::Fault;
use slipring_bench_kit::rival::{Job, Wait};

use crate::node::{Local, service_name, wait_for};

/// The ringing end, if anybody sleeps in this job.
pub(crate) struct Ringer(Option<Notifier<ipc::Service>>);

/// The end that waits: asleep, or by looking without a pause.
pub(crate) struct Ear {
    listener: Option<Listener<ipc::Service>>,
    patience: Duration,
}

impl Ringer {
    /// Waits until there is somebody to hear it.
    pub(crate) fn open(node: &Local, job: &Job, part: &str) -> Result<Self> {
        if job.wait == Wait::Spin {
            return Ok(Self(None));
        }
        let service = events(node, job, part)?;
        wait_for(job.patience, || service.dynamic_config().number_of_listeners() > 0)?;
        Ok(Self(Some(service.notifier_builder().create().context("make a notifier")?)))
    }

    #[inline]
    pub(crate) fn ring(&self) -> Result<()> {
        if let Some(notifier) = &self.0 {
            notifier.notify().context("notify")?;
        }
        Ok(())
    }
}

impl Ear {
    pub(crate) fn open(node: &Local, job: &Job, part: &str) -> Result<Self> {
        let listener = if job.wait != Wait::Spin {
            let listener = events(node, job, part)?.listener_builder().create();
            Some(listener.context("make a listener")?)
        } else {
            None
        };
        Ok(Self { listener, patience: job.patience })
    }

    /// Waits until `look` finds something. It is asked again after every event, and before the first: an event may be that of
    /// a message that was taken already.
    #[inline]
    pub(crate) fn wait<T>(&self, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let Some(listener) = &self.listener else { return slipring_bench_kit::patience::spin(self.patience, look) };
        let begin = Instant::now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            let left = self.patience.checked_sub(begin.elapsed()).ok_or_else(silent)?;
            listener.timed_wait(|_| {}, left).context("wait for an event")?;
        }
    }
}

#[cold]
fn silent() -> anyhow::Error {
    Fault::Died("no message and no event came in time".into()).into()
}

/// Opens the event service `part`, or makes it: whichever end comes first.
fn events(node: &Local, job: &Job, part: &str) -> Result<event::PortFactory<ipc::Service>> {
    let builder = node.service_builder(&service_name(job, &format!("{part}-bell"))?).event();
    let nodes = job.clients + 1;
    let service = builder.max_notifiers(nodes).max_listeners(1).max_nodes(nodes).open_or_create();
    service.context("open an event service")
}
