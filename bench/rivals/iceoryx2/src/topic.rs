//! Messages: one `publish_subscribe` service of byte slices for each direction.

use anyhow::{Context, Result, ensure};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{BackpressureStrategy, PortFactory, ipc};
use iceoryx2::service::port_factory::publish_subscribe;
use slipring_bench_kit::rival::{Job, Role, Work};

use crate::bell::{Ear, Ringer};
use crate::loan::bytes_of;
use crate::node::{Local, service_name, wait_for};

/// Bytes of samples that a stream may have under way, and the bounds of what they come to. The crate reserves this memory
/// when the port is made.
const UNDER_WAY: usize = 8 << 20;
const FEWEST: usize = 2;
const MOST: usize = 1024;

/// The service of one direction.
type Service = publish_subscribe::PortFactory<ipc::Service, [u8], ()>;

/// The ends that one side has.
pub(crate) struct Topic {
    out: Option<Out>,
    back: Option<Back>,
}

struct Out {
    publisher: Publisher<ipc::Service, [u8], ()>,
    ringer: Ringer,
}

struct Back {
    service: Service,
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    ear: Ear,
}

impl Topic {
    /// Each side first makes what it receives by, then waits for what the other receives by, and at last joins its own: so
    /// nothing is published before somebody hears it, and the two cannot wait for each other for ever.
    pub(crate) fn open(node: &Local, job: &Job) -> Result<Self> {
        let (ours, theirs) = if job.role == Role::Lead { ("there", "back") } else { ("back", "there") };
        let both_ways = job.work == Work::RoundTrip;
        let receives = both_ways || job.role != Role::Lead;
        let sends = both_ways || job.role == Role::Lead;
        let back = receives.then(|| Back::open(node, job, theirs)).transpose()?;
        let out = sends.then(|| Out::open(node, job, ours)).transpose()?;
        if let Some(back) = &back {
            back.join(job)?;
        }
        Ok(Self { out, back })
    }

    #[inline]
    pub(crate) fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let out = self.out.as_ref().context("this end only receives")?;
        let mut sample = out.publisher.loan_slice_uninit(len).context("loan a sample")?;
        // SAFETY: the sample stands in the publisher's data segment, which is shared memory that the operating system mapped.
        fill(unsafe { bytes_of(sample.payload_mut()) });
        // SAFETY: every byte has a value, as above; the kit has just written all of them.
        let sample = unsafe { sample.assume_init() };
        let heard = sample.send().context("publish")?;
        ensure!(heard == 1, "a sample was published to nobody");
        out.ringer.ring()
    }

    #[inline]
    pub(crate) fn receive<T>(&mut self, read: impl FnOnce(&[u8]) -> T) -> Result<T> {
        let back = self.back.as_ref().context("this end only sends")?;
        let sample = back.ear.wait(|| back.subscriber.receive().context("receive"))?;
        Ok(read(sample.payload()))
    }
}

impl Out {
    fn open(node: &Local, job: &Job, part: &str) -> Result<Self> {
        let service = service(node, job, part)?;
        wait_for(job.patience, || service.dynamic_config().number_of_subscribers() > 0)?;
        let publisher = service
            .publisher_builder()
            .initial_max_slice_len(job.payload)
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .context("make a publisher")?;
        Ok(Self { publisher, ringer: Ringer::open(node, job, part)? })
    }
}

impl Back {
    fn open(node: &Local, job: &Job, part: &str) -> Result<Self> {
        let ear = Ear::open(node, job, part)?;
        let service = service(node, job, part)?;
        let subscriber = service.subscriber_builder().create().context("make a subscriber")?;
        Ok(Self { service, subscriber, ear })
    }

    /// A subscriber connects to a publisher at its next look. Until then a publisher whose queue is full has nobody to wait
    /// for, and drops what it has.
    fn join(&self, job: &Job) -> Result<()> {
        wait_for(job.patience, || self.service.dynamic_config().number_of_publishers() > 0)?;
        self.subscriber.has_samples().context("connect to the publisher").map(drop)
    }
}

/// Opens the service `part`, or makes it: whichever end comes first. Both say the same of it.
fn service(node: &Local, job: &Job, part: &str) -> Result<Service> {
    let in_turns = job.work == Work::RoundTrip;
    let depth = if in_turns { 1 } else { (UNDER_WAY / job.payload).clamp(FEWEST, MOST) };
    let service = node
        .service_builder(&service_name(job, part)?)
        .publish_subscribe::<[u8]>()
        .max_publishers(1)
        .max_subscribers(1)
        .max_nodes(2)
        .history_size(0)
        .subscriber_max_buffer_size(depth)
        .subscriber_max_borrowed_samples(1)
        .enable_safe_overflow(in_turns)
        .open_or_create();
    service.context("open a service for messages")
}
