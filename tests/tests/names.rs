//! Names: what may stand at one, who holds it, and how one process after another gets it.

use slipring::{Bus, Cause, Deadline, Error, Listener, Options};
use slipring_tests::peer::Peer;
use slipring_tests::scratch::Scratch;
use slipring_tests::watchdog::{watchdog, watchdog_for};
use slipring_tests::{frames, peer, peer_program};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};

fn bind(address: &str) -> Result<Listener, Error> {
    Listener::bind(address, &Options::default())
}

fn connect(address: &str) -> Result<Bus, Error> {
    Bus::connect(address, &Options::default())
}

/// A peer whose names live in `scratch`.
fn peer_in(scratch: &Scratch) -> Peer {
    Peer::start(Command::new(peer_program!()).env("SLIPRING_RUNTIME_DIR", scratch.dir()))
}

fn assert_invalid<T>(answer: Result<T, Error>, address: &str) {
    let error = answer.err().unwrap_or_else(|| panic!("{address:?} was taken"));
    assert!(matches!(error.cause(), Cause::InvalidArgument { .. }), "{address:?}: {error}");
}

#[test]
fn addresses_that_can_never_be_right_are_invalid_arguments_at_either_end() {
    let scratch = Scratch::new();
    let (long_name, long_file) = ("n".repeat(65), scratch.path(&"f".repeat(84)));
    let (long_path, inner_nul) = (format!("/{}x", "d/".repeat(2048)), scratch.path("a\0b"));
    let bad = [
        "",
        ".",
        "..",
        ".hidden",
        "a b",
        "a:b",
        "ü",
        "a\0b",
        "a\n",
        "~",
        "*",
        "ipc://",
        "ipc://a/b",
        "ipc:///",
        "tcp://x",
        "http://host:1/x",
        "://x",
        "/",
        "/tmp/",
        "./",
        "../",
        "a/..",
        &long_name,
        &long_file,
        &long_path,
        &inner_nul,
    ];
    for address in bad {
        assert_invalid(bind(address), address);
        assert_invalid(connect(address), address);
        assert_invalid(Bus::listen(address, &Options::default()), address);
        assert_invalid(Bus::connect_until(address, &Options::default(), Deadline::NEVER), address);
    }
}

#[test]
fn names_of_every_allowed_form_are_taken_and_found() {
    let _watchdog = watchdog("allowed names");
    let scratch = Scratch::new();
    let (mut one, mut other) = (peer_in(&scratch), peer_in(&scratch));
    let longest = "x".repeat(64);
    let long_file = scratch.path(&"f".repeat(83));
    let plain = scratch.path("plain");
    let file = scratch.path("file");
    let names = [
        ("demo", "ipc://demo"),
        ("0", "0"),
        ("_", "ipc://_"),
        ("-x.y_Z-9", "-x.y_Z-9"),
        ("demo.sock", "demo.sock"),
        (longest.as_str(), longest.as_str()),
        (long_file.as_str(), long_file.as_str()),
        (plain.as_str(), &format!("ipc://{plain}")),
        (&format!("{}/./{}", scratch.dir().display(), "file"), file.as_str()),
    ];
    for (as_listener, as_client) in names {
        one.must(&format!("bind {as_listener}"));
        one.tell("accept");
        other.must(&format!("connect {as_client}"));
        assert_eq!(one.answer(), "ok");
        assert_eq!(peer_in(&scratch).ask(&format!("bind {as_client}")), "err 0 AddressInUse");
        other.must("drop");
        one.must("drop");
        assert_eq!(other.ask(&format!("connect {as_client}")), "err 0 NotFound");
    }
    assert_eq!(fs::read_dir(scratch.dir()).expect("our directory").count(), 0, "nothing is left");
}

