//! A side between two threads: waiting, deadlines, ends, and peers that break the rules, over heap memory and a [`Cord`].
//!
//! These run under Miri and ThreadSanitizer too. Every wait has a deadline, so that a lost wake-up is a failed test.

mod blocks;
mod ends;
mod forged;
mod threads;

use super::*;
use crate::layout::{PARKED, READ, RING, RingSize, STARVING};
use crate::returns::held::Held;
use crate::ring::{Label, Show};
use crate::sync::Ordering::{Relaxed, Release};
use crate::wait::PULSE;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

/// Watchdog of every wait that is expected to end well.
const SOON: Duration = Duration::from_secs(10);

fn soon() -> Patience {
    Patience::Until(Deadline::after(SOON))
}

/// What one side is to hear, and what happens to it while it sleeps.
#[derive(Debug, Default)]
struct Post {
    state: Mutex<Mail>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Mail {
    heard: Heard,
    /// The next sleep ends as if a signal handler had run.
    signal: bool,
    /// The end was inherited through a fork.
    inherited: bool,
    /// What was told of the other's regions.
    news: VecDeque<News>,
}

impl Post {
    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.state.lock().expect("no thread panics with the mail in its hands")
    }

    fn change(&self, change: impl FnOnce(&mut Mail)) {
        change(&mut self.mail());
        self.came.notify_all();
    }
}

/// A connection between two threads.
#[derive(Debug)]
struct Cord {
    ours: Arc<Post>,
    theirs: Arc<Post>,
    barrier: bool,
    /// How many records went out.
    said: u64,
}

impl Cord {
    /// What a foreign event loop does: sleeps until there is something to hear, and leaves it there.
    fn await_readable(&self, time: Duration) -> bool {
        let quiet = |mail: &mut Mail| mail.heard == Heard::default();
        let (mail, _) = self.ours.came.wait_timeout_while(self.ours.mail(), time, quiet).expect("no thread panics");
        mail.heard != Heard::default()
    }

    fn hang_up(&self) {
        self.theirs.change(|mail| mail.heard.hung_up = true);
    }
}

/// What a thread needs that only wants to wake the other side.
#[derive(Debug)]
struct CordBell {
    ours: Arc<Post>,
    theirs: Arc<Post>,
}

impl Bell for CordBell {
    fn ring(&self) {
        self.theirs.change(|mail| mail.heard.bells += 1);
    }

    fn is_ours(&self) -> bool {
        !self.ours.mail().inherited
    }
}

impl Channel for Cord {
    fn ring(&self) {
        self.theirs.change(|mail| mail.heard.bells += 1);
    }

    fn bell(&self) -> Arc<dyn Bell> {
        Arc::new(CordBell { ours: Arc::clone(&self.ours), theirs: Arc::clone(&self.theirs) })
    }

    fn news(&mut self) -> Option<News> {
        self.ours.mail().news.pop_front()
    }

    fn may_spill(&self) -> bool {
        false
    }

    fn make_region(
        &mut self,
        id: u32,
        bytes: u64,
        _kind: RegionKind,
        _deadline: Deadline,
    ) -> Result<Option<WriteSpan>, Cause> {
        let region = WriteSpan::heap(bytes as usize);
        let span = region.reader();
        self.theirs.change(|mail| mail.news.push_back(News::Region { id, span }));
        self.said += 1;
        Ok(Some(region))
    }

    fn forget_region(&mut self, id: u32) -> bool {
        self.theirs.change(|mail| mail.news.push_back(News::Forget { id }));
        self.said += 1;
        true
    }

    fn said(&self) -> u64 {
        self.said
    }

    fn passed(&mut self, _position: u64) {}

    fn all_read(&mut self) {}

    fn sleep(&mut self, time: Option<Duration>) -> Result<bool, Cause> {
        // No test waits longer than its watchdog.
        let time = time.unwrap_or(SOON * 2);
        let quiet = |mail: &mut Mail| mail.heard == Heard::default() && !mail.signal;
        let (mut mail, _) = self.ours.came.wait_timeout_while(self.ours.mail(), time, quiet).expect("no thread panics");
        if std::mem::take(&mut mail.signal) {
            return Err(Cause::Interrupted);
        }
        Ok(mail.heard != Heard::default())
    }

    fn hear(&mut self) -> Heard {
        let mut mail = self.ours.mail();
        let heard = mail.heard;
        mail.heard.bells = 0;
        heard
    }

    fn barrier(&self) -> bool {
        self.barrier && membarrier()
    }

