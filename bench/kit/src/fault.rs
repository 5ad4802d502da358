//! Faults: what goes wrong in a measurement, by the exit code that scripts see.
//!
//! A benchmark that lost data has measured nothing, so damage is told apart from everything else. Errors travel as
//! `anyhow::Error`; one that holds a [`Fault`] ends the program with that fault's code, any other with 1.

use std::fmt;

/// A fault with an exit code of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The command line asks for something that cannot be.
    Usage(String),
    /// A payload was lost, repeated or changed, or an end was told the wrong cause.
    Damaged(String),
    /// A process of the measurement died, or the watchdog ended it.
    Died(String),
}

impl Fault {
    /// The exit code of every error that is no fault: the measurement could not be set up.
    pub const OTHER: u8 = 1;

    /// The exit code: 2 usage, 3 damage, 4 death.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Damaged(_) => 3,
            Self::Died(_) => 4,
        }
    }

    /// The fault of `code`, as a worker process reported it, or `None` for a code that no fault has.
    pub fn from_code(code: u8, why: String) -> Option<Self> {
        match code {
            2 => Some(Self::Usage(why)),
            3 => Some(Self::Damaged(why)),
            4 => Some(Self::Died(why)),
            _ => None,
        }
    }

    /// The exit code that `error` calls for.
    pub fn code_of(error: &anyhow::Error) -> u8 {
        error.downcast_ref::<Self>().map_or(Self::OTHER, Self::code)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(why) | Self::Damaged(why) | Self::Died(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn codes_survive_the_way_through_a_worker_and_through_context() {
        for fault in [Fault::Usage("a".into()), Fault::Damaged("b".into()), Fault::Died("c".into())] {
            assert_eq!(Fault::from_code(fault.code(), fault.to_string()), Some(fault.clone()));
            let wrapped = Err::<(), _>(fault.clone()).context("while measuring").unwrap_err();
            assert_eq!(Fault::code_of(&wrapped), fault.code());
        }
        assert_eq!(Fault::code_of(&anyhow::anyhow!("no such file")), Fault::OTHER);
    }
}