#[test]
fn files_that_are_no_listener_of_ours_stay_and_are_named() {
    let _watchdog = watchdog("other files at the path");
    let scratch = Scratch::new();
    let path = |file: &str| scratch.path(file);
    fs::write(path("regular"), "precious").expect("write");
    fs::create_dir(path("directory")).expect("mkdir");
    symlink(path("regular"), path("link")).expect("symlink");
    symlink(path("nowhere"), path("dangling")).expect("symlink");
    let _datagram = UnixDatagram::bind(path("datagram")).expect("bind");
    for (file, says) in [
        ("regular", "a regular file"),
        ("directory", "a directory"),
        ("link", "a symbolic link"),
        ("dangling", "a symbolic link"),
        ("datagram", "a socket of another kind"),
    ] {
        let error = bind(&path(file)).expect_err("something is there");
        assert_eq!(error.cause(), Cause::AddressInUse);
        assert!(error.to_string().contains(says) && error.to_string().contains(file), "{error}");
    }
    for file in ["regular", "directory", "link", "datagram"] {
        assert_invalid(Bus::connect_until(&path(file), &Options::default(), Deadline::NEVER), file);
    }
    assert_eq!(connect(&path("dangling")).expect_err("nothing behind it").cause(), Cause::NotFound);
    assert_eq!(fs::read_to_string(path("regular")).expect("read"), "precious");
    assert_eq!(fs::read_dir(scratch.dir()).expect("our directory").count(), 5, "nothing is gone and nothing new");
}

#[test]
fn a_live_listener_keeps_its_name_and_a_dead_ones_is_taken() {
    let _watchdog = watchdog("live and stale sockets");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut holder = peer!();
    holder.must(&format!("bind {address}"));
    assert_eq!(bind(&address).expect_err("alive").cause(), Cause::AddressInUse);
    holder.stop();
    assert_eq!(bind(&address).expect_err("stopped, but alive").cause(), Cause::AddressInUse);
    holder.kill();
    assert!(fs::exists(&address).expect("look"), "a killed listener leaves its file");
    assert_eq!(connect(&address).expect_err("dead").cause(), Cause::NotFound);
    drop(bind(&address).expect("what a dead listener left is in nobody's way"));
    assert!(!fs::exists(&address).expect("look"), "one that closes leaves nothing");
}

#[test]
fn a_listener_with_a_full_queue_is_alive_and_busy() {
    let _watchdog = watchdog("a busy socket");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let busy = UnixListener::bind(&address).expect("bind");
    rustix::net::listen(&busy, 0).expect("a queue of one");
    let _first = UnixStream::connect(&address).expect("the one");
    assert_eq!(bind(&address).expect_err("alive").cause(), Cause::AddressInUse);
    let start = Instant::now();
    assert_eq!(connect(&address).expect_err("full").cause(), Cause::Timeout);
    assert!(start.elapsed() >= Duration::from_millis(500), "a busy listener is given some time");
    // What was full is served, and the next gets in.
    let mut client = peer!();
    client.tell(&format!("connect {address} handshake=50"));
    drop(busy.accept().expect("the one"));
    drop(busy.accept().expect("the client"));
    assert_eq!(client.answer(), "err 0 PeerDied", "this listener is none of ours");
}

#[test]
fn nobody_there_is_not_found_and_names_the_path() {
    let scratch = Scratch::new();
    for file in ["nobody", "no/such/directory"] {
        let error = connect(&scratch.path(file)).expect_err("nobody");
        assert_eq!(error.cause(), Cause::NotFound);
        assert!(error.to_string().contains(&scratch.path(file)), "{error}");
    }
    let error = bind(&scratch.path("no/such/directory")).expect_err("no directory");
    assert!(error.to_string().contains("no/such"), "{error}");
}

#[test]
fn a_client_that_may_wait_comes_first_and_meets_the_listener() {
    let _watchdog = watchdog("a client that comes first");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let (mut client, mut server) = (peer!(), peer!());
    assert_eq!(client.ask(&format!("connect {address} within=30")), "err 0 NotFound");
    client.tell(&format!("connect {address} within=9000"));
    client.await_parked();
    assert!(!client.has_answered());
    server.must(&format!("listen {address} within=9000"));
    assert_eq!(client.answer(), "ok");
    client.must("send 10 20");
    server.must("recv 10");
    assert!(!fs::exists(&address).expect("look"), "a listener for one gives its name back when the session stands");
}

#[test]
fn a_listener_for_one_that_nobody_comes_to_is_a_timeout_and_leaves_nothing() {
    let _watchdog = watchdog("a listener for nobody");
    let scratch = Scratch::new();
    let start = Instant::now();
    let time = Duration::from_millis(30);
    let error =
        Bus::listen_until(&scratch.path("bus"), &Options::default(), Deadline::after(time)).expect_err("nobody");
    assert_eq!(error.cause(), Cause::Timeout);
    assert!(start.elapsed() >= time);
    assert_eq!(fs::read_dir(scratch.dir()).expect("our directory").count(), 0);
    let mut listener = bind(&scratch.path("bus")).expect("free");
    assert_eq!(listener.try_accept_bus().expect_err("nobody").cause(), Cause::Empty);
    assert_eq!(listener.accept_bus_until(Deadline::NOW).expect_err("nobody").cause(), Cause::Timeout);
}

