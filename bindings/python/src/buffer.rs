//! Bytes that Python looks at where they are: the buffer protocol, both ways.
//!
//! Out: an [`Exporter`] owns bytes (a copy, a held block of the peer's, a claim, a shared object) and shows them to any number of
//! views. A view holds a reference to the Python object in which the exporter is, so the bytes outlive the session, and the
//! interpreter's own end, for as long as anybody looks. While there are views the bytes are not given up: who asks for that is told
//! `BufferError`.
//!
//! In: a [`Payload`] is whatever has a buffer, for the length of a call.

use crate::error::{OrRaise, invalid};
use crate::{block::Block, message::Message, rx::RxGuard, shared::SharedBuffer, tx::TxGuard};
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use slipring::{Cause, OwnedClaim, OwnedClaimError, SentClaim, SharedBuilder};
use std::ffi::c_int;
use std::ptr;

/// Bytes of one kind or another. Wherever this moves, they stay where they are: each kind holds them by an address. It moves often,
/// so the kinds that are long are in boxes.
pub(crate) enum Bytes {
    /// A short payload, copied out.
    Inline(Py<PyBytes>),
    /// A long payload, where the peer wrote it.
    Kept(Box<slipring::Message>),
    /// A short payload that is being written.
    Private(Box<[u8]>),
    /// A long one.
    Draft(Box<OwnedClaim>),
    /// What was a draft, while it may still be looked at.
    Sent { _keep: Box<SentClaim>, at: usize, len: usize },
    /// A shared object.
    Shared(slipring::SharedBuffer),
    /// One that is being written.
    Built(Box<SharedBuilder>),
}

impl Bytes {
    /// Where they are, how many, and whether whoever looks may write.
    fn place(&mut self, py: Python<'_>) -> (*mut u8, usize, bool) {
        let read = |bytes: &[u8]| (bytes.as_ptr().cast_mut(), bytes.len(), false);
        let write = |bytes: &mut [u8]| (bytes.as_mut_ptr(), bytes.len(), true);
        match self {
            Self::Inline(bytes) => read(bytes.as_bytes(py)),
            Self::Kept(message) => read(message),
            Self::Shared(object) => read(object),
            Self::Sent { at, len, .. } => (ptr::with_exposed_provenance_mut(*at), *len, false),
            Self::Private(bytes) => write(bytes),
            Self::Draft(claim) => write(claim),
            Self::Built(object) => write(object),
        }
    }

    /// How many.
    pub(crate) fn len(&self, py: Python<'_>) -> usize {
        match self {
            Self::Inline(bytes) => bytes.as_bytes(py).len(),
            Self::Kept(message) => message.len(),
            Self::Shared(object) => object.len(),
            Self::Sent { len, .. } => *len,
            Self::Private(bytes) => bytes.len(),
            Self::Draft(claim) => claim.len(),
            Self::Built(object) => object.len(),
        }
    }
}

/// Bytes, and how many views there are of them.
///
/// Invariant: while `exports` is not 0, `bytes` is there and shows the same addresses.
pub(crate) struct Exporter {
    bytes: Option<Bytes>,
    exports: usize,
}

impl Exporter {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), exports: 0 }
    }

    /// The bytes, unless they were taken.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        self.bytes.as_ref()
    }

    /// Whether they were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_none()
    }

    /// Takes the bytes out. `what` they belong to is said to whoever still looks.
    pub(crate) fn take(&mut self, what: &str) -> PyResult<Option<Bytes>> {
        if self.exports == 0 {
            return Ok(self.bytes.take());
        }
        let (views, are) = if self.exports == 1 { ("view", "is") } else { ("views", "are") };
        Err(PyBufferError::new_err(format!(
            "{} {views} of this {what} {are} still there: release the memoryview, or drop the array, first",
            self.exports
        )))
    }

    /// Puts bytes back that could not be used.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        debug_assert!(self.bytes.is_none() && self.exports == 0);
        self.bytes = Some(bytes);
    }

    /// Sends a draft by `send`, with all the views that there are of it: they keep its memory. What is no draft is answered.
    pub(crate) fn send_in_place<R>(
        &mut self,
        send: impl FnOnce(OwnedClaim) -> Result<(R, SentClaim), OwnedClaimError>,
    ) -> Result<R, Cause> {
        match self.bytes.take() {
            Some(Bytes::Draft(mut claim)) => {
                let (at, len) = (claim.as_mut_ptr().expose_provenance(), claim.len());
                match send(*claim) {
                    Ok((result, keep)) => {
                        self.bytes = Some(Bytes::Sent { _keep: Box::new(keep), at, len });
                        Ok(result)
                    }
                    Err(OwnedClaimError { claim, cause }) => {
                        self.bytes = Some(Bytes::Draft(Box::new(claim)));
                        Err(cause)
                    }
                }
            }
            other => {
                self.bytes = other;
                Err(Cause::InvalidArgument { which: "this array was sent already: make another one" })
            }
        }
    }

    /// A view was released.
    fn one_less(&mut self) {
        debug_assert!(self.exports > 0, "a view is released once");
        self.exports = self.exports.saturating_sub(1);
    }

    /// The address of the first byte; 0 if there are none any more.
    pub(crate) fn address(&mut self, py: Python<'_>) -> usize {
        self.bytes.as_mut().map_or(0, |bytes| bytes.place(py).0.addr())
    }
}