    fn is_ours(&self) -> bool {
        !self.ours.mail().inherited
    }
}

#[cfg(not(miri))]
fn membarrier() -> bool {
    use crate::sys::barrier;
    barrier::register() && barrier::heavy()
}

/// Miri knows no such call: sleeps stay naps.
#[cfg(miri)]
fn membarrier() -> bool {
    false
}

/// How a pair of sides keeps wake-ups from being lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Naps, then the barrier.
    Barrier,
    /// No barrier to be had, and no fences agreed on: naps for ever.
    Naps,
    /// Both sides fence.
    Fences,
}

/// What the tests of one side need of the other: its memory, to forge, and its end of the cord.
struct Peer {
    header: WriteSpan,
    ring: WriteSpan,
    cord: Cord,
}

/// One outbox: header, ring, and a return ring of [`RETURNS`] entries.
fn outbox(size: RingSize) -> Outbox<WriteSpan> {
    let geometry = Geometry::new(size, RETURNS).expect("a geometry");
    let whole = WriteSpan::heap(geometry.bytes());
    Outbox {
        header: whole.sub(0, RING),
        ring: whole.sub(RING, size.bytes() as usize),
        returns: whole.sub(geometry.returns_at(), geometry.returns_bytes()),
        geometry,
    }
}

/// The longest payload of these sessions.
const MESSAGE_MAX: u64 = 1 << 20;

/// Entries of the return rings, and so the most blocks that are out at once.
const RETURNS: u32 = 8;

/// The same outbox once more, as its owner writes it.
fn owner(outbox: &Outbox<WriteSpan>) -> Outbox<WriteSpan> {
    let Outbox { header, ring, returns, geometry } = outbox;
    Outbox { header: header.clone(), ring: ring.clone(), returns: returns.clone(), geometry: *geometry }
}

/// And as the other side sees it.
fn reader(outbox: &Outbox<WriteSpan>) -> Outbox<ReadSpan> {
    let Outbox { header, ring, returns, geometry } = outbox;
    Outbox { header: header.reader(), ring: ring.reader(), returns: returns.reader(), geometry: *geometry }
}

/// What the sides of these tests agree on.
fn terms(strategy: Wait, fences: bool) -> Terms {
    let limits = Limits { message: MESSAGE_MAX, memory: 8 << 20, region: 8 << 20, regions: 4 };
    let message_max = limits.message;
    Terms {
        strategy,
        fences,
        one_cpu: false,
        inline_limit: usize::MAX - 1,
        limits,
        message_max,
        window: 1 << 20,
        counts: true,
    }
}

/// A word of a header, as it stands.
fn word(header: &WriteSpan, at: usize) -> u64 {
    ReadHeader::new(header.reader()).load_u64(at, Relaxed)
}

struct Pair {
    sends: Side<Cord>,
    receives: Side<Cord>,
    /// The headers, to be looked at.
    sender: WriteSpan,
    receiver: WriteSpan,
    /// The receiver's return ring, to be forged.
    returns: WriteSpan,
}

/// The two sides of a session with a ring of `bytes` from the one to the other, and the smallest back.
fn pair(bytes: u64, strategy: Wait, scheme: Scheme) -> Pair {
    let (sender, receiver) = (outbox(RingSize::new(bytes).expect("a ring size")), outbox(smallest()));
    let (left, right): (Arc<Post>, Arc<Post>) = Default::default();
    let fences = scheme == Scheme::Fences;
    for outbox in [&sender, &receiver] {
        outbox.header.store_u64(PARKED, Parking::first_word(fences), Relaxed);
    }
    let cord = |ours: &Arc<Post>, theirs: &Arc<Post>| Cord {
        ours: Arc::clone(ours),
        theirs: Arc::clone(theirs),
        barrier: scheme == Scheme::Barrier,
        said: 0,
    };
    let sends = Side::new(owner(&sender), reader(&receiver), cord(&left, &right), terms(strategy, fences));
    let receives = Side::new(owner(&receiver), reader(&sender), cord(&right, &left), terms(strategy, fences));
    Pair { sends, receives, sender: sender.header, receiver: receiver.header, returns: receiver.returns }
}

fn smallest() -> RingSize {
    RingSize::new(256).expect("the smallest")
}

/// A side that receives, and a peer of which only the memory and the cord are there.
fn receiver_of_a_forger() -> (Side<Cord>, Peer) {
    side_of_a_forger(outbox(smallest()), outbox(smallest()))
}

