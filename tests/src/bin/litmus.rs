//! `litmus [ROUNDS] [auto|always]`: races between a publish and a park, in two processes on two processors, through the public
//! API. No wake-up may be lost beyond the nap.
//!
//! One round is one race. The **sleeper** says that it is ready, waits a moment, and receives with [`Wait::Park`], without a
//! deadline; the **waker** hears that it is ready, waits a moment of its own, and publishes one frame. The moments are
//! random and of the length of what they race with: most rounds meet the start of the sleep (epoch, look, nap), every 64th
//! its second half, a millisecond later (barrier, look, long sleep). A frame that the sleeper sleeps through, for two thousand
//! naps and until a second one wakes it, is *lost*. One that was found late and without a bell was missed in a store buffer
//! and found by the look at the end of the nap, as the protocol allows; or a busy machine was late.
//!
//! Exit code 0: none lost. 1: some were. 2: the run itself failed. `always` runs the fences in place of the barrier.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use slipring::{Bus, Cause, Deadline, Fence, Listener, Options, Stats, Wait};
use slipring_tests::alone::end_with_parent;
use slipring_tests::chance::Chance;
use slipring_tests::scratch::Scratch;
use std::error::Error;
use std::hint::spin_loop;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const ROUNDS: u64 = 1_000_000;
/// Every so many rounds the race is with the barrier behind the nap, and not with the nap.
const LONG_EVERY: u64 = 64;
/// A nap is a millisecond; the timer that ends it, and the wake-up, come up to about this much later.
const NAP_END: (Duration, Duration) = (Duration::from_micros(980), Duration::from_micros(1250));
/// Longest random delay of a side, in turns of an empty loop: two to the power of this, a few times what it takes from "ready"
/// to the sleep.
const TURNS: usize = 10;
/// An answer later than this, without a bell, came at the end of a nap.
const LATE: Duration = Duration::from_micros(300);
/// A frame that is not taken after so long is lost: no busy machine keeps a thread waiting for its processor like this.
const LOST: Duration = Duration::from_secs(2);
/// After so many lost ones the answer is clear.
const ENOUGH: u64 = 5;
/// Watchdog of everything that is not the race itself.
const PATIENCE: Duration = Duration::from_secs(10);

const FRAME: u32 = 1;
const LAST: u32 = 2;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["--sleeper", forth, back, fence] => sleeper(forth, back, fence).map(|()| ExitCode::SUCCESS),
        [] => litmus(ROUNDS, "auto"),
        [rounds] => rounds.parse().map_err(Box::from).and_then(|rounds| litmus(rounds, "auto")),
        [rounds, fence] => rounds.parse().map_err(Box::from).and_then(|rounds| litmus(rounds, fence)),
        _ => Err("usage: litmus [ROUNDS] [auto|always]".into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("litmus: {error}");
        ExitCode::from(2)
    })
}

fn options(wait: Wait, fence: &str) -> Outcome<Options> {
    let fence = match fence {
        "auto" => Fence::Auto,
        "always" => Fence::Always,
        other => return Err(format!("{other} is neither auto nor always").into()),
    };
    Ok(Options::default().capacity(4096).wait(wait).fence(fence))
}

/// The processors that this process may run on.
fn processors() -> Outcome<Vec<usize>> {
    let all = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect())
}

/// Ties this process to one processor.
fn pin(cpu: Option<&usize>) -> Outcome<()> {
    let mut one = CpuSet::new();
    one.set(*cpu.ok_or("this process may run nowhere")?);
    Ok(sched_setaffinity(None, &one)?)
}

/// A moment of random length, of every order of magnitude alike.
fn pause(chance: &mut Chance) {
    let longest = 1 << chance.below(TURNS + 1);
    for _ in 0..chance.below(longest) {
        spin_loop();
    }
}

/// The other process: parks, and says what it did at the end.
fn sleeper(forth: &str, back: &str, fence: &str) -> Outcome<()> {
    end_with_parent();
    pin(processors()?.last())?;
    let mut back = Bus::connect_until(back, &options(Wait::Spin, fence)?, Deadline::after(PATIENCE))?;
    let mut forth = Bus::listen_until(forth, &options(Wait::Park, fence)?, Deadline::after(PATIENCE))?;
    let mut chance = Chance::new(u64::from(std::process::id()));
    loop {
        back.publish_until(FRAME, b"", Deadline::after(PATIENCE))?;
        pause(&mut chance);
        if forth.recv()?.type_id() == LAST {
            break;
        }
    }
    let Stats { parks, naps, bells_heard, .. } = forth.stats();
    back.publish(LAST, [parks, naps, bells_heard].map(u64::to_le_bytes).as_flattened())?;
    back.close(PATIENCE)?;
    Ok(())
}