/// What has an exporter. `CLASS` is what it is called to its users.
trait Exports {
    const CLASS: &'static str;
    fn exporter(&mut self) -> &mut Exporter;
}

macro_rules! exports {
    ($($class:ident),*) => {$(
        impl Exports for $class {
            const CLASS: &'static str = stringify!($class);

            fn exporter(&mut self) -> &mut Exporter {
                &mut self.exporter
            }
        }
    )*};
}

exports!(Block, Message, RxGuard, SharedBuffer, TxGuard);

// The macro of the binding layer makes slots of these, and of none that another macro has written.

#[expect(unsafe_code, reason = "the buffer protocol")]
#[pymethods]
impl Block {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: the interpreter calls this, with a view to be filled.
        unsafe { show(slf, view, flags) }
    }

    unsafe fn __releasebuffer__(&mut self, _view: *mut ffi::Py_buffer) {
        self.exporter.one_less();
    }
}

#[expect(unsafe_code, reason = "the buffer protocol")]
#[pymethods]
impl Message {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: the interpreter calls this, with a view to be filled.
        unsafe { show(slf, view, flags) }
    }

    unsafe fn __releasebuffer__(&mut self, _view: *mut ffi::Py_buffer) {
        self.exporter.one_less();
    }
}

#[expect(unsafe_code, reason = "the buffer protocol")]
#[pymethods]
impl RxGuard {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: the interpreter calls this, with a view to be filled.
        unsafe { show(slf, view, flags) }
    }

    unsafe fn __releasebuffer__(&mut self, _view: *mut ffi::Py_buffer) {
        self.exporter.one_less();
    }
}

#[expect(unsafe_code, reason = "the buffer protocol")]
#[pymethods]
impl SharedBuffer {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: the interpreter calls this, with a view to be filled.
        unsafe { show(slf, view, flags) }
    }

    unsafe fn __releasebuffer__(&mut self, _view: *mut ffi::Py_buffer) {
        self.exporter.one_less();
    }
}

#[expect(unsafe_code, reason = "the buffer protocol")]
#[pymethods]
impl TxGuard {
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        // SAFETY: the interpreter calls this, with a view to be filled.
        unsafe { show(slf, view, flags) }
    }

    unsafe fn __releasebuffer__(&mut self, _view: *mut ffi::Py_buffer) {
        self.exporter.one_less();
    }
}

