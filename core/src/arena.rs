//! Who has which block: the private bookkeeping of an arena.
//!
//! The idea: a payload that is too long for the ring lies in a **block** of a **region**, and which blocks are out is
//! written down here, in memory that no peer can reach. The peer only ever says numbers, a return entry or the id of a
//! region it has unmapped, and each is looked up in these tables before it means anything.
//!
//! # Blocks
//!
//! A block is a power of two of bytes, at least [`BLOCK_MIN`], at a multiple of its own size. It is **claimed** when it
//! is given to our user, **out** once a frame names it ([`Arena::commit`]), and free again when the peer gives it back,
//! or at once if the claim is aborted. Only what is out can be given back: a peer that guesses the entry of a claimed
//! block would else have it handed out twice. Each start of a block counts **generations**, one for each time it is
//! given out, so that an entry said again later matches nothing.
//!
//! # The working window
//!
//! A block that has just come back still lies in the reader's cache, and writing to it at once means fetching every
//! line from there. So of the free blocks of a size the one that has been free longest is taken, and a longer one is
//! split before a warm one is used. But to wander through all memory would be as bad: the lines would be in no cache at
//! all. Exactly:
//!
//! - A region is divided into **areas** of the window's size, rounded down to a power of two; a shorter region is one
//!   area. An area is *closed*, all of it free and unused, or *open*, or part of a block that is longer than an area.
//! - Areas have an order: by region id, then by place. A request is served by the first open area that can. That takes
//!   the oldest of the shortest runs that are long enough, if half the area came back since that run did; else the
//!   oldest of all.
//! - Only when no open area can serve it, a closed one is opened, in the first region that has one. So the first open
//!   area is the window; those behind it are touched only while it is full, and fall idle when it no longer is. This is
//!   how the window shrinks: nothing has to be moved or counted.
//! - A block longer than an area takes areas that are closed. If those do not do, idle ones are closed first.
//!
//! Regions shorter than the window make the window that short: the first should be made no shorter.
//!
//! Merging is lazy (`buddy.rs`), but a request fails only where no aligned run of its size is free in any region.
//!
//! # What rounding costs
//!
//! Blocks are powers of two, so part of each is not used. Sizes of real files, those above 1 KiB (what is shorter rides
//! in the ring), one block each, 2026-11-20 on Debian, `find DIR -type f -size +1024c -printf '%s\n'`:
//!
//! | files | number | bytes | unused, of all bytes of the blocks | mean over the blocks |
//! |---|---|---|---|---|
//! | `/usr/include` | 7173 | 114 MB | 30.3 % | 28.5 % |
//! | `/usr/lib/python3` | 2448 | 41 MB | 30.8 % | 28.0 % |
//! | `lib` of the toolchain of Rust 1.95 | 81 | 539 MB | 31.4 % | 27.5 % |
//!
//! What a call costs is measured by `benches/arena.rs`; the numbers are in `docs/decisions/0006-the-arena.md`.
//!
//! # Long payloads
//!
//! A payload of more than 32 MiB has a region of its own (`whole.rs`), which is a pool for payloads of about its length.
//!
//! This file knows numbers only: no memory, no span, no process. The memory is in `memory.rs`, which knows nothing else.

mod buddy;
pub(crate) mod memory;
mod ready;
mod whole;

use crate::error::Violation;
use buddy::{Buddy, GENERATION_BITS, Pick, State};
use ready::Ready;
use whole::{WHOLE_ABOVE, Wholes};

/// The smallest block, in bytes. A block's index counts these.
pub(crate) const BLOCK_MIN: u64 = 256;

/// A block's index has so many bits in a return entry: a region is at most 4 GiB.
const INDEX_BITS: u32 = 24;

/// The longest region that is divided into blocks.
pub(crate) const REGION_BYTES_MAX: u64 = BLOCK_MIN << INDEX_BITS;

/// What is left of the 64 bits of a return entry is the region's id.
const REGION_BITS: u32 = u64::BITS - INDEX_BITS - GENERATION_BITS;