fn side_of_a_forger(ours: Outbox<WriteSpan>, theirs: Outbox<WriteSpan>) -> (Side<Cord>, Peer) {
    let (left, right): (Arc<Post>, Arc<Post>) = Default::default();
    let cord = Cord { ours: Arc::clone(&left), theirs: Arc::clone(&right), barrier: false, said: 0 };
    let side = Side::new(ours, reader(&theirs), cord, terms(Wait::Park, true));
    (
        side,
        Peer {
            header: theirs.header,
            ring: theirs.ring,
            cord: Cord { ours: right, theirs: left, barrier: false, said: 0 },
        },
    )
}

/// Publishes one frame at once, for which there is room.
fn send(side: &mut Side<Cord>, type_id: u32, payload: &[u8]) {
    side.publish(type_id, payload, Show::Now, Patience::None).expect("there is room");
}

/// Takes one frame that is there.
fn receive(side: &mut Side<Cord>) -> (u32, Vec<u8>) {
    let frame = side.take(Patience::None).expect("a frame is there");
    let payload = match frame.form.is_in_block() {
        true => resolve(side, frame).expect("an honest peer names a block").to_vec(),
        false => side.reader.payload(frame).to_vec(),
    };
    (frame.type_id, payload)
}

/// The block that a frame names.
fn resolve(side: &mut Side<Cord>, frame: Taken) -> Result<Held, Cause> {
    let told = side.descriptor(frame)?;
    side.resolve(frame, told)
}

/// Publishes empty frames until there is no room; how many.
fn fill(side: &mut Side<Cord>) -> u32 {
    let mut sent = 0;
    while side.publish(sent, b"", Show::Now, Patience::None).is_ok() {
        sent += 1;
    }
    sent
}

#[test]
fn trying_answers_empty_and_full_and_full_asks_for_credit() {
    let mut pair = pair(4096, Wait::Adaptive, Scheme::Barrier);
    assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
    assert_eq!(fill(&mut pair.sends), 63, "all but the spare line");
    assert_eq!(pair.sends.publish(0, b"", Show::Now, Patience::None), Err(Cause::Full));
    assert_eq!(pair.sends.stats.waits_for_room, 2);
    assert_eq!(word(&pair.sender, STARVING), 1);
    assert_eq!(receive(&mut pair.receives).0, 0);
    pair.receives.release().expect("the peer is there");
    assert_eq!(word(&pair.receiver, READ), 64, "a starving writer is told at once, not after 512 bytes");
    send(&mut pair.sends, 63, b"");
    assert_eq!(word(&pair.sender, STARVING), 0);
    assert_eq!(pair.sends.publish(0, b"", Show::Now, Patience::None), Err(Cause::Full));
    for type_id in 1..64 {
        assert_eq!(receive(&mut pair.receives).0, type_id);
    }
    assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
    assert_eq!(word(&pair.receiver, READ), 64 * 64, "an empty ring is told too");
}

#[test]
fn a_payload_over_the_limit_changes_nothing() {
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    let long = vec![0; MESSAGE_MAX as usize + 1];
    let too_large = Cause::TooLarge { len: MESSAGE_MAX + 1, max: MESSAGE_MAX };
    assert_eq!(pair.sends.publish(1, &long, Show::Now, soon()), Err(too_large));
    assert_eq!(pair.sends.publish(1, &long, Show::Later, Patience::None), Err(too_large));
    assert_eq!(pair.sends.publish_batch([(1, &long)], soon()), Err(too_large));
    assert_eq!(pair.sends.claim(0, long.len(), soon()), Err(too_large));
    assert_eq!(pair.sends.writer.tail(), 0);
    assert_eq!(pair.sends.stats.frames_sent, 0);
    assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
}

#[test]
fn parts_arrive_as_one_payload() {
    use std::io::IoSlice;
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b"three")];
    pair.sends.publish_vectored(3, &parts, Patience::None).expect("room");
    assert_eq!(receive(&mut pair.receives), (3, b"one two three".to_vec()));
    // Together longer than the ring's longest frame, and so in a block.
    let half = [7; 60];
    let parts = [IoSlice::new(&half), IoSlice::new(&half)];
    pair.sends.publish_vectored(3, &parts, Patience::None).expect("room");
    assert_eq!(receive(&mut pair.receives), (3, vec![7; 120]));
    let long = vec![0; MESSAGE_MAX as usize];
    let parts = [IoSlice::new(&long), IoSlice::new(&half)];
    let answer = pair.sends.publish_vectored(3, &parts, Patience::None);
    assert_eq!(answer, Err(Cause::TooLarge { len: MESSAGE_MAX + 60, max: MESSAGE_MAX }));
}

