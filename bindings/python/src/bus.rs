//! `Bus`: one end of a one-way stream of messages.

use crate::args::{Address, Id, Length, Timeout};
use crate::batch::RxBatchGuard;
use crate::block::Blocks;
use crate::buffer::Payload;
use crate::end::{End, Sole, enter};
use crate::error::{OrRaise, invalid};
use crate::listener::{connect_with, listen_for, with_capacity};
use crate::message::Message;
use crate::options;
use crate::payload::Received;
use crate::poller::Poller;
use crate::rx::RxGuard;
use crate::session::session;
use crate::shared::SharedBuffer;
use crate::tx::TxGuard;
use crate::waiting::LOOKS;
use crate::{receiving, sending, stats};
use pyo3::exceptions::{PyConnectionError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use slipring::State;

/// One end of a one-way stream of messages: the end that listens receives, the end that connects sends.
///
/// Every call that may wait takes `timeout=` in seconds; None is for as long as it takes, and 0 raises Timeout at once. Every wait
/// ends when the peer closes (Closed) or dies (PeerDied), after all that it had sent. An end belongs to one thread at a time.
#[pyclass(module = "slipring", weakref)]
pub(crate) struct Bus {
    end: Sole<End<slipring::Bus>>,
    blocks: Blocks,
}

impl Bus {
    pub(crate) fn open(bus: slipring::Bus) -> Self {
        Self { end: Sole::new(End::Open(bus)), blocks: Blocks::default() }
    }

    /// Does `f` with the end, for the length of a call.
    #[inline]
    pub(crate) fn with<R>(slf: &Bound<'_, Self>, f: impl FnOnce(&mut slipring::Bus) -> PyResult<R>) -> PyResult<R> {
        enter(slf, "Bus")?.end.get().with(slf.py(), f)
    }

    /// Puts the end into a poller's care.
    pub(crate) fn hand_over(slf: &Bound<'_, Self>, poller: &Bound<'_, Poller>) -> PyResult<slipring::Key> {
        Poller::take_in(poller, enter(slf, "Bus")?.end.get())
    }

    /// Takes the end out of a poller's care.
    pub(crate) fn leave(&mut self, poller: &Bound<'_, Poller>) -> PyResult<()> {
        self.end.get().leave(poller)
    }

    /// Sends the array that begins `payload` where it is, if it is one of this end's own. Whether it was.
    fn send_in_place(&mut self, payload: &Payload<'_, '_>, data: &Bound<'_, PyAny>, type_id: u32) -> PyResult<bool> {
        let py = data.py();
        let Some(block) = self.blocks.find(py, payload)? else { return Ok(false) };
        let used = payload.bytes().len();
        let mut block = enter(&block, "Block")?;
        self.end.get().with(py, |bus| {
            block
                .exporter
                .send_in_place(|claim| bus.publish_kept(type_id, claim, used).map(|kept| ((), kept)))
                .or_raise(py)
        })?;
        drop(block);
        self.blocks.sent(payload, data)?;
        Ok(true)
    }

    fn next_message(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Message> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        Self::with(slf, |bus| receiving::receive(py, bus, LOOKS, deadline)).map(Message::new)
    }

    fn many<T>(
        slf: &Bound<'_, Self>,
        most: Length,
        looks: u32,
        timeout: Timeout,
        make: impl FnMut(Received) -> PyResult<T>,
    ) -> PyResult<Vec<T>> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        if most.0 == 0 {
            return Err(invalid(py, "max_msgs is at least 1"));
        }
        Self::with(slf, |bus| receiving::receive_many(py, bus, most.0, looks, deadline, make))
    }
}

/// Opening and closing.
#[pymethods]
impl Bus {
    /// Listens at `address` for one peer, and receives from it.
    #[staticmethod]
    #[pyo3(signature = (address, capacity=None, *, timeout=Timeout::FOREVER, **options), text_signature = "(address, capacity=None, *, timeout=None, **options)")]
    fn listen(
        py: Python<'_>,
        address: Address,
        capacity: Option<Length>,
        timeout: Timeout,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let options = with_capacity(options, capacity, None)?;
        listen_for(py, &address.0, &options, timeout, slipring::Listener::accept_bus_until).map(Self::open)
    }

    /// Connects to the listener at `address`, to send to it; waits up to `timeout` seconds for it to appear.
    #[staticmethod]
    #[pyo3(signature = (address, *, timeout=Timeout::ZERO, **options), text_signature = "(address, *, timeout=0.0, **options)")]
    fn connect(
        py: Python<'_>,
        address: Address,
        timeout: Timeout,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let options = options::options(options)?;
        connect_with(py, timeout, |until| slipring::Bus::connect_until(&address.0, &options, until)).map(Self::open)
    }

    fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        self.end.traverse(&visit)
    }
}

/// Sending.
#[pymethods]
impl Bus {
    /// Sends a message: a copy of a bytes-like object, or an array of `empty` where it is.
    #[pyo3(signature = (data, type_id=Id(0), *, timeout=Timeout::FOREVER, shared=None), text_signature = "($self, data, type_id=0, *, timeout=None, shared=None)")]
    fn send(
        slf: &Bound<'_, Self>,
        data: &Bound<'_, PyAny>,
        type_id: Id,
        timeout: Timeout,
        shared: Option<Vec<Bound<'_, SharedBuffer>>>,
    ) -> PyResult<()> {
        let (py, deadline, payload) = (slf.py(), timeout.deadline(), Payload::of(data)?);
        let mut bus = enter(slf, "Bus")?;
        if shared.is_some() {
            let shared = SharedBuffer::sealed_of(shared)?;
            let bytes = payload.bytes();
            let publish = |bus: &mut _| sending::publish_shared(py, bus, type_id.0, bytes, &shared, deadline);
            return bus.end.get().with(py, publish);
        }
        if bus.send_in_place(&payload, data, type_id.0)? {
            return Ok(());
        }
        bus.end.get().with(py, |bus| sending::publish(py, bus, type_id.0, payload.bytes(), deadline))
    }

    /// As `send`, if there is room now. Whether there was.
    #[pyo3(signature = (data, type_id=Id(0)), text_signature = "($self, data, type_id=0)")]
    fn try_send(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>, type_id: Id) -> PyResult<bool> {
        let (py, payload) = (slf.py(), Payload::of(data)?);
        let mut bus = enter(slf, "Bus")?;
        if bus.send_in_place(&payload, data, type_id.0)? {
            return Ok(true);
        }
        bus.end.get().with(py, |bus| sending::try_publish(py, bus, type_id.0, payload.bytes()))
    }

    /// Sends all payloads of an iterable, in groups as large as there is room for. How many that were.
    #[pyo3(signature = (payloads, type_id=Id(0), *, timeout=Timeout::FOREVER), text_signature = "($self, payloads, type_id=0, *, timeout=None)")]
    fn send_many(slf: &Bound<'_, Self>, payloads: &Bound<'_, PyAny>, type_id: Id, timeout: Timeout) -> PyResult<usize> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        // An iterator may run any code, also on this bus: not while the bus is entered.
        let all: Vec<Bound<'_, PyAny>> = match payloads.cast::<PyList>() {
            Ok(list) => list.iter().collect(),
            Err(_) => payloads.try_iter()?.collect::<PyResult<_>>()?,
        };
        let payloads = all.iter().map(Payload::of).collect::<PyResult<Vec<_>>>()?;
        let bytes: Vec<_> = payloads.iter().map(Payload::bytes).collect();
        Self::with(slf, |bus| sending::publish_all(py, bus, type_id.0, &bytes, deadline))?;
        Ok(bytes.len())
    }

    /// As `send_many`, for as many of the first payloads as there is room for now. How many those were.
    #[pyo3(signature = (payloads, type_id=Id(0)), text_signature = "($self, payloads, type_id=0)")]
    fn try_send_many(slf: &Bound<'_, Self>, payloads: Vec<Bound<'_, PyAny>>, type_id: Id) -> PyResult<usize> {
        let py = slf.py();
        let payloads = payloads.iter().map(Payload::of).collect::<PyResult<Vec<_>>>()?;
        let bytes: Vec<_> = payloads.iter().map(Payload::bytes).collect();
        Self::with(slf, |bus| sending::try_publish_all(py, bus, type_id.0, &bytes))
    }

    /// Room for a payload of up to `size` bytes, to be written in place through `memoryview(tx)`. Leaving the with block sends
    /// `tx.actual_size` bytes of it; an exception there sends nothing.
    #[pyo3(signature = (size, type_id=Id(0), *, timeout=Timeout::FOREVER), text_signature = "($self, size, type_id=0, *, timeout=None)")]
    fn send_zero_copy(slf: &Bound<'_, Self>, size: Length, type_id: Id, timeout: Timeout) -> PyResult<TxGuard> {
        TxGuard::on_bus(slf, size, type_id, timeout)
    }

    /// A NumPy array in the memory that the peer will read. `send` knows it and copies nothing; it is read-only from then on.
    #[pyo3(signature = (shape, dtype=None, *, timeout=Timeout::FOREVER), text_signature = "($self, shape, dtype=None, *, timeout=None)")]
    fn empty<'py>(
        slf: &Bound<'py, Self>,
        shape: &Bound<'py, PyAny>,
        dtype: Option<&Bound<'py, PyAny>>,
        timeout: Timeout,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        let dtype = dtype.cloned().unwrap_or_else(|| py.None().into_bound(py));
        let bus = &mut *enter(slf, "Bus")?;
        let (end, blocks) = (bus.end.get(), &mut bus.blocks);
        blocks.array(shape, &dtype, |len| end.with(py, |bus| sending::claim(py, bus, len, deadline)))
    }
}

