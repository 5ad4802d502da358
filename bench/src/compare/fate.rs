//! Fates: how a system's part in a cell ended, in the words of a row and the codes of the program.

use std::fmt;

use crate::fault::Fault;

/// How it ended, from the best to the one that explains most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// It was measured.
    Ok,
    /// It has no such thing, and said so.
    Unsupported,
    /// It said nothing for too long and was ended.
    Hung,
    /// It could not go on, and said why.
    Failed,
    /// A process of it ended without a word.
    Died,
    /// A message was lost or damaged.
    Damaged,
}

impl Status {
    /// Its word in rows.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unsupported => "unsupported",
            Self::Hung => "hung",
            Self::Failed => "failed",
            Self::Died => "died",
            Self::Damaged => "damaged",
        }
    }
}

/// Why a system has no figures.
#[derive(Clone, Debug)]
pub(super) struct Fate {
    pub(super) status: Status,
    pub(super) why: String,
}

impl Fate {
    pub(super) fn new(status: Status, why: impl fmt::Display) -> Self {
        Self { status, why: why.to_string() }
    }

    /// What a failed call on this side of the pipes means: the processes cannot be started or told.
    pub(super) fn failed(error: &anyhow::Error) -> Self {
        Self::new(Status::Failed, format!("{error:#}"))
    }
}

/// The fault that the whole program ends with, after everything was measured and told: the worst thing that befell a system.
pub(super) fn verdict<'f>(fates: impl Iterator<Item = (&'f str, &'f Fate)>) -> anyhow::Result<()> {
    let worst = fates.max_by_key(|(_, fate)| weight(fate.status)).filter(|(_, fate)| weight(fate.status) > 0);
    let Some((system, fate)) = worst else { return Ok(()) };
    let why = format!("{system}: {}: {}", fate.status.word(), fate.why);
    Err(match fate.status {
        Status::Damaged => Fault::Damaged(why).into(),
        Status::Died | Status::Hung => Fault::Died(why).into(),
        _ => anyhow::anyhow!(why),
    })
}

/// How much a fate weighs for the whole program: data that is lost more than a process, and that more than a reason given.
fn weight(status: Status) -> u8 {
    match status {
        Status::Ok | Status::Unsupported => 0,
        Status::Failed => 1,
        Status::Hung | Status::Died => 2,
        Status::Damaged => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(fates: &[Status]) -> Option<u8> {
        let fates: Vec<Fate> = fates.iter().map(|&status| Fate::new(status, "why")).collect();
        verdict(fates.iter().map(|fate| ("one", fate))).err().map(|error| Fault::code_of(&error))
    }

    #[test]
    fn the_program_ends_with_the_worst_of_all_codes() {
        assert_eq!(code(&[Status::Ok, Status::Unsupported]), None);
        assert_eq!(code(&[Status::Ok, Status::Failed]), Some(1));
        assert_eq!(code(&[Status::Failed, Status::Hung, Status::Ok]), Some(4));
        assert_eq!(code(&[Status::Died, Status::Failed]), Some(4));
        assert_eq!(code(&[Status::Damaged, Status::Died, Status::Hung]), Some(3));
    }
}
