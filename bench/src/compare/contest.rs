//! Contests: all systems in one cell, in turns.
//!
//! The processes of all systems are open at the same time and sleep while it is not their turn. Each round gives every system
//! one short block; every second round goes the other way round (ABBA), so that a machine that drifts favours nobody. The first
//! round warms up and does not count. A system that fails is out, its row says how, and the others go on.

use std::time::{Duration, Instant};

use slipring_bench_kit::rival::{Block, Job, Role, Wait};

use super::busy::Busy;
use super::cells::{Cell, Figure, Place};
use super::fate::{Fate, Status};
use super::player::{Patience, Player, Seen};
use super::ratio::median;
use super::systems::System;
use crate::crew::Runtime;
use crate::flow::Moved;
use crate::meter::{Memory, Used};
use crate::pin::Cpus;
use crate::tally::Tally;

/// Blocks by which a capacity is measured.
const CAPACITY_BLOCKS: usize = 3;
/// How long idle sides settle before they are looked at.
const SETTLE: Duration = Duration::from_millis(300);

/// What all cells of a run have in common.
pub(super) struct Arena<'r> {
    pub(super) runtime: &'r Runtime,
    pub(super) cpus: Cpus,
    pub(super) patience: Duration,
    pub(super) damage: u64,
}

/// What one system did in a cell.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) fate: Fate,
    /// How it waited.
    pub(super) wait: Wait,
    pub(super) tally: Tally,
    pub(super) moved: Moved,
    /// Of the busier side, and of both together.
    pub(super) used: Used,
    pub(super) used_by_both: Used,
    pub(super) grown: Memory,
    /// One a round, for ratios.
    pub(super) figures: Vec<Option<f64>>,
    /// From one intended start to the next.
    pub(super) gap: Duration,
    /// Messages by which processor time is divided.
    pub(super) messages: u64,
}

impl Outcome {
    fn new(wait: Wait) -> Self {
        Self {
            fate: Fate::new(Status::Ok, ""),
            wait,
            tally: Tally::new(),
            moved: Moved::default(),
            used: Used::default(),
            used_by_both: Used::default(),
            grown: Memory::default(),
            figures: Vec::new(),
            gap: Duration::ZERO,
            messages: 0,
        }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.fate.status == Status::Ok
    }
}

/// One system in a cell: its processes until it is out.
struct Seat {
    player: Option<Player>,
    outcome: Outcome,
}

impl Seat {
    fn out(&mut self, fate: Fate) {
        self.player = None;
        self.outcome.fate = fate;
    }
}

/// Measures all of `systems` in `cell`, number `number` of the run. `left_out` says which are not to be tried any more;
/// `step` is called after each block.
pub(super) fn run(
    arena: &Arena<'_>,
    (number, cell): (usize, &Cell),
    systems: &[System],
    left_out: &[Option<Fate>],
    step: &mut dyn FnMut(),
) -> Vec<Outcome> {
    let _busy = (cell.place == Place::Crowded).then(|| Busy::start(arena.cpus));
    let mut seats: Vec<Seat> = Vec::new();
    for (index, system) in systems.iter().enumerate() {
        let mut seat = Seat { player: None, outcome: Outcome::new(cell.wait) };
        let name = format!("{number}-{index}");
        match left_out[index].clone().map_or_else(|| start(arena, cell, system, &name), Err) {
            Ok((player, wait)) => (seat.player, seat.outcome.wait) = (Some(player), wait),
            Err(fate) => seat.out(fate),
        }
        seats.push(seat);
    }
    for seat in &mut seats {
        set_pace(cell, seat);
    }
    for round in 0..=cell.rounds {
        let forwards = round % 2 == 0;
        for turn in 0..seats.len() {
            let index = if forwards { turn } else { seats.len() - 1 - turn };
            one_block(cell, &mut seats[index], round > 0);
            step();
        }
    }
    for seat in &mut seats {
        if let Some(player) = seat.player.take() {
            player.leave();
        }
    }
    seats.into_iter().map(|seat| seat.outcome).collect()
}

/// Starts a system's processes, and answers how they wait. One that has no mixture of spinning and sleeping of its own does what
/// it does by default, which is to sleep.
fn start(arena: &Arena<'_>, cell: &Cell, system: &System, name: &str) -> Result<(Player, Wait), Fate> {
    let job = job(arena, cell, name);
    let patience = Patience(arena.patience);
    match Player::start(system, &job, patience) {
        Err(fate) if fate.status == Status::Unsupported && cell.wait == Wait::Adaptive => {
            let sleeping = Job { wait: Wait::Park, name: format!("{}p", job.name), ..job };
            Player::start(system, &sleeping, patience).map(|player| (player, Wait::Park))
        }
        started => started.map(|player| (player, cell.wait)),
    }
}

