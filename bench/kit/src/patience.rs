//! Patience: the waits of systems that cannot wait themselves, each with an end.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::fault::Fault;

/// How many looks there are between two at the clock: it costs more than most looks do.
const PER_LOOK: u32 = 1024;

/// How long a nap is: short beside anything that is waited for in one.
const NAP: Duration = Duration::from_micros(100);

/// Looks without a pause until `look` finds something.
///
/// # Errors
///
/// What `look` fails with, or [`Fault::Died`] after `patience`.
#[inline]
pub fn spin<T>(patience: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    if let Some(found) = look()? {
        return Ok(found);
    }
    let begin = Instant::now();
    loop {
        for _ in 0..PER_LOOK {
            std::hint::spin_loop();
            if let Some(found) = look()? {
                return Ok(found);
            }
        }
        if begin.elapsed() > patience {
            return Err(over(patience, "a message"));
        }
    }
}

/// Looks until `look` finds something, and gives the processor away between two looks: for whoever has nothing better to
/// wait for and may share its processor with the one it waits for.
///
/// # Errors
///
/// What `look` fails with, or [`Fault::Died`] after `patience`.
#[inline]
pub fn yielding<T>(patience: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    if let Some(found) = look()? {
        return Ok(found);
    }
    let begin = Instant::now();
    while begin.elapsed() <= patience {
        std::thread::yield_now();
        if let Some(found) = look()? {
            return Ok(found);
        }
    }
    Err(over(patience, "room"))
}

/// Looks until `look` finds `what`, and sleeps a little between two looks: for setting up, which is not measured closer than
/// that.
///
/// # Errors
///
/// What `look` fails with, or [`Fault::Died`] after `patience`.
pub fn nap_until<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begin.elapsed() > patience {
            return Err(over(patience, what));
        }
        std::thread::sleep(NAP);
    }
}

#[cold]
fn over(patience: Duration, what: &str) -> anyhow::Error {
    Fault::Died(format!("{what} did not come within {patience:?}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_is_answered() {
        let mut left = 5000;
        let mut look = || {
            left -= 1;
            Ok((left == 0).then_some(7))
        };
        assert_eq!(spin(Duration::from_secs(60), &mut look).unwrap(), 7);
        left = 3;
        let look = || {
            left -= 1;
            Ok((left == 0).then_some(8))
        };
        assert_eq!(nap_until(Duration::from_secs(60), "it", look).unwrap(), 8);
    }

    #[test]
    fn patience_ends_as_a_death() {
        for error in [
            spin(Duration::ZERO, || Ok(None::<()>)).unwrap_err(),
            yielding(Duration::ZERO, || Ok(None::<()>)).unwrap_err(),
            nap_until(Duration::ZERO, "it", || Ok(None::<()>)).unwrap_err(),
        ] {
            assert_eq!(Fault::code_of(&error), 4, "{error}");
        }
    }

    #[test]
    fn an_error_of_the_look_ends_the_wait() {
        let error = spin(Duration::from_secs(60), || Err::<Option<()>, _>(anyhow::anyhow!("broken"))).unwrap_err();
        assert_eq!(error.to_string(), "broken");
    }
}