/// Receiving.
#[pymethods]
impl Bus {
    /// The next message, waiting for it.
    #[pyo3(signature = (*, timeout=Timeout::FOREVER), text_signature = "($self, *, timeout=None)")]
    fn recv(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<Message> {
        Self::next_message(slf, timeout)
    }

    /// The next message, if it is there, else None.
    fn try_recv(slf: &Bound<'_, Self>) -> PyResult<Option<Message>> {
        let py = slf.py();
        Ok(Self::with(slf, |bus| receiving::try_receive(py, bus))?.map(Message::new))
    }

    /// The next message, to be looked at in place through `memoryview(rx)` and let go at the end of the with block.
    #[pyo3(signature = (*, timeout=Timeout::FOREVER), text_signature = "($self, *, timeout=None)")]
    fn recv_zero_copy(slf: &Bound<'_, Self>, timeout: Timeout) -> PyResult<RxGuard> {
        let (py, deadline) = (slf.py(), timeout.deadline());
        Ok(RxGuard::new(py, Self::with(slf, |bus| receiving::receive(py, bus, LOOKS, deadline))?))
    }

    /// As `recv_zero_copy`, or None at once.
    fn try_recv_zero_copy(slf: &Bound<'_, Self>) -> PyResult<Option<RxGuard>> {
        let py = slf.py();
        Ok(Self::with(slf, |bus| receiving::try_receive(py, bus))?.map(|received| RxGuard::new(py, received)))
    }

    /// Up to `max_msgs` messages that are there, waiting for the first.
    #[pyo3(signature = (max_msgs=Length(64), *, timeout=Timeout::FOREVER), text_signature = "($self, max_msgs=64, *, timeout=None)")]
    fn recv_many(slf: &Bound<'_, Self>, max_msgs: Length, timeout: Timeout) -> PyResult<Vec<Py<Message>>> {
        let py = slf.py();
        Self::many(slf, max_msgs, LOOKS, timeout, |received| Py::new(py, Message::new(received)))
    }

    /// Up to `max_msgs` messages that are there, waiting for the first, to be looked at in place and let go together.
    /// `spin_threshold`: how often to look before other threads may run.
    #[pyo3(signature = (max_msgs=Length(64), spin_threshold=Id(LOOKS), *, timeout=Timeout::FOREVER), text_signature = "($self, max_msgs=64, spin_threshold=48, *, timeout=None)")]
    fn drain_batch(
        slf: &Bound<'_, Self>,
        max_msgs: Length,
        spin_threshold: Id,
        timeout: Timeout,
    ) -> PyResult<RxBatchGuard> {
        let py = slf.py();
        // Looks hold the interpreter's lock: some microseconds at most.
        let looks = spin_threshold.0.min(8 * LOOKS);
        let messages = Self::many(slf, max_msgs, looks, timeout, |received| Py::new(py, RxGuard::new(py, received)))?;
        Ok(RxBatchGuard::new(messages))
    }

    fn __iter__<'py>(slf: Bound<'py, Self>) -> Bound<'py, Self> {
        slf
    }

    /// The next message. A peer that closes ends the iteration; one that dies is PeerDied.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Message> {
        let (py, deadline) = (slf.py(), Timeout::FOREVER.deadline());
        let mut ended = false;
        let received = Self::with(slf, |bus| {
            receiving::receive(py, bus, LOOKS, deadline).inspect_err(|error| {
                ended = error.is_instance_of::<PyConnectionError>(py) && bus.state() == State::Closed;
            })
        });
        if ended { Err(PyStopIteration::new_err(())) } else { received.map(Message::new) }
    }
}

/// What a sending end tells of itself.
#[pymethods]
impl Bus {
    /// The longest payload that this end can send, in bytes.
    #[getter]
    fn payload_max(slf: &Bound<'_, Self>) -> PyResult<u64> {
        Self::with(slf, |bus| Ok(bus.payload_max()))
    }
}

session!(Bus, "Bus");
