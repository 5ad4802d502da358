//! Processes of other users: refused by `SameUser` on either side, let in by `Untrusted` on both.
//!
//! Only root can start a process as somebody else. Without it these tests say that they were skipped. Names in a directory
//! that others may enter are locked in the runtime directory, so each test has one of its own.

use slipring::{Bus, Cause, Deadline, Listener, Options, Refusal, Trust};
use slipring_tests::alone::alone;
use slipring_tests::peer::Peer;
use slipring_tests::peer_program;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::watchdog;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// A user that no system gives to anybody.
const STRANGER: u32 = 61_234;
/// The user that stands for everybody from another user namespace, unless somebody changed it.
const OVERFLOW: u32 = 65_534;

/// A directory that everybody may enter and use, with a copy of the peer's program that everybody may run. `None`, and a
/// word about it, where this process cannot become somebody else.
fn stage() -> Option<Scratch> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can start a process as another user");
        return None;
    }
    let scratch = Scratch::new();
    fs::copy(peer_program!(), scratch.path("peer")).expect("copy the program");
    fs::set_permissions(scratch.path("peer"), fs::Permissions::from_mode(0o755)).expect("chmod");
    scratch.set_mode(0o777);
    Some(scratch)
}

/// The peer, as another user who has a runtime directory of its own.
fn peer_of(scratch: &Scratch, user: u32) -> Peer {
    let own = scratch.path(&format!("of-{user}"));
    fs::create_dir_all(&own).expect("mkdir");
    chown(&own, Some(user), Some(user)).expect("root can give a directory away");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).expect("chmod");
    let mut command = Command::new(scratch.path("peer"));
    Peer::start(command.uid(user).gid(user).env("SLIPRING_RUNTIME_DIR", own))
}

/// Lets everybody connect to a socket file.
fn open_to_all(path: &str) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("chmod");
}

#[test]
fn a_listener_refuses_a_stranger_and_serves_its_own() {
    alone("a_listener_refuses_a_stranger_and_serves_its_own", || {
        let _watchdog = watchdog("a stranger's client");
        let Some(scratch) = stage() else { return };
        let address = scratch.path("bus");
        let mut listener = Listener::bind(&address, &Options::default()).expect("a name");
        open_to_all(&address);
        for (user, trust) in [(STRANGER, "same-user"), (STRANGER, "untrusted"), (OVERFLOW, "same-user")] {
            let mut stranger = peer_of(&scratch, user);
            stranger.tell(&format!("connect {address} trust={trust}"));
            while !stranger.has_answered() {
                let soon = Deadline::after(Duration::from_millis(5));
                assert_eq!(listener.accept_bus_until(soon).expect_err("a stranger").cause(), Cause::Timeout);
            }
            assert_eq!(stranger.answer(), "err 0 Refused { why: User }", "{user} {trust}");
        }
        assert_eq!(listener.refused(), 3);
        let mut own = Peer::start(&mut Command::new(peer_program!()));
        own.tell(&format!("connect {address}"));
        listener.accept_bus().expect("its own user");
        assert_eq!(own.answer(), "ok");
    });
}

#[test]
fn a_client_refuses_a_strangers_listener() {
    alone("a_client_refuses_a_strangers_listener", || {
        let _watchdog = watchdog("a stranger's listener");
        let Some(scratch) = stage() else { return };
        let address = scratch.path("bus");
        let mut stranger = peer_of(&scratch, STRANGER);
        stranger.must(&format!("bind {address} trust=untrusted"));
        open_to_all(&address);
        stranger.tell("accept");
        let refused = Bus::connect(&address, &Options::default()).expect_err("a stranger");
        assert_eq!(refused.cause(), Cause::Refused { why: Refusal::User });
        assert!(refused.to_string().contains(&STRANGER.to_string()), "{refused}");
        Bus::connect(&address, &Options::default().trust(Trust::Untrusted)).expect("somebody who does not mind");
        assert_eq!(stranger.answer(), "ok");
        assert_eq!(stranger.ask("refused"), "ok 1");
    });
}