/// An area is no longer than this, in bytes: its table has 24 bytes for every [`BLOCK_MIN`], and is written when it is
/// opened. Four times a second-level cache of 16 MiB, which no core has today.
const AREA_MAX: u64 = 64 << 20;

/// Region ids of an arena are at most this.
pub(crate) const REGION_MAX: u32 = (1 << REGION_BITS) - 1;

/// The return entry that names a block: region, index and generation, from the top. `None` if no block has such numbers.
#[inline]
pub(crate) fn entry(region: u32, index: u32, generation: u32) -> Option<u64> {
    let possible = region <= REGION_MAX && index < 1 << INDEX_BITS && (1..1 << GENERATION_BITS).contains(&generation);
    let region = u64::from(region) << (INDEX_BITS + GENERATION_BITS);
    possible.then_some(region | u64::from(index) << GENERATION_BITS | u64::from(generation))
}

/// The return entry that confirms that a region is unmapped: no block has the generation 0.
pub(crate) fn forgotten_entry(region: u32) -> u64 {
    u64::from(region) << (INDEX_BITS + GENERATION_BITS)
}

/// The region that an entry confirms to be unmapped, if it is one of that kind.
pub(crate) fn forgotten_region(entry: u64) -> Option<u32> {
    (entry & ((1 << (INDEX_BITS + GENERATION_BITS)) - 1) == 0)
        .then_some((entry >> (INDEX_BITS + GENERATION_BITS)) as u32)
}

/// One block that was given out. Forgetting it leaves it claimed for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The id of its region.
    pub(crate) region: u32,
    /// Where it starts in there, in [`BLOCK_MIN`].
    pub(crate) index: u32,
    pub(crate) generation: u32,
    order: u8,
}

impl Block {
    /// Where it starts in its region, in bytes.
    #[inline]
    pub(crate) fn offset(self) -> u64 {
        u64::from(self.index) * BLOCK_MIN
    }

    /// How long it is, in bytes. One that is a whole region ends where that does.
    #[inline]
    pub(crate) fn size(self) -> u64 {
        if self.order == WHOLE { u64::MAX } else { BLOCK_MIN << self.order }
    }
}

/// In place of an order: the block is a region of its own.
const WHOLE: u8 = u8::MAX;

/// Why there is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoBlock {
    /// No region has so many bytes, a power of two, free in one piece.
    Region { needed: u64 },
    /// The payload needs a region of its own of so many bytes, and none of about that length is free.
    Whole { needed: u64 },
    /// As many returns may come as the return ring has entries.
    Returns,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Regions that exist; a retired one does until the peer has forgotten it.
    pub(crate) regions: u32,
    /// All their bytes.
    pub(crate) bytes: u64,
    /// Blocks claimed or out.
    pub(crate) blocks_out: u32,
    /// All their bytes.
    pub(crate) bytes_out: u64,
    /// The bytes that were asked for; the rest of `bytes_out` is what rounding costs.
    pub(crate) asked_out: u64,
    /// The most that `bytes_out` ever was.
    pub(crate) high_water: u64,
}

/// One region: a power of two of bytes, and in it areas.
#[cfg_attr(test, derive(Clone, PartialEq))]
#[derive(Debug)]
struct Region {
    id: u32,
    /// Its size, as the order of a block that would fill it.
    order: u8,
    /// The size of its areas, likewise.
    area_order: u8,
    /// Its first area, among those of all regions.
    first_area: usize,
    /// Its areas, as units: an open one is claimed, a block longer than an area is claimed or out.
    areas: Buddy,
    /// Blocks claimed or out, and their bytes.
    blocks_out: u32,
    bytes_out: u64,
    retired: bool,
}

/// One area: where short blocks come from, while it is open.
#[cfg_attr(test, derive(Clone, PartialEq))]
#[derive(Debug)]
struct Area {
    /// Its region, by place.
    region: usize,
    open: bool,
    /// In units of [`BLOCK_MIN`]. None until it is opened for the first time; kept when it is closed, with its
    /// generations.
    blocks: Option<Buddy>,
}

