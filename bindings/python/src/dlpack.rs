//! Received bytes as a DLPack tensor: one dimension of unsigned bytes, in this machine's memory, not to be written.
//!
//! The structures are those of DLPack 1.0 (`dlpack.h`, DLManagedTensorVersioned). A consumer that knows only the older ones, which
//! cannot say that a tensor is read-only, is refused. The tensor holds a memoryview of its owner, so it counts as one of its views.

use crate::message::Message;
use crate::rx::RxGuard;
use crate::shared::SharedBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::ffi::{CStr, c_void};
use std::ptr;

/// What a capsule is called before somebody takes its tensor, who then gives it another name.
const UNUSED: &CStr = c"dltensor_versioned";

/// `DLPACK_MAJOR_VERSION` and `DLPACK_MINOR_VERSION`.
const VERSION: [u32; 2] = [1, 0];
/// `DLPACK_FLAG_BITMASK_READ_ONLY`.
const READ_ONLY: u64 = 1;
/// `kDLCPU`, and the number of the one that there is.
const CPU: [i32; 2] = [1, 0];
/// `kDLUInt`, of 8 bits, one lane.
const BYTE: DataType = DataType { code: 1, bits: 8, lanes: 1 };

#[repr(C)]
struct DataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

#[repr(C)]
struct Tensor {
    data: *mut c_void,
    device: [i32; 2],
    ndim: i32,
    dtype: DataType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

#[repr(C)]
struct Managed {
    version: [u32; 2],
    context: *mut c_void,
    deleter: Option<unsafe extern "C" fn(*mut Managed)>,
    flags: u64,
    tensor: Tensor,
}

const _: () = assert!(size_of::<Tensor>() == 48 && size_of::<Managed>() == 80 && align_of::<Managed>() == 8);

/// All that belongs to one tensor. The structure is first, so that its address is this one's.
#[repr(C)]
struct Loan {
    managed: Managed,
    shape: [i64; 1],
    strides: [i64; 1],
    /// Keeps the bytes.
    _view: Py<PyMemoryView>,
}

/// A capsule with a tensor over the bytes of `owner`.
#[expect(unsafe_code, reason = "a capsule is an address")]
fn capsule<'py>(
    owner: &Bound<'py, PyAny>,
    max_version: Option<(u32, u32)>,
    copy: Option<bool>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = owner.py();
    if max_version.is_none_or(|(major, _)| major < VERSION[0]) {
        return Err(PyBufferError::new_err(
            "these bytes are read-only, which only DLPack 1.0 and later can say: give max_version=(1, 0)",
        ));
    }
    if copy == Some(true) {
        return Err(PyBufferError::new_err("these bytes are shared and not copied: copy the tensor, or take data"));
    }
    let view = PyMemoryView::from(owner)?;
    let (data, len) = crate::buffer::place_of(view.as_any())?;
    let tensor = Tensor {
        data,
        device: CPU,
        ndim: 1,
        dtype: BYTE,
        shape: ptr::null_mut(),
        strides: ptr::null_mut(),
        byte_offset: 0,
    };
    let managed =
        Managed { version: VERSION, context: ptr::null_mut(), deleter: Some(give_back), flags: READ_ONLY, tensor };
    let loan = Loan { managed, shape: [len as i64], strides: [1], _view: view.unbind() };
    let loan = Box::into_raw(Box::new(loan));
    // SAFETY: `loan` was just made by `Box::into_raw`, and nobody else has it yet.
    let inner = unsafe { &mut *loan };
    inner.managed.tensor.shape = inner.shape.as_mut_ptr();
    inner.managed.tensor.strides = inner.strides.as_mut_ptr();
    // SAFETY: the address is not null, the name lives for ever, and `drop_unused` takes what is at the address.
    let made = unsafe { ffi::PyCapsule_New(loan.cast(), UNUSED.as_ptr(), Some(drop_unused)) };
    // SAFETY: `made` is a new reference, or null with an exception.
    match unsafe { Bound::from_owned_ptr_or_err(py, made) } {
        Ok(capsule) => Ok(capsule),
        Err(error) => {
            // SAFETY: no capsule has it.
            unsafe { give_back(loan.cast()) };
            Err(error)
        }
    }
}

/// Refuses what only devices with queues of their own have.
fn check_request(stream: Option<&Bound<'_, PyAny>>, device: Option<(i32, i32)>) -> PyResult<()> {
    if stream.is_some() || device.is_some_and(|device| device != CPU.into()) {
        return Err(PyBufferError::new_err(
            "these bytes are in the processor's memory: there is no stream, and no other device",
        ));
    }
    Ok(())
}

/// The tensor is needed no more: what its consumer calls, on whatever thread.
///
/// # Safety
/// - `managed` is that of a [`Loan`] that was not given back before.
#[expect(unsafe_code, reason = "what C calls")]
unsafe extern "C" fn give_back(managed: *mut Managed) {
    // SAFETY: the structure is the first field of a `Loan` that `Box::into_raw` gave out, and it is given back once.
    let loan = unsafe { Box::from_raw(managed.cast::<Loan>()) };
    // Where this thread is not attached to the interpreter, the reference is dropped when one is.
    drop(loan);
}

/// A capsule dies. One whose tensor nobody took gives it back.
///
/// # Safety
/// - `capsule` is one of [`capsule`]'s, and this is its destructor.
#[expect(unsafe_code, reason = "what the interpreter calls")]
unsafe extern "C" fn drop_unused(capsule: *mut ffi::PyObject) {
    // SAFETY: `capsule` is a capsule that is alive for the length of its destructor.
    let unused = unsafe { ffi::PyCapsule_IsValid(capsule, UNUSED.as_ptr()) };
    if unused == 0 {
        return;
    }
    // SAFETY: it is valid by this name.
    let managed = unsafe { ffi::PyCapsule_GetPointer(capsule, UNUSED.as_ptr()) };
    // SAFETY: nobody took the tensor, or the capsule had another name, so it was not given back.
    unsafe { give_back(managed.cast()) };
}

macro_rules! lends {
    ($($class:ty),*) => {$(
        #[pymethods]
        impl $class {
            /// A capsule for `from_dlpack` of another library: the bytes in place, read-only.
            #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
            fn __dlpack__<'py>(
                slf: &Bound<'py, Self>,
                stream: Option<&Bound<'py, PyAny>>,
                max_version: Option<(u32, u32)>,
                dl_device: Option<(i32, i32)>,
                copy: Option<bool>,
            ) -> PyResult<Bound<'py, PyAny>> {
                check_request(stream, dl_device)?;
                capsule(slf.as_any(), max_version, copy)
            }

            /// The processor's memory.
            fn __dlpack_device__(&self) -> (i32, i32) {
                CPU.into()
            }
        }
    )*};
}

lends!(Message, RxGuard, SharedBuffer);
