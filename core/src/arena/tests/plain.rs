//! What any sequence of calls must do, told by a list of regions and a list of the blocks in each, searched from end to
//! end.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Alloc(u64),
    /// One of the claimed blocks.
    Commit(usize),
    Free(usize),
    /// One of the blocks that are out.
    GiveBack(usize),
    /// The entry of one of all blocks there ever were, with one bit changed or none.
    Again(usize, Option<u32>),
    Entry(u64),
    AddRegion(u32),
    /// The region that the arena proposes, or one of all there ever were.
    RetireIdle,
    Retire(usize),
    Forgotten(u32),
}

/// A block that was given out.
#[derive(Clone, Copy)]
struct Live {
    block: Block,
    asked: u64,
    out: bool,
}

struct PlainRegion {
    id: u32,
    bytes: u64,
    retired: bool,
}

/// An arena, and the plain account of it.
struct Bench {
    arena: Arena,
    max_out: usize,
    regions: Vec<PlainRegion>,
    live: Vec<Live>,
    /// Every block ever given out.
    ever: Vec<Block>,
    next_id: u32,
    high_water: u64,
}

impl Bench {
    fn new(max_out: u32, window: u64) -> Self {
        let arena = Arena::new(max_out, window);
        let (regions, live, ever) = (Vec::new(), Vec::new(), Vec::new());
        Self { arena, max_out: max_out as usize, regions, live, ever, next_id: 0, high_water: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Alloc(len) => self.alloc(len),
            Step::Commit(at) => {
                if let Some(at) = self.pick(at, false) {
                    self.arena.commit(self.live[at].block);
                    self.live[at].out = true;
                }
            }
            Step::Free(at) => {
                if let Some(at) = self.pick(at, false) {
                    self.arena.free(self.live.swap_remove(at).block);
                }
            }
            Step::GiveBack(at) => {
                if let Some(at) = self.pick(at, true) {
                    let entry = Arena::entry(self.live.swap_remove(at).block);
                    assert_eq!(self.arena.give_back(entry), Ok(()));
                }
            }
            Step::Again(at, bit) => {
                if !self.ever.is_empty() {
                    let entry = Arena::entry(self.ever[at % self.ever.len()]);
                    self.forge(entry ^ bit.map_or(0, |bit| 1 << bit));
                }
            }
            Step::Entry(entry) => self.forge(entry),
            Step::AddRegion(order) => self.add_region(BLOCK_MIN << order),
            Step::RetireIdle => self.retire_idle(),
            Step::Retire(at) => self.retire(at),
            Step::Forgotten(id) => self.forgotten(id % (self.next_id + 1)),
        }
        self.compare();
    }

    /// The place of one of the live blocks that are out, or are not.
    fn pick(&self, at: usize, out: bool) -> Option<usize> {
        let fit: Vec<_> = (0..self.live.len()).filter(|&live| self.live[live].out == out).collect();
        (!fit.is_empty()).then(|| fit[at % fit.len()])
    }

    fn returns_left(&self) -> bool {
        self.live.len() + self.regions.iter().filter(|region| region.retired).count() < self.max_out
    }

    /// Whether `size` bytes from `offset` of a region overlap nothing that was given out.
    fn is_free(&self, region: u32, offset: u64, size: u64) -> bool {
        let blocks = self.live.iter().map(|live| live.block).filter(|block| block.region == region);
        blocks.into_iter().all(|block| block.offset() + block.size() <= offset || offset + size <= block.offset())
    }

    /// Whether a multiple of `size` within these bytes of a region is free.
    fn has_room(&self, region: u32, from: u64, bytes: u64, size: u64) -> bool {
        (from..from + bytes)
            .step_by(size as usize)
            .any(|offset| offset + size <= from + bytes && self.is_free(region, offset, size))
    }

    fn alloc(&mut self, len: u64) {
        let size = len.max(BLOCK_MIN).next_power_of_two();
        let open: Vec<_> = self.open_areas();
        match self.arena.alloc(len) {
            Err(NoBlock::Returns) => assert!(!self.returns_left()),
            Err(NoBlock::Region { needed }) => {
                assert!(self.returns_left());
                assert_eq!(needed, size);
                let mut usable = self.regions.iter().filter(|region| !region.retired);
                assert!(
                    !usable.any(|region| self.has_room(region.id, 0, region.bytes, size)),
                    "a run of {size} is free"
                );
            }
            Err(NoBlock::Whole { .. }) => panic!("{len} bytes are not worth a region of their own"),
            Ok(block) => {
                assert!(self.returns_left());
                assert_eq!((block.size(), block.offset() % size), (size, 0));
                let region =
                    self.regions.iter().find(|region| region.id == block.region).expect("a region that exists");
                assert!(!region.retired && block.offset() + size <= region.bytes);
                assert!(self.is_free(block.region, block.offset(), size), "no two blocks overlap");
                assert!(!self.ever.contains(&block), "a start and a generation do not come again");
                self.assert_preferred(&open, block);
                self.ever.push(block);
                self.live.push(Live { block, asked: len, out: false });
            }
        }
    }

    /// The areas that are open, in the order of preference: region, offset, size.
    fn open_areas(&self) -> Vec<(u32, u64, u64)> {
        let open = self.arena.areas.iter().enumerate().filter(|(_, area)| area.open);
        let place = open.map(|(at, area)| {
            let region = &self.arena.regions[area.region];
            let size = BLOCK_MIN << region.area_order;
            (region.id, (at - region.first_area) as u64 * size, size)
        });
        place.collect()
    }