/// The longest payload for which `room` bytes of memory can have a block.
pub(crate) fn payload_max(room: u64) -> u64 {
    if room > WHOLE_ABOVE { room } else { 1 << room.ilog2() }
}

/// The fewest bytes that a block for `len` bytes has.
pub(crate) fn least_for(len: u64) -> u64 {
    if len > WHOLE_ABOVE { len } else { bytes_for(len) }
}

/// Where a block is written down.
#[derive(Clone, Copy)]
struct Place {
    region: usize,
    /// The area, if the block lies in an open one; else it is one of the region's own, longer than an area.
    area: Option<usize>,
    /// Its number there.
    unit: u32,
}

/// All regions of one side of a session.
#[cfg_attr(test, derive(Clone, PartialEq))]
#[derive(Debug)]
pub(crate) struct Arena {
    /// By id, ascending.
    regions: Vec<Region>,
    /// Of all regions, one after the other.
    areas: Vec<Area>,
    /// What the open areas can serve.
    ready: Ready,
    /// Regions that are one block each.
    wholes: Wholes,
    /// The size of an area, as an order, in regions that are not shorter.
    area_order: u8,
    /// No region had this id or a higher one.
    next_id: u32,
    /// How many returns may be under way.
    max_out: u32,
    /// Regions retired and not yet forgotten: each will be confirmed by a return.
    retired: u32,
    usage: Usage,
}

impl Arena {
    /// An arena without a region, whose peer has a return ring of `max_out` entries. `window` is the working window in
    /// bytes: about four times a core's second-level cache.
    pub(crate) fn new(max_out: u32, window: u64) -> Self {
        Self {
            regions: Vec::new(),
            areas: Vec::new(),
            wholes: Wholes::default(),
            ready: Ready::new([].into_iter()),
            area_order: order_within(window.clamp(BLOCK_MIN, AREA_MAX)),
            next_id: 0,
            max_out,
            retired: 0,
            usage: Usage::default(),
        }
    }

    /// Adds a region of `bytes`: a power of two from [`BLOCK_MIN`] to 4 GiB. Ids ascend and are never used again.
    pub(crate) fn add_region(&mut self, id: u32, bytes: u64) {
        debug_assert!(id >= self.next_id && id < 1 << REGION_BITS, "region ids ascend");
        debug_assert!(bytes.is_power_of_two() && (BLOCK_MIN..=BLOCK_MIN << INDEX_BITS).contains(&bytes));
        self.next_id = id + 1;
        let order = order_within(bytes);
        let area_order = self.area_order.min(order);
        let areas = Buddy::new(order - area_order, Pick::Tightest);
        let (region, first_area) = (self.regions.len(), self.areas.len());
        self.regions.push(Region {
            id,
            order,
            area_order,
            first_area,
            areas,
            blocks_out: 0,
            bytes_out: 0,
            retired: false,
        });
        self.areas.extend((0..1_u32 << (order - area_order)).map(|_| Area { region, open: false, blocks: None }));
        self.usage.regions += 1;
        self.usage.bytes += bytes;
        self.rebuild_ready();
    }

    /// A claimed block of at least `len` bytes.
    #[inline]
    pub(crate) fn alloc(&mut self, len: u64) -> Result<Block, NoBlock> {
        if !self.may_return_more() {
            return Err(NoBlock::Returns);
        }
        if len > WHOLE_ABOVE {
            return self.alloc_whole(len, false);
        }
        let order = order_for(len);
        while let Some(area) = self.ready.first_above(order) {
            // In vain only where pairs promised more than they made; the area has said so and is not found again.
            if let Some(block) = self.claim_in_area(area, order, len) {
                return Ok(block);
            }
        }
        self.alloc_from_closed(order, len).ok_or(NoBlock::Region { needed: bytes_for(len) })
    }

