//! Taking, keeping, losing and finding names, each test in a directory of its own.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::thread;
use std::time::Instant;

use super::*;
use crate::sync::{AtomicU32, Ordering};
use crate::sys::fork::tests::in_child;

/// A fresh private directory, removed with all that is in it on drop.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let unique = format!("slipring-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(unique);
        fs::create_dir(&path).expect("a directory that nobody else makes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("chmod");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn runtime(&self) -> Runtime {
        Runtime { forced: None, candidates: vec![self.0.join("first"), self.0.join("second")] }
    }

    fn address(&self, file: &str) -> Address {
        Address::Path(self.0.join(file))
    }

    fn take(&self, address: &Address) -> Result<Taken, Error> {
        Taken::take_in(&self.runtime(), address, Deadline::NEVER)
    }

    fn connect(&self, address: &Address) -> Result<Fd, Error> {
        connect_in(&self.runtime(), address, Deadline::NOW)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn name(text: &str) -> Address {
    Address::parse(text).expect("a good name")
}

/// A child that another test forked just now may have a copy of a listener that was closed; it is gone in a moment.
fn wait_until_dead(path: &Path) {
    while UnixStream::connect(path).is_ok() {
        thread::yield_now();
    }
}

fn assert_in_use(taken: Result<Taken, Error>, says: &str) {
    let error = taken.expect_err("in use");
    assert_eq!(error.cause(), Cause::AddressInUse);
    assert!(error.to_string().contains(says), "{error}");
}

#[test]
fn a_taken_name_is_found_and_a_released_one_leaves_nothing() {
    let scratch = Scratch::new();
    let taken = scratch.take(&name("demo")).expect("free");
    let client = scratch.connect(&name("demo")).expect("somebody listens");
    let server = socket::accept(taken.fd()).expect("a connection");
    let file = scratch.path().join("first/demo.sock");
    assert!(file.exists());
    drop(taken);
    assert!(!file.exists());
    assert_eq!(scratch.connect(&name("demo")).expect_err("nobody").cause(), Cause::NotFound);
    socket::ring(client.as_fd()).expect("the connection stays");
    assert_eq!(socket::receive(server.as_fd(), &mut [0], false).expect("the byte").bytes, 1);
    scratch.take(&name("demo")).expect("free again");
}

#[test]
fn a_live_listener_keeps_its_name_also_when_its_queue_is_full() {
    let scratch = Scratch::new();
    let address = scratch.address("live");
    let _taken = scratch.take(&address).expect("free");
    assert_in_use(scratch.take(&address), "a live listener");
    let busy = scratch.address("busy");
    let full = socket::bind(Directory::open(scratch.path()).expect("open").as_fd(), OsStr::new("busy")).expect("bind");
    rustix::net::listen(&full, 0).expect("listen");
    let _first = scratch.connect(&busy).expect("a queue of one");
    assert_in_use(scratch.take(&busy), "busy");
    let before = Instant::now();
    assert_eq!(scratch.connect(&busy).expect_err("still full").cause(), Cause::Timeout);
    assert!(before.elapsed() >= BUSY_PATIENCE, "a busy listener is given its time");
}

#[test]
fn a_full_queue_that_is_served_lets_the_next_in() {
    let scratch = Scratch::new();
    let busy = scratch.address("busy");
    let full = socket::bind(Directory::open(scratch.path()).expect("open").as_fd(), OsStr::new("busy")).expect("bind");
    rustix::net::listen(&full, 0).expect("listen");
    let _first = scratch.connect(&busy).expect("a queue of one");
    thread::scope(|scope| {
        let second = scope.spawn(|| scratch.connect(&busy));
        thread::sleep(Duration::from_millis(20));
        drop(socket::accept(&full).expect("the first"));
        second.join().expect("no panic").expect("room again");
    });
}

#[test]
fn what_a_dead_listener_left_is_taken() {
    let scratch = Scratch::new();
    drop(UnixListener::bind(scratch.path().join("stale")).expect("bind"));
    wait_until_dead(&scratch.path().join("stale"));
    let error = scratch.connect(&scratch.address("stale")).expect_err("nobody");
    assert_eq!(error.cause(), Cause::NotFound);
    assert!(error.to_string().contains("dead listener"), "{error}");
    scratch.take(&scratch.address("stale")).expect("dead");
}

#[test]
fn other_files_at_the_path_stay_and_are_named() {
    let scratch = Scratch::new();
    let path = |file: &str| scratch.path().join(file);
    fs::write(path("regular"), "precious").expect("write");
    fs::create_dir(path("directory")).expect("mkdir");
    symlink(path("regular"), path("link")).expect("symlink");
    let _datagram = UnixDatagram::bind(path("datagram")).expect("bind");
    let cases = [
        ("regular", "a regular file"),
        ("directory", "a directory"),
        ("link", "a symbolic link"),
        ("datagram", "a socket of another kind"),
    ];
    for (file, says) in cases {
        assert_in_use(scratch.take(&scratch.address(file)), says);
        let error = connect_in(&scratch.runtime(), &scratch.address(file), Deadline::NEVER).expect_err("no socket");
        assert!(matches!(error.cause(), Cause::InvalidArgument { .. }), "{error}");
    }
    assert_eq!(fs::read_to_string(path("regular")).expect("read"), "precious");
}

#[test]
fn somebody_elses_socket_stays() {
    let scratch = Scratch::new();
    let path = scratch.path().join("theirs");
    drop(UnixListener::bind(&path).expect("bind"));
    if std::os::unix::fs::chown(&path, Some(effective_uid() + 1), None).is_err() {
        // Only root can give a file away.
        return;
    }
    assert_in_use(scratch.take(&scratch.address("theirs")), "a socket of user");
    assert!(path.exists());
}

#[test]
fn a_name_is_held_once_over_all_directories() {
    let scratch = Scratch::new();
    let elsewhere = Runtime { forced: None, candidates: vec![scratch.path().join("second")] };
    let taken = Taken::take_in(&elsewhere, &name("demo"), Deadline::NEVER).expect("free");
    assert_in_use(scratch.take(&name("demo")), "second/demo.sock (a live listener");
    scratch.connect(&name("demo")).expect("found in the second directory");
    drop(taken);
    scratch.take(&name("demo")).expect("free again");
}

#[test]
fn not_found_lists_every_path() {
    let scratch = Scratch::new();
    let error = scratch.connect(&name("demo")).expect_err("nobody");
    assert_eq!(error.cause(), Cause::NotFound);
    let text = error.to_string();
    assert!(text.contains("first/demo.sock") && text.contains("second/demo.sock"), "{text}");
    let error = scratch.connect(&scratch.address("no/such/directory")).expect_err("nobody");
    assert_eq!(error.cause(), Cause::NotFound);
    fs::write(scratch.path().join("first"), "").expect("write");
    let error = scratch.connect(&name("demo")).expect_err("nobody");
    assert_eq!(error.cause(), Cause::NotFound, "an unusable candidate is listed, no more: {error}");
    assert!(error.to_string().contains("Not a directory"), "{error}");
    fs::write(scratch.path().join("file"), "").expect("write");
    let error = scratch.connect(&scratch.address("file/below")).expect_err("not a directory");
    assert_eq!(error.cause(), Cause::System);
}

#[test]
fn a_waiting_connect_meets_a_listener_that_comes_later() {
    let scratch = Scratch::new();
    thread::scope(|scope| {
        let client =
            scope.spawn(|| connect_in(&scratch.runtime(), &name("late"), Deadline::after(Duration::from_secs(10))));
        thread::sleep(Duration::from_millis(30));
        let _taken = scratch.take(&name("late")).expect("free");
        client.join().expect("no panic").expect("it came in time");
    });
    let soon = Deadline::after(Duration::from_millis(30));
    let error = connect_in(&scratch.runtime(), &name("late"), soon).expect_err("gone");
    assert_eq!(error.cause(), Cause::NotFound);
    assert!(soon.has_passed(), "it waited");
}

#[test]
fn long_paths_work_and_relative_ones_too() {
    let scratch = Scratch::new();
    let deep = (0..20).fold(scratch.path().to_path_buf(), |path, _| path.join("a-directory-with-a-long-name"));
    fs::create_dir_all(&deep).expect("directories");
    let longest = deep.join("s".repeat(socket::LONGEST_FILE_NAME));
    let address = Address::parse(longest.to_str().expect("text")).expect("an address");
    let taken = scratch.take(&address).expect("free");
    scratch.connect(&address).expect("somebody listens");
    drop(taken);
    assert!(!longest.exists());
    assert_eq!(parent(Path::new("x/y")), Path::new("x"));
    Directory::open(parent(Path::new("y"))).expect("the current directory");
}

#[test]
fn a_file_that_replaced_ours_is_not_removed() {
    let scratch = Scratch::new();
    let path = scratch.path().join("x");
    let taken = scratch.take(&scratch.address("x")).expect("free");
    fs::remove_file(&path).expect("unlink");
    fs::write(&path, "another's").expect("write");
    drop(taken);
    assert_eq!(fs::read_to_string(&path).expect("read"), "another's");
}

#[test]
fn without_the_lock_nothing_is_taken_or_removed() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let taken = scratch.take(&address).expect("free");
    let other =
        Lock::for_names_in(&Directory::open(scratch.path()).expect("open"), &scratch.runtime()).expect("a lock");
    let held = other.acquire(Deadline::NOW).expect("free");
    let late = Taken::take_in(&scratch.runtime(), &scratch.address("y"), Deadline::NOW).expect_err("locked");
    assert_eq!(late.cause(), Cause::Timeout);
    assert_in_use(scratch.take(&scratch.address("y")), "somebody has held it");
    drop(taken);
    assert!(scratch.path().join("x").exists(), "the file stays");
    drop(held);
    wait_until_dead(&scratch.path().join("x"));
    scratch.take(&address).expect("and is taken by the next");
}

