//! What both kinds of sessions have in common: how they are closed, and what they tell of themselves.

/// Gives `$class`, whose name is `$name`, the methods of a session.
macro_rules! session {
    ($class:ty, $name:literal) => {
        /// Closing.
        #[pyo3::pymethods]
        impl $class {
            /// Says goodbye, after waiting at most `linger` seconds until the peer has read everything. Closing again does nothing.
            #[pyo3(signature = (*, linger=Timeout::ZERO), text_signature = "($self, *, linger=0.0)")]
            fn close(slf: &Bound<'_, Self>, linger: Timeout) -> PyResult<()> {
                let py = slf.py();
                let Some(mut open) = enter(slf, $name)?.end.get().take(py)? else { return Ok(()) };
                let read = match linger.0 {
                    Some(0.0) => Ok(Ok(())),
                    _ => crate::waiting::patiently(py, linger.deadline(), |until| open.linger_until(until)),
                };
                // However the wait ended, this is the goodbye.
                drop(open);
                crate::logging::deliver(py);
                read?.or_raise(py)
            }

            /// Whether the peer has read everything. For `slipring.aio`.
            fn _is_read(slf: &Bound<'_, Self>) -> PyResult<bool> {
                Self::with(slf, |end| match end.linger_until(slipring::Deadline::NOW) {
                    Err(slipring::Cause::Timeout) => Ok(false),
                    other => other.or_raise(slf.py()).map(|()| true),
                })
            }

            /// Whether it was closed here.
            #[getter]
            fn closed(slf: &Bound<'_, Self>) -> PyResult<bool> {
                Ok(enter(slf, $name)?.end.get().is_closed())
            }

            fn __enter__<'py>(slf: Bound<'py, Self>) -> PyResult<Bound<'py, Self>> {
                if enter(&slf, $name)?.end.get().is_closed() {
                    return Err(crate::error::closed_here(slf.py(), $name));
                }
                Ok(slf)
            }

            #[pyo3(signature = (_kind=None, _error=None, _trace=None, /))]
            fn __exit__(
                slf: &Bound<'_, Self>,
                _kind: Option<&Bound<'_, PyAny>>,
                _error: Option<&Bound<'_, PyAny>>,
                _trace: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<()> {
                Self::close(slf, Timeout::ZERO)
            }

            fn __reduce__(&self) -> PyResult<()> {
                Err(crate::end::refuse_pickling($name))
            }
        }

        /// What an end tells of itself, and how it waits.
        #[pyo3::pymethods]
        impl $class {
            /// The descriptor for a foreign event loop. When it is readable call the `try_…` form until there is nothing: that arms it.
            fn fileno(slf: &Bound<'_, Self>) -> PyResult<i32> {
                use std::os::fd::{AsFd, AsRawFd};
                Self::with(slf, |end| Ok(end.as_fd().as_raw_fd()))
            }

            /// How the session stands: "open", "closed", "peer-died" or "corrupt".
            #[getter]
            fn state(slf: &Bound<'_, Self>) -> PyResult<&'static str> {
                Self::with(slf, |end| Ok(stats::state(end.state())))
            }

            /// The longest payload that goes into the ring itself, in bytes.
            #[getter]
            fn inline_limit(slf: &Bound<'_, Self>) -> PyResult<usize> {
                Self::with(slf, |end| Ok(end.inline_limit()))
            }

            /// What this end has done so far, by name.
            fn stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
                Self::with(slf, |end| stats::stats(slf.py(), &end.stats()))
            }

            /// What the peer has done so far, by name, as it last showed it; None if it shows nothing (option `counters`).
            fn peer_stats<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyDict>>> {
                Self::with(slf, |end| end.peer_stats().map(|shown| stats::stats(slf.py(), &shown)).transpose())
            }

            /// What this session can promise, by name.
            fn capabilities<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
                Self::with(slf, |end| stats::capabilities(slf.py(), end.capabilities()))
            }

            /// Where this end's memory is, beside where it was asked to be.
            fn placement<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
                Self::with(slf, |end| crate::placement::placement(slf.py(), &end.placement()))
            }

            /// Has this end's memory come to a NUMA node, as far as the kernel moves it. `placement` tells what was got.
            fn set_numa_node(slf: &Bound<'_, Self>, node: Id) -> PyResult<()> {
                Self::with(slf, |end| end.set_numa_node(node.0).or_raise(slf.py()))
            }

            /// Waits by this strategy from now on: "spin", "park" or "adaptive".
            fn set_wait(slf: &Bound<'_, Self>, wait: &Bound<'_, PyAny>) -> PyResult<()> {
                let wait = crate::options::wait(wait)?;
                Self::with(slf, |end| {
                    end.set_wait(wait);
                    Ok(())
                })
            }

            /// Whether to wait by looking without a pause, which takes a processor.
            #[pyo3(signature = (pure_spin=true))]
            fn set_polling_mode(slf: &Bound<'_, Self>, pure_spin: bool) -> PyResult<()> {
                Self::with(slf, |end| {
                    end.set_wait(if pure_spin { slipring::Wait::Spin } else { slipring::Wait::Adaptive });
                    Ok(())
                })
            }
        }

        impl Drop for $class {
            fn drop(&mut self) {
                if matches!(self.end.get(), End::Open(_)) {
                    crate::end::warn_unclosed($name);
                }
            }
        }
    };
}

pub(crate) use session;