    /// The claimed `block` is about to be named by a frame: from here on the peer may give it back, and nobody else.
    #[inline]
    pub(crate) fn commit(&mut self, block: Block) {
        let found = self.find(block.region, block.index, block.generation, State::Claimed);
        debug_assert!(found.is_some() || block.order == WHOLE, "only a claimed block is committed, and once");
        if let Some(place) = found {
            self.table_mut(place).send(place.unit);
        } else if let Some(at) = self.wholes.find(block.region, 0, block.generation, State::Claimed) {
            self.wholes.send(at);
        }
    }

    /// Takes back a claimed block that no frame names: an aborted claim.
    #[inline]
    pub(crate) fn free(&mut self, block: Block) {
        let found = self.find(block.region, block.index, block.generation, State::Claimed);
        debug_assert!(found.is_some() || block.order == WHOLE, "only a claimed block is freed, and once");
        if let Some(place) = found {
            self.release(place);
        } else if let Some(at) = self.wholes.find(block.region, 0, block.generation, State::Claimed) {
            self.release_whole(at);
        }
    }

    /// The return entry by which the peer gives `block` back.
    #[cfg(not(loom))]
    pub(crate) fn entry(block: Block) -> u64 {
        entry(block.region, block.index, block.generation).expect("a block has the numbers of one")
    }

    /// Takes back the block that the peer's return entry names.
    ///
    /// # Errors
    ///
    /// [`Violation::Return`] if no block is out that the entry names: its region or start is unknown, it is not out, or
    /// it is out for another time than the entry says. Nothing has changed then.
    #[inline]
    pub(crate) fn give_back(&mut self, entry: u64) -> Result<(), Violation> {
        let region = (entry >> (INDEX_BITS + GENERATION_BITS)) as u32;
        let index = (entry >> GENERATION_BITS) as u32 & ((1 << INDEX_BITS) - 1);
        let generation = entry as u32 & ((1 << GENERATION_BITS) - 1);
        if let Some(place) = self.find(region, index, generation, State::Out) {
            self.release(place);
        } else {
            let at = self.wholes.find(region, index, generation, State::Out).ok_or(Violation::Return)?;
            self.release_whole(at);
        }
        Ok(())
    }

    /// The region to retire next, if there is one: the last in which nothing is claimed or out, those of one block first. One of
    /// the others always stays, and none can be spared while the return that would confirm it has no room.
    pub(crate) fn idle_region(&self) -> Option<u32> {
        let kept = self.regions.iter().filter(|region| !region.retired).count();
        self.wholes.idle().filter(|_| self.may_return_more()).or_else(|| self.spare_region().filter(|_| kept >= 2))
    }

    /// The same, but the last one goes, too: for whoever needs room under a limit for something longer.
    pub(crate) fn spare_region(&self) -> Option<u32> {
        if !self.may_return_more() {
            return None;
        }
        let idle = |region: &&Region| !region.retired && region.blocks_out == 0;
        self.wholes.idle().or_else(|| self.regions.iter().rev().find(idle).map(|region| region.id))
    }

    /// Hands out no block of this region any more. It counts, and takes up a return, until it is
    /// [`forgotten`](Self::forgotten).
    pub(crate) fn retire(&mut self, id: u32) {
        debug_assert!(self.may_return_more(), "the return that confirms it needs room");
        if self.wholes.retire(id) {
            self.retired += 1;
            return;
        }
        let found = self.region_at(id);
        debug_assert!(found.is_some_and(|at| !self.regions[at].retired), "a region is retired once");
        let Some(region) = found.map(|at| &mut self.regions[at]).filter(|region| !region.retired) else { return };
        region.retired = true;
        self.retired += 1;
        self.rebuild_ready();
    }