#[test]
fn names_in_a_directory_open_to_others_are_locked_in_our_own() {
    let scratch = Scratch::new();
    let shared = scratch.path().join("shared");
    fs::create_dir(&shared).expect("mkdir");
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).expect("chmod");
    let stranger = fs::File::open(&shared).expect("open");
    rustix::fs::flock(&stranger, FlockOperation::LockExclusive).expect("a stranger's lock");
    scratch.take(&scratch.address("shared/x")).expect("no concern of ours");
    assert!(scratch.path().join("first").is_dir());
}

#[test]
fn a_forked_child_neither_holds_nor_gives_back_the_name() {
    let scratch = Scratch::new();
    let address = scratch.address("x");
    let taken = scratch.take(&address).expect("free");
    let mut held = Some(taken);
    // The child drops its copy; the parent's is another.
    let code = in_child(|| {
        drop(held.take());
        0
    });
    assert_eq!(code, 0);
    scratch.connect(&address).expect("still ours");
    drop(held);
    assert!(!scratch.path().join("x").exists());
}

#[test]
fn of_many_that_race_for_a_name_exactly_one_holds_it() {
    let rounds = 10;
    let scratch = Scratch::new();
    for round in 0..rounds {
        let address = name(&format!("race-{round}"));
        let start = std::sync::Barrier::new(100);
        let taken: Vec<_> = thread::scope(|scope| {
            let racers: Vec<_> = (0..100)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        scratch.take(&address)
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().expect("no panic")).collect()
        });
        assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 1);
        for error in taken.iter().filter_map(|taken| taken.as_ref().err()) {
            assert_eq!(error.cause(), Cause::AddressInUse, "{error}");
        }
    }
}