#[test]
fn only_the_listeners_own_user_observes_whomever_it_trusts() {
    alone("only_the_listeners_own_user_observes_whomever_it_trusts", || {
        let _watchdog = watchdog("a stranger who observes");
        let Some(scratch) = stage() else { return };
        for trust in [Trust::SameUser, Trust::Untrusted] {
            let address = scratch.path("bus");
            let mut listener = Listener::bind(&address, &Options::default().trust(trust)).expect("a name");
            open_to_all(&address);
            for (mut observer, answer) in [
                (peer_of(&scratch, STRANGER), "err 0 Refused { why: User }"),
                (Peer::start(&mut Command::new(peer_program!())), "ok 0"),
            ] {
                observer.tell(&format!("observe {address} within=10000"));
                while !observer.has_answered() {
                    let _ = listener.accept_bus_until(Deadline::after(Duration::from_millis(5)));
                }
                assert_eq!(observer.answer(), answer, "{trust:?}");
            }
        }
    });
}

#[test]
fn strangers_who_do_not_trust_each_other_talk_in_both_directions() {
    alone("strangers_who_do_not_trust_each_other_talk_in_both_directions", || {
        let _watchdog = watchdog("untrusted strangers");
        let Some(scratch) = stage() else { return };
        let untrusted = Options::default().trust(Trust::Untrusted);
        let (ours, theirs) = (scratch.path("ours"), scratch.path("theirs"));
        for user in [STRANGER, OVERFLOW] {
            let mut stranger = peer_of(&scratch, user);
            let mut listener = Listener::bind(&ours, &untrusted).expect("a name");
            open_to_all(&ours);
            stranger.tell(&format!("connect {ours} trust=untrusted"));
            let mut receives = listener.accept_bus().expect("a session");
            assert_eq!(stranger.answer(), "ok");
            let _ = fs::remove_file(&theirs);
            stranger.must(&format!("bind {theirs} trust=untrusted"));
            open_to_all(&theirs);
            stranger.tell("accept");
            let mut sends = Bus::connect(&theirs, &untrusted).expect("a session");
            assert_eq!(stranger.answer(), "ok");
            stranger.tell("send 1000 100");
            for _ in 0..1000 {
                let frame = receives.recv().expect("a frame").keep();
                sends.publish(frame.type_id(), &frame).expect("open");
            }
            assert_eq!(stranger.answer(), "ok 1000");
            stranger.must("recv 1000");
            stranger.kill();
            assert_eq!(receives.recv().err(), Some(Cause::PeerDied));
        }
    });
}

#[test]
fn processes_of_the_overflow_user_do_not_count_as_one_user() {
    alone("processes_of_the_overflow_user_do_not_count_as_one_user", || {
        let _watchdog = watchdog("the overflow user");
        let Some(scratch) = stage() else { return };
        let address = scratch.path("bus");
        let (mut one, mut other) = (peer_of(&scratch, OVERFLOW), peer_of(&scratch, OVERFLOW));
        one.must(&format!("bind {address}"));
        one.tell("accept");
        assert_eq!(other.ask(&format!("connect {address}")), "err 0 Refused { why: User }");
        assert!(!one.has_answered());
    });
}

#[test]
fn a_strangers_socket_keeps_its_name_and_its_directory_lock_holds_up_nobody() {
    alone("a_strangers_socket_keeps_its_name_and_its_directory_lock_holds_up_nobody", || {
        let _watchdog = watchdog("a stranger's name");
        let Some(scratch) = stage() else { return };
        let address = scratch.path("bus");
        let mut stranger = peer_of(&scratch, STRANGER);
        stranger.must(&format!("bind {address}"));
        let held = Listener::bind(&address, &Options::default()).expect_err("a stranger's");
        assert_eq!(held.cause(), Cause::AddressInUse);
        stranger.kill();
        // Dead or not, what belongs to another user stays.
        let held = Listener::bind(&address, &Options::default()).expect_err("a dead stranger's");
        assert_eq!(held.cause(), Cause::AddressInUse);
        assert!(held.to_string().contains(&STRANGER.to_string()), "{held}");
        assert!(fs::exists(&address).expect("look"));
    });
}