    /// The peer has unmapped this region; it is gone.
    ///
    /// # Errors
    ///
    /// [`Violation::Return`] if it was not retired, or if a block of it is still out. Nothing has changed then.
    pub(crate) fn forgotten(&mut self, id: u32) -> Result<(), Violation> {
        if let Some(bytes) = self.wholes.forgotten(id) {
            self.retired -= 1;
            self.usage.regions -= 1;
            self.usage.bytes -= bytes;
            return Ok(());
        }
        let at = self.region_at(id).ok_or(Violation::Return)?;
        if !self.regions[at].retired || self.regions[at].blocks_out != 0 {
            return Err(Violation::Return);
        }
        let gone = self.regions.remove(at);
        let areas = 1 << (gone.order - gone.area_order);
        self.areas.drain(gone.first_area..gone.first_area + areas);
        for area in &mut self.areas[gone.first_area..] {
            area.region -= 1;
        }
        for region in &mut self.regions[at..] {
            region.first_area -= areas;
        }
        self.retired -= 1;
        self.usage.regions -= 1;
        self.usage.bytes -= BLOCK_MIN << gone.order;
        self.rebuild_ready();
        Ok(())
    }

    #[inline]
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether the return ring has room for one more than may already be under way.
    #[inline]
    fn may_return_more(&self) -> bool {
        self.usage.blocks_out + self.retired < self.max_out
    }

    /// A block of an open area, if that can make one.
    #[inline]
    fn claim_in_area(&mut self, at: usize, order: u8, asked: u64) -> Option<Block> {
        let area = &mut self.areas[at];
        let blocks = area.blocks.as_mut()?;
        let claimed = blocks.claim(order, asked);
        self.ready.set(at, blocks.reach());
        let unit = claimed?;
        let region = &self.regions[area.region];
        let index = (((at - region.first_area) as u32) << region.area_order) | unit;
        let block = Block { region: region.id, index, generation: blocks.generation(unit), order };
        let region = area.region;
        self.count_in(region, order, asked);
        Some(block)
    }

    /// A block from areas that are not open: of one that is opened for it, or of several in one piece.
    #[cold]
    fn alloc_from_closed(&mut self, order: u8, asked: u64) -> Option<Block> {
        (0..self.regions.len()).find_map(|at| {
            let region = &self.regions[at];
            if region.retired || order > region.order {
                return None;
            }
            if (BLOCK_MIN << region.order) - region.bytes_out < BLOCK_MIN << order {
                return None;
            }
            if order <= region.area_order {
                let area = self.open_area(at)?;
                return self.claim_in_area(area, order, asked);
            }
            self.claim_areas(at, order, asked)
        })
    }

    /// Opens a closed area of a region. Returns its place.
    fn open_area(&mut self, region: usize) -> Option<usize> {
        let region = &mut self.regions[region];
        let unit = region.areas.claim(0, 0)?;
        let at = region.first_area + unit as usize;
        let area = &mut self.areas[at];
        let blocks = area.blocks.get_or_insert_with(|| Buddy::new(region.area_order, Pick::Cold));
        // The block that starts where the area starts may also be one of the region's own.
        blocks.set_generation(0, region.areas.generation(unit));
        area.open = true;
        self.ready.set(at, blocks.reach());
        Some(at)
    }

    /// A block that is longer than the areas of its region.
    fn claim_areas(&mut self, at: usize, order: u8, asked: u64) -> Option<Block> {
        let areas_order = order - self.regions[at].area_order;
        let unit = self.regions[at].areas.claim(areas_order, asked).or_else(|| {
            self.close_idle_areas(at);
            self.regions[at].areas.claim(areas_order, asked)
        })?;
        let region = &self.regions[at];
        let (index, generation) = (unit << region.area_order, region.areas.generation(unit));
        let block = Block { region: region.id, index, generation, order };
        self.count_in(at, order, asked);
        Some(block)
    }