/// Fills `view` with the bytes of `owner`.
///
/// # Safety
/// - `view` points to a buffer structure that may be written.
#[expect(unsafe_code, reason = "the buffer protocol")]
unsafe fn show<T>(owner: Bound<'_, T>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()>
where
    T: Exports + pyo3::PyClass<Frozen = pyo3::pyclass::boolean_struct::False>,
{
    let py = owner.py();
    let mut inner = crate::end::enter(&owner, T::CLASS)?;
    let exporter = inner.exporter();
    let Some(bytes) = &mut exporter.bytes else {
        let text =
            format!("this {} is over: it was released, committed or aborted, and shows nothing any more", T::CLASS);
        return Err(invalid(py, text));
    };
    let (at, len, writable) = bytes.place(py);
    exporter.exports += 1;
    // SAFETY: `view` may be written, as the caller promises. The view that is made holds a reference to `owner` until it is released,
    // and counts as an export until then, so by the exporter's invariant the `len` bytes at `at` stay. They are shown for writing
    // only where this process alone owns them: a claim, a private copy, or an object that is being built.
    let filled = unsafe {
        ffi::PyBuffer_FillInfo(view, owner.as_ptr(), at.cast(), len as ffi::Py_ssize_t, (!writable).into(), flags)
    };
    if filled == 0 {
        return Ok(());
    }
    exporter.exports -= 1;
    Err(PyErr::fetch(py))
}

/// The bytes of an object that somebody gives us, for the length of a call.
pub(crate) enum Payload<'a, 'py> {
    Bytes(&'a Bound<'py, PyBytes>),
    Held(Held<'py>),
}

impl<'a, 'py> Payload<'a, 'py> {
    /// Of `data`: bytes, or anything else with a buffer that is in one piece.
    #[inline]
    pub(crate) fn of(data: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        match data.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Self::Bytes(bytes)),
            Err(_) => Self::held(data).map(Self::Held),
        }
    }

    fn held(data: &Bound<'py, PyAny>) -> PyResult<Held<'py>> {
        let py = data.py();
        match Held::of(data) {
            Err(error) if error.is_instance_of::<PyTypeError>(py) => {
                if !data.hasattr("__dlpack__")? {
                    return Err(no_bytes(data));
                }
                Held::of(&py.import("slipring._arrays")?.call_method1("from_dlpack", (data,))?)
            }
            Err(error) if error.is_instance_of::<PyBufferError>(py) || error.is_instance_of::<PyValueError>(py) => {
                let text = format!(
                    "the payload is not in one piece ({}): copy it, as by numpy.ascontiguousarray",
                    error.value(py)
                );
                Err(invalid(py, text))
            }
            held => held,
        }
    }

    /// The bytes. Whoever changes them on another thread while this call lets others run sends a mixture of old and new.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Held(held) => held.bytes(),
        }
    }

    /// The address of the first byte.
    pub(crate) fn address(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes().as_ptr().addr(),
            Self::Held(held) => held.view.buf.addr(),
        }
    }
}

/// The buffer of another object, in one piece, until this drops.
pub(crate) struct Held<'py> {
    /// In a box, because an exporter may remember where it is.
    view: Box<ffi::Py_buffer>,
    py: Python<'py>,
}

#[expect(unsafe_code, reason = "the buffer protocol")]
impl<'py> Held<'py> {
    fn of(data: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: `data` is an object and `view` a buffer structure that may be written. What is asked for is bytes in one piece.
        let got = unsafe { ffi::PyObject_GetBuffer(data.as_ptr(), &raw mut *view, ffi::PyBUF_SIMPLE) };
        if got == 0 { Ok(Self { view, py: data.py() }) } else { Err(PyErr::fetch(data.py())) }
    }

    fn bytes(&self) -> &[u8] {
        if self.view.buf.is_null() || self.view.len <= 0 {
            return &[];
        }
        // SAFETY: the exporter keeps so many bytes in one piece at this address until the buffer is released, which is when `self`
        // drops. That nobody writes to them meanwhile is, as in every call of Python's that lets other threads run while it reads a
        // buffer, up to who shares them: they are only ever copied, byte by byte.
        unsafe { std::slice::from_raw_parts(self.view.buf.cast::<u8>(), self.view.len as usize) }
    }
}

#[expect(unsafe_code, reason = "the buffer protocol")]
impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _attached = self.py;
        // SAFETY: the view was filled by `of`, is released this once, and this thread is attached to the interpreter.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.view) };
    }
}

/// Where the bytes of a view are, and how many.
pub(crate) fn place_of(view: &Bound<'_, PyAny>) -> PyResult<(*mut std::ffi::c_void, usize)> {
    let held = Held::of(view)?;
    Ok((held.view.buf, held.bytes().len()))
}

fn no_bytes(data: &Bound<'_, PyAny>) -> PyErr {
    let name = data.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    let hint = if name == "str" { ": text has to be encoded first, for example by .encode()" } else { "" };
    PyTypeError::new_err(format!("a payload is a bytes-like object, not {name}{hint}"))
}

/// Reads what was written into `bytes`, of which nobody has a view.
pub(crate) fn private(bytes: &Bytes) -> &[u8] {
    match bytes {
        Bytes::Private(bytes) => bytes,
        Bytes::Draft(claim) => claim,
        _ => &[],
    }
}

/// A copy of `bytes` as Python's.
pub(crate) fn copy_out<'py>(py: Python<'py>, bytes: &Bytes) -> PyResult<Bound<'py, PyBytes>> {
    Ok(match bytes {
        Bytes::Inline(bytes) => bytes.clone_ref(py).into_bound(py),
        Bytes::Kept(message) => PyBytes::new(py, message),
        Bytes::Shared(object) => PyBytes::new(py, object),
        _ => return Err(Cause::InvalidArgument { which: "only what was received has data" }).or_raise(py),
    })
}