fn job(arena: &Arena<'_>, cell: &Cell, name: &str) -> Job {
    let cpus = match cell.place {
        Place::Together => arena.cpus.0.map(|[_, follow]| [follow, follow]),
        Place::Apart | Place::Crowded => arena.cpus.0,
    };
    // Where only one CPU may be used both are on it anyway.
    Job {
        parent: std::process::id(),
        role: Role::Lead,
        work: cell.traffic(),
        wait: cell.wait,
        payload: cell.payload,
        reply: cell.payload,
        dir: arena.runtime.path().to_owned(),
        name: format!("sb{}-{name}", std::process::id()),
        cpus,
        clients: cell.clients,
        client: 0,
        here: 1,
        patience: arena.patience,
        damage: arena.damage,
    }
}

/// Measures how many messages a second the system can take at all, and sets the distance that the cell's load comes to.
fn set_pace(cell: &Cell, seat: &mut Seat) {
    let Some(load) = cell.load else { return };
    let mut rates = Vec::new();
    for _ in 0..CAPACITY_BLOCKS {
        let Some(player) = &mut seat.player else { return };
        match player.block(&cell.block(Duration::ZERO)) {
            Ok(seen) => rates.extend(rate(&seen.follow.moved)),
            Err(fate) => seat.out(fate),
        }
    }
    let capacity = if rates.is_empty() { 0.0 } else { median(&mut rates) };
    if capacity <= 0.0 {
        return seat.out(Fate::new(Status::Failed, "no message came through while its capacity was measured"));
    }
    seat.outcome.gap = Duration::from_nanos((1e9 / (capacity * f64::from(load) / 100.0)).ceil() as u64);
}

fn one_block(cell: &Cell, seat: &mut Seat, counts: bool) {
    let Some(player) = &mut seat.player else { return };
    let block = cell.block(seat.outcome.gap);
    let seen = if cell.figure() == Figure::Cpu { idle(cell, player) } else { player.block(&block) };
    match seen.and_then(|seen| none_missing(cell, seen)) {
        Err(fate) => seat.out(fate),
        Ok(seen) if counts => note(cell, &mut seat.outcome, &seen),
        Ok(_) => {}
    }
}

/// A block in which nothing is sent: what both sides use is read from outside.
fn idle(cell: &Cell, player: &mut Player) -> Result<Seen, Fate> {
    let block = Block { count: 0, ..cell.block(Duration::ZERO) };
    let used = |player: &Player| -> Result<Vec<Used>, Fate> {
        let all = player.pids().map(Used::by_threads).collect::<anyhow::Result<_>>();
        all.map_err(|error| Fate::failed(&error))
    };
    if player.is_in_process() {
        return Err(Fate::new(Status::Unsupported, "both sides are one process"));
    }
    player.begin(&block)?;
    std::thread::sleep(SETTLE);
    let (begin, before) = (Instant::now(), used(player)?);
    std::thread::sleep(cell.span);
    let (time, after) = (begin.elapsed(), used(player)?);
    player.go(&block)?;
    let mut seen = player.finish(&block)?;
    let mut grown = after.iter().zip(before).map(|(after, before)| after.since(before));
    seen.follow.used = grown.next().unwrap_or_default();
    seen.lead.used = grown.next().unwrap_or_default();
    seen.follow.moved = Moved { messages: 0, time };
    Ok(seen)
}

/// Where both sides count, both must have counted the same.
fn none_missing(cell: &Cell, seen: Seen) -> Result<Seen, Fate> {
    let (sent, read) = (seen.lead.moved.messages, seen.follow.moved.messages);
    if cell.load.is_some() && sent != read {
        return Err(Fate::new(Status::Damaged, format!("{sent} messages were sent and {read} were read")));
    }
    Ok(seen)
}

fn note(cell: &Cell, outcome: &mut Outcome, seen: &Seen) {
    let told = if cell.is_timed_by_lead() { &seen.lead } else { &seen.follow };
    outcome.tally.add(&told.counts);
    let mut block = Tally::new();
    block.add(&told.counts);
    outcome.moved.messages += told.moved.messages;
    outcome.moved.time += told.moved.time;
    outcome.messages += told.moved.messages;
    outcome.used += seen.lead.used.busier(seen.follow.used);
    outcome.used_by_both += seen.lead.used;
    outcome.used_by_both += seen.follow.used;
    // What one session takes, at the most seen in any round.
    let sessions = told.moved.messages.max(1);
    outcome.grown.rss = outcome.grown.rss.max(seen.lead.grown.rss.max(seen.follow.grown.rss) / sessions);
    outcome.grown.pss = outcome.grown.pss.max((seen.lead.grown.pss + seen.follow.grown.pss) / sessions);
    outcome.figures.push(match cell.figure() {
        Figure::Time => block.summary().map(|summary| summary.p50_ns as f64),
        Figure::Rate => rate(&told.moved),
        Figure::Bytes => Some((seen.lead.grown.pss + seen.follow.grown.pss) as f64 / sessions as f64),
        Figure::Cpu => Some((seen.lead.used.cpu + seen.follow.used.cpu).as_secs_f64()),
    });
}

fn rate(moved: &Moved) -> Option<f64> {
    Some(moved.messages as f64 / moved.time.as_secs_f64()).filter(|rate| rate.is_finite() && *rate > 0.0)
}