    /// No area that was open before and is preferred to that of `block` could have served instead.
    fn assert_preferred(&self, open: &[(u32, u64, u64)], block: Block) {
        let own = |&(region, offset, bytes): &(u32, u64, u64)| {
            region == block.region && (offset..offset + bytes).contains(&block.offset())
        };
        let retired = |id| self.regions.iter().any(|region| region.id == id && region.retired);
        for area in open.iter().take_while(|area| !own(area)).filter(|area| !retired(area.0)) {
            assert!(!self.has_room(area.0, area.1, area.2, block.size()), "{area:?} has room for {block:?}");
        }
    }

    /// The peer says an entry, true or not.
    fn forge(&mut self, entry: u64) {
        let named = self.live.iter().position(|live| live.out && Arena::entry(live.block) == entry);
        match named {
            Some(at) => {
                self.live.swap_remove(at);
                assert_eq!(self.arena.give_back(entry), Ok(()));
            }
            None => refused(&mut self.arena, entry),
        }
    }

    fn add_region(&mut self, bytes: u64) {
        if self.regions.len() < 6 {
            self.arena.add_region(self.next_id, bytes);
            self.regions.push(PlainRegion { id: self.next_id, bytes, retired: false });
            self.next_id += 1 + self.next_id % 3;
        }
    }

    fn retire_idle(&mut self) {
        let usable = self.regions.iter().filter(|region| !region.retired);
        let idle = |region: &&PlainRegion| self.live.iter().all(|live| live.block.region != region.id);
        let spare = usable.clone().count() >= 2 && self.returns_left();
        let expected = usable.rev().find(idle).map(|region| region.id).filter(|_| spare);
        assert_eq!(self.arena.idle_region(), expected);
        if let Some(id) = expected {
            self.arena.retire(id);
            self.regions.iter_mut().filter(|region| region.id == id).for_each(|region| region.retired = true);
        }
    }

    /// Retires a region whether or not something of it is out.
    fn retire(&mut self, at: usize) {
        let returns_left = self.returns_left();
        let count = self.regions.len().max(1);
        let region = self.regions.get_mut(at % count).filter(|region| !region.retired && returns_left);
        if let Some(region) = region {
            self.arena.retire(region.id);
            region.retired = true;
        }
    }

    fn forgotten(&mut self, id: u32) {
        let idle = self.live.iter().all(|live| live.block.region != id);
        let at = self.regions.iter().position(|region| region.id == id && region.retired && idle);
        let before = self.arena.clone();
        match at {
            Some(at) => {
                self.regions.remove(at);
                assert_eq!(self.arena.forgotten(id), Ok(()));
            }
            None => {
                assert_eq!(self.arena.forgotten(id), Err(Violation::Return));
                assert_eq!(self.arena, before);
            }
        }
    }

    fn compare(&mut self) {
        let bytes_out = self.live.iter().map(|live| live.block.size()).sum();
        self.high_water = self.high_water.max(bytes_out);
        let usage = Usage {
            regions: self.regions.len() as u32,
            bytes: self.regions.iter().map(|region| region.bytes).sum(),
            blocks_out: self.live.len() as u32,
            bytes_out,
            asked_out: self.live.iter().map(|live| live.asked).sum(),
            high_water: self.high_water,
        };
        assert_eq!(self.arena.usage(), usage);
        self.arena.regions.iter().for_each(|region| region.areas.check());
        for (at, area) in self.arena.areas.iter().enumerate() {
            let region = &self.arena.regions[area.region];
            let reach = area.blocks.as_ref().map_or(0, Buddy::reach);
            let usable = area.open && !region.retired;
            assert_eq!(self.arena.ready.reach(at), if usable { reach } else { 0 });
            area.blocks.iter().for_each(Buddy::check);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let exact = (0_u32..10).prop_map(|order| BLOCK_MIN << order);
    let len = prop_oneof![4 => 0_u64..1024, 3 => 0_u64..8192, 2 => 0_u64..65536, 1 => exact];
    let again = (any::<usize>(), prop::option::of(0_u32..64));
    let step = prop_oneof![
        12 => len.prop_map(Step::Alloc),
        8 => any::<usize>().prop_map(Step::Commit),
        2 => any::<usize>().prop_map(Step::Free),
        6 => any::<usize>().prop_map(Step::GiveBack),
        2 => again.prop_map(|(at, bit)| Step::Again(at, bit)),
        1 => any::<u64>().prop_map(Step::Entry),
        1 => (0_u32..9).prop_map(Step::AddRegion),
        1 => Just(Step::RetireIdle),
        1 => any::<usize>().prop_map(Step::Retire),
        2 => any::<u32>().prop_map(Step::Forgotten),
    ];
    prop::collection::vec(step, 0..if cfg!(miri) { 30 } else { 300 })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 512 },
        // Miri keeps programs away from files.
        failure_persistence: if cfg!(miri) { None } else { ProptestConfig::default().failure_persistence },
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_calls_does_what_the_plain_model_says(
        max_out in prop_oneof![1_u32..8, 8_u32..200],
        window in (0_u32..9).prop_map(|order| BLOCK_MIN << order),
        first in 0_u32..9,
        steps in steps(),
    ) {
        let mut bench = Bench::new(max_out, window);
        bench.step(Step::AddRegion(first));
        for step in steps {
            bench.step(step);
        }
    }
}
