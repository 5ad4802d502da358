//! Regions that are one block each: for payloads so long that rounding them to a power of two would cost real memory.
//!
//! Such a region is as long as its class: a sixteenth of the power of two below it, times a whole number. So at most a
//! sixteenth of it is not used, and payloads of about one size find the regions of the last ones: they are a pool, by size.

use super::buddy::{GENERATION_BITS, State};
use super::{Arena, BLOCK_MIN, Block, NoBlock, REGION_BITS, WHOLE};

/// A payload longer than this has a region of its own.
pub(super) const WHOLE_ABOVE: u64 = 32 << 20;

/// How long a region for `len` bytes is made.
pub(super) fn class(len: u64) -> u64 {
    let step = (1_u64 << (len.max(WHOLE_ABOVE).ilog2() - 4)).max(BLOCK_MIN);
    len.checked_next_multiple_of(step).unwrap_or(u64::MAX)
}

/// One of them.
#[cfg_attr(test, derive(Clone, PartialEq))]
#[derive(Debug)]
struct Whole {
    id: u32,
    bytes: u64,
    state: State,
    generation: u32,
    /// Of what it holds.
    asked: u64,
    retired: bool,
}

/// What was claimed.
pub(super) struct Claimed {
    pub(super) id: u32,
    pub(super) generation: u32,
    pub(super) bytes: u64,
}

/// All of them, by id.
#[cfg_attr(test, derive(Clone, PartialEq))]
#[derive(Debug, Default)]
pub(super) struct Wholes(Vec<Whole>);

impl Wholes {
    pub(super) fn add(&mut self, id: u32, bytes: u64) {
        self.0.push(Whole { id, bytes, state: State::Free, generation: 0, asked: 0, retired: false });
    }

    /// The shortest free one that holds `len` bytes; unless `loose`, one of about that length.
    pub(super) fn claim(&mut self, len: u64, loose: bool) -> Option<Claimed> {
        let most = if loose { u64::MAX } else { class(len).saturating_mul(2) };
        let fits =
            |whole: &&mut Whole| whole.state == State::Free && !whole.retired && (len..=most).contains(&whole.bytes);
        let whole = self.0.iter_mut().filter(fits).min_by_key(|whole| whole.bytes)?;
        whole.state = State::Claimed;
        whole.generation = (whole.generation + 1) & ((1 << GENERATION_BITS) - 1);
        whole.generation = whole.generation.max(1);
        whole.asked = len;
        Some(Claimed { id: whole.id, generation: whole.generation, bytes: whole.bytes })
    }

    /// Where the one is written down that has these numbers and this state. Any numbers may be asked for.
    pub(super) fn find(&self, id: u32, index: u32, generation: u32, state: State) -> Option<usize> {
        let at = self.0.binary_search_by_key(&id, |whole| whole.id).ok()?;
        let whole = &self.0[at];
        (index == 0 && whole.generation == generation && whole.state == state).then_some(at)
    }

    pub(super) fn send(&mut self, at: usize) {
        self.0[at].state = State::Out;
    }

    /// Makes it free. Its bytes, and those that were asked for.
    pub(super) fn release(&mut self, at: usize) -> (u64, u64) {
        self.0[at].state = State::Free;
        (self.0[at].bytes, self.0[at].asked)
    }

    /// The last one that holds nothing.
    pub(super) fn idle(&self) -> Option<u32> {
        self.0.iter().rev().find(|whole| whole.state == State::Free && !whole.retired).map(|whole| whole.id)
    }

    /// Whether there was one of this id to retire.
    pub(super) fn retire(&mut self, id: u32) -> bool {
        let found = self.0.iter_mut().find(|whole| whole.id == id && !whole.retired);
        let retired = found.map(|whole| whole.retired = true);
        retired.is_some()
    }

    /// Removes a retired one that holds nothing. Its bytes.
    pub(super) fn forgotten(&mut self, id: u32) -> Option<u64> {
        let at = self.0.iter().position(|whole| whole.id == id && whole.retired && whole.state == State::Free)?;
        Some(self.0.remove(at).bytes)
    }
}

