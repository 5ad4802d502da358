//! Calls: one `request_response` service of byte slices, with one server and any number of clients.
//!
//! A server that answers clients that sleep has to know which bell to ring, so each request carries its client's number in
//! the user header, and each client has an event service of its own.

use anyhow::{Context, Result};
use iceoryx2::port::client::Client;
use iceoryx2::port::server::Server;
use iceoryx2::prelude::{PortFactory, ipc};
use iceoryx2::service::port_factory::request_response;
use slipring_bench_kit::rival::{Job, Wait};

use crate::bell::{Ear, Ringer};
use crate::loan::bytes_of;
use crate::node::{Local, service_name, wait_for};

/// A client's number.
type Number = u64;

/// The service: requests with a client's number, and plain responses.
type Service = request_response::PortFactory<ipc::Service, [u8], Number, [u8], ()>;

/// The calling end.
pub(crate) struct Asking {
    client: Client<ipc::Service, [u8], Number, [u8], ()>,
    number: Number,
    ringer: Ringer,
    ear: Ear,
}

/// The serving end.
pub(crate) struct Serving {
    server: Server<ipc::Service, [u8], Number, [u8], ()>,
    ear: Ear,
    /// How to wake each client, by its number; opened at its first request.
    ringers: Vec<Option<Ringer>>,
    node: Local,
    job: Job,
}

impl Asking {
    pub(crate) fn open(node: &Local, job: &Job) -> Result<Self> {
        let number = job.client as Number;
        let ear = Ear::open(node, job, &answers(number))?;
        let service = service(node, job)?;
        wait_for(job.patience, || service.dynamic_config().number_of_servers() > 0)?;
        let client = service.client_builder().initial_max_slice_len(job.payload).create().context("make a client")?;
        Ok(Self { client, number, ringer: Ringer::open(node, job, "asked")?, ear })
    }

    #[inline]
    pub(crate) fn request<T>(
        &mut self,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let mut request = self.client.loan_slice_uninit(len).context("loan a request")?;
        *request.user_header_mut() = self.number;
        // SAFETY: the request stands in the client's data segment, which is shared memory that the operating system mapped.
        fill(unsafe { bytes_of(request.payload_mut()) });
        // SAFETY: every byte has a value, as above; the kit has just written all of them.
        let request = unsafe { request.assume_init() };
        let pending = request.send().context("send a request")?;
        self.ringer.ring()?;
        let response = self.ear.wait(|| pending.receive().context("receive a response"))?;
        Ok(read(response.payload()))
    }
}

impl Serving {
    pub(crate) fn open(node: &Local, job: &Job) -> Result<Self> {
        let ear = Ear::open(node, job, "asked")?;
        let server = service(node, job)?
            .server_builder()
            .initial_max_slice_len(job.reply)
            .max_loaned_responses_per_request(1)
            .create()
            .context("make a server")?;
        let ringers = (0..job.clients).map(|_| None).collect();
        Ok(Self { server, ear, ringers, node: Local::clone(node), job: job.clone() })
    }

    #[inline]
    pub(crate) fn serve<T>(
        &mut self,
        reply: usize,
        read: impl FnOnce(&[u8]) -> T,
        fill: impl FnOnce(&mut [u8], &T),
    ) -> Result<T> {
        let asked = self.ear.wait(|| self.server.receive().context("receive a request"))?;
        let found = read(asked.payload());
        let mut response = asked.loan_slice_uninit(reply).context("loan a response")?;
        // SAFETY: the response stands in the server's data segment, which is shared memory that the operating system mapped.
        fill(unsafe { bytes_of(response.payload_mut()) }, &found);
        // SAFETY: every byte has a value, as above; the kit has just written all of them.
        let response = unsafe { response.assume_init() };
        response.send().context("send a response")?;
        let number = *asked.user_header();
        drop(asked);
        if self.job.wait != Wait::Spin {
            self.wake(number)?;
        }
        Ok(found)
    }

    /// Wakes client `number`.
    fn wake(&mut self, number: Number) -> Result<()> {
        let ringer = self.ringers.get_mut(number as usize).context("a request of no client")?;
        if ringer.is_none() {
            *ringer = Some(Ringer::open(&self.node, &self.job, &answers(number))?);
        }
        ringer.as_ref().map_or(Ok(()), Ringer::ring)
    }
}

/// The part of the name of the bell of client `number`.
fn answers(number: Number) -> String {
    format!("answered-{number}")
}

/// Opens the service, or makes it: whichever end comes first. Both say the same of it.
fn service(node: &Local, job: &Job) -> Result<Service> {
    let service = node
        .service_builder(&service_name(job, "calls")?)
        .request_response::<[u8], [u8]>()
        .request_user_header::<Number>()
        .max_servers(1)
        .max_clients(job.clients)
        .max_nodes(job.clients + 1)
        .max_active_requests_per_client(1)
        .max_loaned_requests(1)
        .max_response_buffer_size(1)
        .max_borrowed_responses_per_pending_response(1)
        .open_or_create();
    service.context("open a service for calls")
}