#[test]
fn a_claim_that_was_leaked_counts_as_given_up() {
    let mut pair = pair(512, Wait::Park, Scheme::Naps);
    for round in 0..10 {
        let leaked = pair.sends.slot(112, Patience::None).expect("room");
        pair.sends.writer.payload_mut(leaked).fill(0xFF);
        assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
        send(&mut pair.sends, round, b"after it");
        assert_eq!(receive(&mut pair.receives), (round, b"after it".to_vec()));
    }
}

#[test]
fn a_lease_that_was_leaked_ends_with_the_next_take() {
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    for round in 0..10 {
        send(&mut pair.sends, round, b"leaked");
        // Nobody releases it; the ring would be full after three.
        let frame = pair.receives.take(Patience::None).expect("a frame");
        assert_eq!(frame.type_id, round);
        assert_eq!(pair.receives.reader.payload(frame), b"leaked");
        if round % 2 == 1 {
            assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
        }
    }
}

#[test]
fn a_group_stays_hidden_until_it_is_shown() {
    let mut pair = pair(512, Wait::Park, Scheme::Naps);
    for type_id in 0..3 {
        pair.sends.publish(type_id, b"", Show::Later, Patience::None).expect("room");
        assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
    }
    pair.sends.flush().expect("the peer is there");
    pair.sends.flush().expect("an empty group is shown at once");
    for type_id in 0..3 {
        assert_eq!(receive(&mut pair.receives).0, type_id);
    }
}

#[test]
fn full_shows_the_group_that_fills_the_ring() {
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    for type_id in 0..3 {
        pair.sends.publish(type_id, b"", Show::Later, Patience::None).expect("room");
    }
    assert_eq!(pair.sends.publish(3, b"", Show::Later, Patience::None), Err(Cause::Full));
    for type_id in 0..3 {
        assert_eq!(receive(&mut pair.receives).0, type_id);
    }
}

#[test]
fn a_batch_goes_out_as_far_as_there_is_room() {
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    let batch = || (0..5).map(|type_id| (type_id, b"x"));
    assert_eq!(pair.sends.publish_batch(batch(), Patience::None), Ok(3));
    assert_eq!(pair.sends.publish_batch(batch(), Patience::None), Err(Cause::Full));
    for type_id in 0..3 {
        assert_eq!(receive(&mut pair.receives).0, type_id);
    }
    assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
    // What is too large ends the batch behind those that were not.
    let mixed = [(7, vec![0; 8]), (8, vec![0; MESSAGE_MAX as usize + 1]), (9, vec![0; 8])];
    assert_eq!(pair.sends.publish_batch(mixed, Patience::None), Ok(1));
    assert_eq!(receive(&mut pair.receives).0, 7);
    assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
}