/// What became of the races.
#[derive(Debug, Default)]
struct Tally {
    /// The frame was found by a look, in time.
    found: u64,
    /// A bell was rung for it.
    rung: u64,
    /// No bell, and late.
    late: u64,
    /// It was slept through.
    lost: u64,
    /// The longest that any frame waited.
    longest: Duration,
}

/// This process: publishes, and judges.
struct Waker {
    forth: Bus,
    back: Bus,
    chance: Chance,
    tally: Tally,
}

impl Waker {
    /// Starts the other process and meets it.
    fn start(fence: &str) -> Outcome<Self> {
        let scratch = Scratch::new();
        let (forth, back) = (scratch.path("forth"), scratch.path("back"));
        let mut listener = Listener::bind(&back, &options(Wait::Spin, fence)?)?;
        Command::new(std::env::current_exe()?).args(["--sleeper", &forth, &back, fence]).spawn()?;
        let back = listener.accept_bus_until(Deadline::after(PATIENCE))?;
        let forth = Bus::connect_until(&forth, &options(Wait::Park, fence)?, Deadline::after(PATIENCE))?;
        Ok(Self { forth, back, chance: Chance::of_today(), tally: Tally::default() })
    }

    /// Waits until the sleeper is about to sleep.
    fn ready(&mut self) -> Outcome<()> {
        Ok(self.back.recv_until(Deadline::after(PATIENCE)).map(drop)?)
    }

    /// One race, from the sleeper's "ready" to its next, which is its answer.
    fn race(&mut self, long: bool) -> Outcome<()> {
        if long {
            let (earliest, latest) = NAP_END;
            let end = Instant::now() + earliest + self.chance.time(latest - earliest);
            while Instant::now() < end {
                spin_loop();
            }
        }
        pause(&mut self.chance);
        let bells = self.forth.stats().bells_rung;
        self.forth.try_publish(FRAME, b"")?;
        let published = Instant::now();
        let rung = self.forth.stats().bells_rung > bells;
        let answer = self.back.recv_until(Deadline::at(published + LOST)).map(drop);
        let time = published.elapsed();
        self.tally.longest = self.tally.longest.max(time);
        match answer {
            Ok(()) if rung => self.tally.rung += 1,
            Ok(()) if time > LATE => self.tally.late += 1,
            Ok(()) => self.tally.found += 1,
            // Slept through, bell or no bell. A second frame finds the epoch still open, and wakes it for both.
            Err(Cause::Timeout) => {
                self.tally.lost += 1;
                self.forth.try_publish(FRAME, b"")?;
                self.ready()?;
                self.ready()?;
            }
            Err(cause) => return Err(cause.into()),
        }
        Ok(())
    }

    /// Ends the other process: how often it parked and napped, and how many bells it heard.
    fn end(&mut self) -> Outcome<[u64; 3]> {
        self.forth.publish(LAST, b"")?;
        let answer = self.back.recv_until(Deadline::after(PATIENCE))?;
        let mut words = answer.chunks_exact(8).filter_map(|word| word.try_into().ok().map(u64::from_le_bytes));
        let mut word = || words.next().ok_or("the sleeper's last word is short");
        Ok([word()?, word()?, word()?])
    }
}

fn litmus(rounds: u64, fence: &str) -> Outcome<ExitCode> {
    let processors = processors()?;
    if processors.len() < 2 {
        println!("litmus: one processor only, so nothing can race; not run");
        return Ok(ExitCode::SUCCESS);
    }
    let mut waker = Waker::start(fence)?;
    // Only now: the other process would have inherited it.
    pin(processors.first())?;
    let start = Instant::now();
    waker.ready()?;
    let mut run = 0;
    while run < rounds && waker.tally.lost < ENOUGH {
        run += 1;
        waker.race(run.is_multiple_of(LONG_EVERY))?;
    }
    let time = start.elapsed();
    let [parks, naps, heard] = waker.end()?;
    let Tally { found, rung, late, lost, longest } = waker.tally;
    println!("{run} races of a publish with a park ({fence}), {} of them behind a nap", run / LONG_EVERY);
    println!("  found by a look  {found}");
    println!("  woken by a bell  {rung}");
    println!("  found late, without a bell  {late}");
    println!("  lost  {lost}");
    println!("  longest wait for a frame that was there: {longest:?}");
    println!("  sleeper: {parks} parks, {naps} naps, {heard} bells heard; {:.1} s", time.as_secs_f64());
    Ok(if lost == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