/// Blocks that are regions.
impl Arena {
    /// Adds a region of `bytes`, whole pages, that is one block. Ids ascend, together with those of other regions.
    pub(crate) fn add_whole(&mut self, id: u32, bytes: u64) {
        debug_assert!(id >= self.next_id && id < 1 << REGION_BITS, "region ids ascend");
        self.next_id = id + 1;
        self.wholes.add(id, bytes);
        self.usage.regions += 1;
        self.usage.bytes += bytes;
    }

    /// A claimed block that is a region of its own: one of about `len` bytes, or `loose`, of any size.
    #[cold]
    pub(crate) fn alloc_whole(&mut self, len: u64, loose: bool) -> Result<Block, NoBlock> {
        let claimed = self.wholes.claim(len, loose).ok_or(NoBlock::Whole { needed: class(len) })?;
        self.usage.blocks_out += 1;
        self.usage.bytes_out += claimed.bytes;
        self.usage.asked_out += len;
        self.usage.high_water = self.usage.high_water.max(self.usage.bytes_out);
        Ok(Block { region: claimed.id, index: 0, generation: claimed.generation, order: WHOLE })
    }

    #[cold]
    pub(super) fn release_whole(&mut self, at: usize) {
        let (bytes, asked) = self.wholes.release(at);
        self.usage.blocks_out -= 1;
        self.usage.bytes_out -= bytes;
        self.usage.asked_out -= asked;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::entry;
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 4 } else { 1024 },
            failure_persistence: if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence },
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_class_holds_its_payload_and_little_more(len in WHOLE_ABOVE + 1..1 << 45) {
            prop_assert!((len..=len + len / 16).contains(&class(len)));
            prop_assert!(class(class(len)) == class(len) && class(len).is_multiple_of(4096));
        }
    }

    #[test]
    fn payloads_of_about_one_size_share_a_pool_and_others_do_not() {
        let mut wholes = Wholes::default();
        wholes.add(3, class(100 * MIB));
        wholes.add(5, class(600 * MIB));
        assert_eq!(wholes.claim(99 * MIB, false).map(|claimed| claimed.id), Some(3));
        assert!(wholes.claim(100 * MIB, false).is_none(), "600 MiB for 100 would be a waste");
        assert_eq!(wholes.claim(100 * MIB, true).map(|claimed| claimed.id), Some(5), "but better than none");
    }

    #[test]
    fn only_what_is_out_comes_back_and_only_once() {
        let mut wholes = Wholes::default();
        wholes.add(0, class(64 * MIB));
        let claimed = wholes.claim(64 * MIB, false).expect("a region");
        assert!(entry(claimed.id, 0, claimed.generation).is_some(), "the peer can name it");
        let out = |wholes: &Wholes, index, generation| wholes.find(0, index, generation, State::Out);
        assert_eq!(out(&wholes, 0, claimed.generation), None, "it is claimed");
        let at = wholes.find(0, 0, claimed.generation, State::Claimed).expect("it is claimed");
        wholes.send(at);
        assert_eq!((out(&wholes, 1, claimed.generation), out(&wholes, 0, claimed.generation + 1)), (None, None));
        assert_eq!(out(&wholes, 0, claimed.generation), Some(at));
        assert!(wholes.retire(0) && !wholes.retire(0) && wholes.forgotten(0).is_none(), "it is still out");
        assert_eq!(wholes.release(at), (class(64 * MIB), 64 * MIB));
        assert_eq!(out(&wholes, 0, claimed.generation), None, "it has come back");
        assert_eq!(wholes.idle(), None, "it goes already");
        assert_eq!((wholes.forgotten(0), wholes.forgotten(0)), (Some(class(64 * MIB)), None));
    }

    #[test]
    fn generations_are_never_zero() {
        let mut wholes = Wholes::default();
        wholes.add(0, class(40 * MIB));
        wholes.0[0].generation = (1 << GENERATION_BITS) - 1;
        let claimed = wholes.claim(40 * MIB, false).expect("a region");
        assert_eq!(claimed.generation, 1);
    }
}