    /// Closes the open areas of a region in which nothing is claimed or out.
    fn close_idle_areas(&mut self, at: usize) {
        let region = &mut self.regions[at];
        for unit in 0..1_u32 << (region.order - region.area_order) {
            let at = region.first_area + unit as usize;
            let area = &mut self.areas[at];
            let Some(blocks) = area.blocks.as_mut().filter(|blocks| area.open && blocks.is_idle()) else { continue };
            // Nothing is out, so one run is left; as such it is found when the area is opened again.
            blocks.sweep();
            region.areas.set_generation(unit, blocks.generation(0));
            region.areas.release(unit);
            area.open = false;
            self.ready.set(at, 0);
        }
    }

    #[inline]
    fn count_in(&mut self, region: usize, order: u8, asked: u64) {
        let size = BLOCK_MIN << order;
        self.regions[region].blocks_out += 1;
        self.regions[region].bytes_out += size;
        self.usage.blocks_out += 1;
        self.usage.bytes_out += size;
        self.usage.asked_out += asked;
        self.usage.high_water = self.usage.high_water.max(self.usage.bytes_out);
    }

    /// Makes the claimed or sent block at `place` free.
    #[inline]
    fn release(&mut self, place: Place) {
        let table = self.table_mut(place);
        let (mut order, asked) = table.release(place.unit);
        let reach = table.reach();
        let region = &mut self.regions[place.region];
        match place.area {
            Some(area) if !region.retired => self.ready.set(area, reach),
            Some(_) => {}
            None => order += region.area_order,
        }
        let size = BLOCK_MIN << order;
        region.blocks_out -= 1;
        region.bytes_out -= size;
        self.usage.blocks_out -= 1;
        self.usage.bytes_out -= size;
        self.usage.asked_out -= asked;
    }

    /// Where the block is written down that has these numbers and this state. Any numbers may be asked for.
    #[inline]
    fn find(&self, region: u32, index: u32, generation: u32, state: State) -> Option<Place> {
        let at = self.region_at(region)?;
        let region = &self.regions[at];
        if index >> region.order != 0 {
            return None;
        }
        let (unit, inside) = (index >> region.area_order, index & ((1 << region.area_order) - 1));
        let area = region.first_area + unit as usize;
        let place = match &self.areas[area] {
            Area { open: true, .. } => Place { region: at, area: Some(area), unit: inside },
            _ if inside == 0 => Place { region: at, area: None, unit },
            _ => return None,
        };
        self.table(place).is(place.unit, generation, state).then_some(place)
    }

    /// The place of the region with this id.
    #[inline]
    fn region_at(&self, id: u32) -> Option<usize> {
        self.regions.binary_search_by_key(&id, |region| region.id).ok()
    }

    #[inline]
    fn table(&self, place: Place) -> &Buddy {
        let open = place.area.and_then(|area| self.areas[area].blocks.as_ref());
        open.unwrap_or(&self.regions[place.region].areas)
    }

    #[inline]
    fn table_mut(&mut self, place: Place) -> &mut Buddy {
        let open = place.area.and_then(|area| self.areas[area].blocks.as_mut());
        open.unwrap_or(&mut self.regions[place.region].areas)
    }

    /// After regions came, went or were retired.
    fn rebuild_ready(&mut self) {
        let reach = |area: &Area| match &area.blocks {
            Some(blocks) if area.open && !self.regions[area.region].retired => blocks.reach(),
            _ => 0,
        };
        self.ready = Ready::new(self.areas.iter().map(reach));
    }
}

/// The order of the longest block within `bytes`, which are at least [`BLOCK_MIN`].
fn order_within(bytes: u64) -> u8 {
    (bytes / BLOCK_MIN).ilog2() as u8
}

/// The order of the shortest block that holds `len` bytes.
#[inline]
fn order_for(len: u64) -> u8 {
    let last = len.max(1) - 1;
    (u64::BITS - (last / BLOCK_MIN).leading_zeros()) as u8
}

/// The same in bytes; where the numbers end, the largest power of two that there is.
fn bytes_for(len: u64) -> u64 {
    len.max(BLOCK_MIN).checked_next_power_of_two().unwrap_or(1 << 63)
}

#[cfg(all(test, not(loom)))]
mod tests;