#[test]
fn a_client_waits_over_the_restart_of_a_server() {
    let _watchdog = watchdog("a restarting server");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    for _ in 0..10 {
        let mut first = peer!();
        first.must(&format!("bind {address}"));
        let mut client = peer!();
        // The first listener never accepts. It is killed while the client is in its queue.
        client.tell(&format!("connect {address} within=9000"));
        client.await_parked();
        first.kill();
        let mut second = peer!();
        second.must(&format!("listen {address} within=9000"));
        assert_eq!(client.answer(), "ok");
        client.must("send 3 20");
        second.must("recv 3");
    }
}

#[test]
fn a_session_lives_on_when_its_listener_is_closed_and_the_name_is_anothers() {
    let _watchdog = watchdog("a session without its listener");
    let scratch = Scratch::new();
    let address = scratch.path("bus");
    let mut client = peer!();
    let mut listener = bind(&address).expect("free");
    client.tell(&format!("connect {address}"));
    let mut bus = listener.accept_bus().expect("a session");
    assert_eq!(client.answer(), "ok");
    drop(listener);
    let _another = bind(&address).expect("free again");
    client.must("send 2 20");
    for number in 0..2 {
        let lease = bus.recv().expect("a frame");
        assert!(frames::is(number, lease.type_id(), &lease));
    }
}

#[test]
fn an_unusable_runtime_directory_is_a_config_error_at_either_end() {
    let _watchdog = watchdog("runtime directories");
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), "").expect("write");
    fs::write(scratch.path("file2"), "").expect("write");
    symlink(scratch.path("nowhere/at/all"), scratch.path("dangling")).expect("symlink");
    for bad in
        [scratch.path("file"), scratch.path("file2/below"), scratch.path("no/such/parent"), scratch.path("dangling")]
    {
        let mut peer = Peer::start(Command::new(peer_program!()).env("SLIPRING_RUNTIME_DIR", &bad));
        for order in ["bind demo", "connect demo", "listen demo", "connect demo within=9000"] {
            assert_eq!(peer.ask(order), "err 0 Config", "{order} in {bad}");
        }
        // A path needs no runtime directory where its own is private.
        peer.must(&format!("bind {}", scratch.path("bus")));
    }
    // One that is missing is made.
    let made = scratch.path("made");
    Peer::start(Command::new(peer_program!()).env("SLIPRING_RUNTIME_DIR", &made)).must("bind demo");
    assert!(fs::exists(format!("{made}/demo.sock")).expect("look"), "the peer was killed, its file is there");
}

/// Lets fifty processes race for one name until they have held it a thousand times; the first `killed` of them are killed
/// on the way, perhaps while they hold it.
fn race(killed: usize) {
    const RACERS: usize = 50;
    const ROUNDS: u64 = 1000;
    let scratch = Scratch::new();
    let witness = scratch.path("witness");
    fs::write(&witness, "").expect("write");
    let mut racers: Vec<Peer> = (0..RACERS).map(|_| peer!()).collect();
    let how = if killed > 0 { "killed" } else { "" };
    for racer in &mut racers {
        racer.tell(&format!("race {} {witness} {ROUNDS} {how}", scratch.path("bus")));
    }
    for racer in racers.drain(..killed) {
        std::thread::sleep(Duration::from_millis(20));
        drop(racer);
    }
    let mut held = 0;
    for racer in &mut racers {
        let answer = racer.answer();
        let times = answer.strip_prefix("ok ").and_then(|times| times.parse::<u64>().ok());
        held += times.unwrap_or_else(|| panic!("{answer}"));
    }
    assert!(held == ROUNDS || killed > 0 && held < ROUNDS, "{held}");
    assert_eq!(fs::read_to_string(&witness).expect("read"), format!("{ROUNDS:020}"));
    drop(bind(&scratch.path("bus")).expect("free"));
}

#[test]
fn of_fifty_processes_that_race_for_a_name_a_thousand_times_one_holds_it_at_a_time() {
    let _watchdog = watchdog_for("fifty processes that race", Duration::from_secs(60));
    race(0);
}

#[test]
fn processes_that_are_killed_in_a_race_for_a_name_hold_up_nobody() {
    let _watchdog = watchdog_for("fifty processes that race, some of them killed", Duration::from_secs(60));
    race(20);
}
