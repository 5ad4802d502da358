//! What was received, on its way from the core to Python: a short payload is copied once, a long one is kept where it is.

use crate::buffer::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipring::{Deadline, Lease, Reply, Request, SharedBuffer};

/// A payload that belongs to its holder, and what came with it.
pub(crate) struct Received {
    pub(crate) type_id: u32,
    pub(crate) correlation_id: u64,
    pub(crate) bytes: Bytes,
    pub(crate) shared: Vec<SharedBuffer>,
    /// When the caller gives up, of a request.
    pub(crate) deadline: Deadline,
    /// A request of which nobody awaits a reply.
    pub(crate) note: bool,
}

impl Received {
    #[inline]
    fn copied(py: Python<'_>, type_id: u32, correlation_id: u64, payload: &[u8]) -> Self {
        let bytes = Bytes::Inline(PyBytes::new(py, payload).unbind());
        Self { type_id, correlation_id, bytes, shared: Vec::new(), deadline: Deadline::NEVER, note: false }
    }

    fn kept(message: slipring::Message) -> Self {
        Self {
            type_id: message.type_id(),
            correlation_id: message.correlation_id(),
            shared: message.shared().to_vec(),
            bytes: Bytes::Kept(Box::new(message)),
            deadline: Deadline::NEVER,
            note: false,
        }
    }

    /// Of a frame of a bus. What is longer than `inline` bytes is kept.
    #[inline]
    pub(crate) fn of_lease(py: Python<'_>, lease: Lease<'_>, inline: usize) -> Self {
        if lease.len() <= inline && lease.shared().is_empty() {
            Self::copied(py, lease.type_id(), lease.correlation_id(), &lease)
        } else {
            Self::kept(lease.keep())
        }
    }

    /// Of a reply.
    #[inline]
    pub(crate) fn of_reply(py: Python<'_>, reply: Reply<'_>, inline: usize) -> Self {
        if reply.len() <= inline && reply.shared().is_empty() {
            Self::copied(py, reply.type_id(), reply.call().number().into(), &reply)
        } else {
            Self::kept(reply.keep())
        }
    }

    /// Of a request, which stays open.
    #[inline]
    pub(crate) fn of_request(py: Python<'_>, mut request: Request<'_>, inline: usize) -> Self {
        let (deadline, note) = (request.deadline(), request.is_note());
        let received = if request.len() <= inline && request.shared().is_empty() {
            Self::copied(py, request.type_id(), request.id().into(), &request)
        } else {
            Self::kept(request.keep())
        };
        Self { deadline, note, ..received }
    }
}