#[test]
fn a_passed_deadline_is_a_timeout_on_either_end_and_changes_nothing() {
    for strategy in [Wait::Spin, Wait::Park, Wait::Adaptive] {
        let mut pair = pair(256, strategy, Scheme::Barrier);
        for time in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(5)] {
            let patience = Patience::Until(Deadline::after(time));
            let start = Instant::now();
            assert_eq!(pair.receives.take(patience), Err(Cause::Timeout), "{strategy:?} {time:?}");
            assert!(start.elapsed() >= time);
        }
        assert_eq!(fill(&mut pair.sends), 3);
        for time in [Duration::ZERO, Duration::from_micros(300), Duration::from_millis(5)] {
            let patience = Patience::Until(Deadline::after(time));
            let start = Instant::now();
            assert_eq!(pair.sends.publish(9, b"", Show::Now, patience), Err(Cause::Timeout), "{strategy:?} {time:?}");
            assert!(start.elapsed() >= time);
        }
        for type_id in 0..3 {
            assert_eq!(receive(&mut pair.receives).0, type_id);
        }
        assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
        assert_eq!(word(&pair.receiver, PARKED) & 1, 0, "awake again");
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri knows no membarrier, without which nobody asks for fences by habit")]
fn fences_that_were_asked_for_by_habit_end_with_a_stream_and_those_that_somebody_relies_on_do_not() {
    for relies in [false, true] {
        let mut pair = pair(256, Wait::Park, Scheme::Barrier);
        for _ in 0..20 {
            pair.receives.weigh_fences();
        }
        assert!(pair.receives.parking.asks_for_fences(), "it sleeps all the time");
        if relies {
            pair.receives.ask_for_fences();
        }
        pair.receives.stats.frames_received += 10_000;
        pair.receives.spare_fences();
        assert_eq!(pair.receives.parking.asks_for_fences(), relies);
    }
}

#[test]
fn a_signal_ends_a_sleep_and_the_wait_can_be_taken_up_again() {
    let mut pair = pair(256, Wait::Park, Scheme::Fences);
    pair.receives.channel().ours.change(|mail| mail.signal = true);
    assert_eq!(pair.receives.take(soon()), Err(Cause::Interrupted));
    assert_eq!(word(&pair.receiver, PARKED) & 1, 0, "awake again");
    assert_eq!(fill(&mut pair.sends), 3);
    pair.sends.channel().ours.change(|mail| mail.signal = true);
    assert_eq!(pair.sends.publish(9, b"", Show::Now, soon()), Err(Cause::Interrupted));
    assert_eq!(receive(&mut pair.receives).0, 0);
    pair.receives.release().expect("the peer is there");
    assert_eq!(pair.sends.publish(3, b"", Show::Now, soon()), Ok(()));
    assert_eq!(pair.sends.state(), State::Open);
}

#[test]
fn watching_asks_the_peer_for_fences_once() {
    let pair = pair(256, Wait::Park, Scheme::Naps);
    assert_eq!(word(&pair.receiver, PARKED), 0);
    pair.receives.watch();
    pair.receives.watch();
    assert_eq!(word(&pair.receiver, PARKED), Parking::first_word(true));
}

/// A foreign loop that comes by only now and then looks at the socket at each call, and so hears bells in passing.
#[test]
fn a_watched_end_that_heard_its_bell_in_passing_is_rung_for_again() {
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    pair.receives.watch();
    assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
    for round in 0..3 {
        send(&mut pair.sends, round, b"");
        assert!(pair.receives.channel().await_readable(SOON), "armed by the last `Empty`, frame {round}");
        assert_eq!(receive(&mut pair.receives).0, round);
        // Longer than the pulse: the next call looks at the socket before it arms.
        std::thread::sleep(PULSE * 2);
        assert_eq!(pair.receives.take(Patience::None), Err(Cause::Empty));
        assert!(!pair.receives.channel().await_readable(Duration::ZERO), "`Empty` leaves nothing to be heard");
    }
    assert_eq!(pair.receives.stats.bells_heard, 3);
}

#[test]
fn a_watched_sender_is_rung_for_when_there_is_room() {
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    pair.sends.watch();
    assert_eq!(fill(&mut pair.sends), 3);
    for round in 0..3 {
        assert!(!pair.sends.channel().await_readable(Duration::ZERO));
        assert_eq!(receive(&mut pair.receives).0, round);
        pair.receives.release().expect("the peer is there");
        assert!(pair.sends.channel().await_readable(SOON), "armed by the last `Full`");
        std::thread::sleep(PULSE * 2);
        assert_eq!(fill(&mut pair.sends), 1);
    }
}

#[test]
fn what_a_forked_child_inherited_is_not_its_own_and_is_left_alone() {
    let mut pair = pair(256, Wait::Park, Scheme::Naps);
    send(&mut pair.sends, 1, b"");
    send(&mut pair.sends, 2, b"");
    pair.receives.take(Patience::None).expect("a frame");
    let slot = pair.sends.slot(8, Patience::None).expect("room");
    let tail = pair.sends.writer.tail();
    pair.receives.channel().ours.change(|mail| mail.inherited = true);
    pair.sends.channel().ours.change(|mail| mail.inherited = true);
    assert_eq!(pair.receives.release(), Err(Cause::Forked), "a lease that drops gives nothing back");
    assert_eq!(word(&pair.receiver, READ), 0);
    assert_eq!(pair.receives.take(Patience::None), Err(Cause::Forked));
    assert_eq!(pair.receives.take(soon()), Err(Cause::Forked));
    assert_eq!(pair.sends.commit(slot, Label::data(3), &[], 8, Show::Now), Err(Cause::Forked));
    assert_eq!(pair.sends.publish(3, b"", Show::Now, soon()), Err(Cause::Forked));
    assert_eq!(pair.sends.publish_batch([(3, b"")], soon()), Err(Cause::Forked));
    assert_eq!(pair.sends.flush(), Err(Cause::Forked));
    assert_eq!(pair.sends.writer.tail(), tail);
}
