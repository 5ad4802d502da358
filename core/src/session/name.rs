//! Names: how a listener takes an address, keeps it and gives it back, and how others find it there.
//!
//! A name is a socket file. At most one process holds it, and a file that a killed process left stands in nobody's way.
//! Both rest on a lock (`flock`) that is held only while a name is taken or given back:
//! - the holder is whoever *listens*: a file whose socket refuses connections is dead, because between `bind` and
//!   `listen` the lock is held;
//! - only what is ours is removed: a dead stream socket of this user when taking, the very file (device, inode) that
//!   was bound when giving back. The listening descriptor is closed after that, so that its inode cannot be anybody
//!   else's meanwhile.
//!
//! Connecting takes no lock. Nothing here knows what is said over the connection.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, FlockOperation, Stat};
use rustix::io::Errno;

use crate::deadline::Deadline;
use crate::error::{Cause, Error};
use crate::sys::fork::{Birth, Fd};
use crate::sys::{effective_uid, pause, socket};

mod address;
mod directory;

pub(crate) use address::Address;
use directory::{Directory, Runtime};

/// How long the lock is waited for. It is held for well under a millisecond, so longer means that its holder is stuck.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// How long a listener whose queue is full is given at least, whatever the deadline: it is there, only busy.
const BUSY_PATIENCE: Duration = Duration::from_secs(1);

/// The pauses between two tries of a waiting connect grow from the first to the second.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_LAST: Duration = Duration::from_millis(20);

/// A name that this process holds: a listening socket and its file. Given back on drop, except in a forked child.
#[derive(Debug)]
pub(crate) struct Taken {
    directory: Directory,
    file: OsString,
    lock: Lock,
    /// The file as it was bound, for telling it from another that somebody put in its place.
    bound: Stat,
    birth: Birth,
    /// Closed after `drop` has run.
    socket: Fd,
}

impl Taken {
    /// Takes `address` and listens there.
    ///
    /// # Errors
    /// [`Cause::AddressInUse`] with what is at the path; [`Cause::Config`] without a usable runtime directory;
    /// [`Cause::Timeout`] or [`Cause::Interrupted`] while others take names.
    pub(crate) fn take(address: &Address, deadline: Deadline) -> Result<Self, Error> {
        Self::take_in(&Runtime::from_env(), address, deadline)
    }

    fn take_in(runtime: &Runtime, address: &Address, deadline: Deadline) -> Result<Self, Error> {
        let system = |refused: io::Error| Error::system(format!("listen at {address}"), refused);
        let directory = match address {
            Address::Name(_) => runtime.home()?,
            Address::Path(path) => Directory::open(parent(path)).map_err(system)?,
        };
        let file = address.file();
        let lock = Lock::for_names_in(&directory, runtime)?;
        let birth = Birth::now().map_err(system)?;
        let held = lock.acquire(deadline)?;
        if let Address::Name(_) = address {
            refuse_other_holders(runtime, &directory, &file)?;
        }
        make_room(&directory, &file)?;
        let (socket, bound) = bind_and_listen(&directory, &file).map_err(system)?;
        drop(held);
        Ok(Self { directory, file, lock, bound, birth, socket })
    }

    /// The listening socket.
    pub(crate) fn fd(&self) -> &Fd {
        &self.socket
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.birth.is_ours() {
            return;
        }
        let patience = Deadline::after(LOCK_PATIENCE);
        let held = loop {
            match self.lock.acquire(patience) {
                // Giving back is no wait of the user's; a signal does not end it.
                Err(error) if error.cause() == Cause::Interrupted => {}
                held => break held,
            }
        };
        // Without the lock the file stays: somebody may be looking at it right now. It is dead then, and harms nobody.
        if held.is_ok() && self.directory.look_at(&self.file).is_ok_and(|now| same_file(&now, &self.bound)) {
            let _ = self.directory.unlink(&self.file);
        }
    }
}

/// Connects to whoever listens at `address`. Until `deadline`, waits for one to appear; a passed deadline tries once.
///
/// # Errors
/// [`Cause::NotFound`] with every path that was tried; [`Cause::Timeout`] if a listener is there whose queue stays full;
/// [`Cause::InvalidArgument`] if what is there can never be connected to; [`Cause::Interrupted`] by a signal.
pub(crate) fn connect(address: &Address, deadline: Deadline) -> Result<Fd, Error> {
    connect_in(&Runtime::from_env(), address, deadline)
}

fn connect_in(runtime: &Runtime, address: &Address, deadline: Deadline) -> Result<Fd, Error> {
    let busy_until = Deadline::after(BUSY_PATIENCE);
    let mut time = PAUSE_FIRST;
    loop {
        let mut round = Round { tried: Vec::new(), busy: false, obstacle: None };
        if let Some(socket) = round.run(runtime, address)? {
            return Ok(socket);
        }
        let patient = round.busy && !busy_until.has_passed();
        if round.is_hopeless() || (deadline.has_passed() && !patient) {
            return Err(round.outcome(address));
        }
        let rest = deadline.remaining().filter(|rest| !rest.is_zero()).unwrap_or(time);
        pause(time.min(rest)).map_err(|signal| Error::system(format!("wait for a listener at {address}"), signal))?;
        time = (time * 2).min(PAUSE_LAST);
    }
}

/// One try at every place where an address may be.
struct Round {
    /// The paths at which nobody listens, with what is known about them.
    tried: Vec<String>,
    /// Somebody listens, but cannot take one more connection now.
    busy: bool,
    /// The first thing in the way that waiting does not remove.
    obstacle: Option<Error>,
}

impl Round {
    fn run(&mut self, runtime: &Runtime, address: &Address) -> Result<Option<Fd>, Error> {
        let file = address.file();
        for (directory, opened) in places(runtime, address)? {
            let path = directory.join(&file);
            let reached = match (opened, address) {
                (Ok(directory), _) => self.knock(&directory, &file, &path),
                // A candidate that cannot be used holds no name of ours; the directory of a path must be there one day.
                (Err(why), Address::Name(_)) => {
                    self.tried.push(format!("{} ({why})", path.display()));
                    continue;
                }
                (Err(why), Address::Path(_)) => Err(why),
            };
            match reached {
                Ok(Some(socket)) => return Ok(Some(socket)),
                Ok(None) => {}
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                    self.tried.push(path.display().to_string());
                }
                Err(why) => self.note(Error::system(format!("connect to {}", path.display()), why)),
            }
        }
        Ok(None)
    }

    /// Tries one place. What the system says beyond the expected is the error.
    fn knock(&mut self, directory: &Directory, file: &OsStr, path: &Path) -> io::Result<Option<Fd>> {
        let refused = match socket::connect(directory.as_fd(), file) {
            Ok(socket) => return Ok(Some(socket)),
            Err(refused) => refused,
        };
        let tried = || format!("connect to {}", path.display());
        match Errno::from_io_error(&refused) {
            Some(Errno::AGAIN) => self.busy = true,
            Some(Errno::CONNREFUSED) => match directory.kind_behind(file)? {
                FileType::Socket => self.tried.push(format!("{} (left by a dead listener)", path.display())),
                _ => self.note(Error::new(NO_SOCKET, tried())),
            },
            Some(Errno::PROTOTYPE) => self.note(Error::new(NO_SOCKET, tried())),
            _ => return Err(refused),
        }
        Ok(None)
    }

    fn note(&mut self, obstacle: Error) {
        self.obstacle.get_or_insert(obstacle);
    }

    /// Whether waiting cannot help.
    fn is_hopeless(&self) -> bool {
        self.obstacle.is_some() && !self.busy
    }

    fn outcome(self, address: &Address) -> Error {
        if self.busy {
            return Error::new(
                Cause::Timeout,
                format!("connect to {address}: a listener is there, its queue stays full"),
            );
        }
        self.obstacle.unwrap_or_else(|| {
            Error::new(Cause::NotFound, format!("connect to {address} (tried {})", self.tried.join(", ")))
        })
    }
}

/// The directories in which the socket file of `address` may be, each with its path.
fn places(runtime: &Runtime, address: &Address) -> Result<Vec<(PathBuf, io::Result<Directory>)>, Error> {
    match address {
        Address::Name(_) => runtime.all(),
        Address::Path(path) => Ok(vec![(parent(path).to_owned(), Directory::open(parent(path)))]),
    }
}

const NO_SOCKET: Cause = Cause::InvalidArgument { which: "the file at the address is not a stream socket" };

/// The lock under which names in a directory are taken and given back.
#[derive(Debug)]
struct Lock {
    fd: Fd,
    /// For people.
    on: String,
    birth: Birth,
}

/// The lock, held.
struct Held<'a>(&'a Lock);

impl Lock {
    /// On the directory itself if nobody else can enter it, or if the user chose it; otherwise a stranger could hold the
    /// lock for ever, so it is on our own runtime directory.
    fn for_names_in(directory: &Directory, runtime: &Runtime) -> Result<Self, Error> {
        let system = |refused| Error::system(format!("lock {}", directory.path().display()), refused);
        let own = if directory.is_private().map_err(system)? { None } else { Some(runtime.home()?) };
        let locked = own.as_ref().unwrap_or(directory);
        let fd = locked.lockable().map_err(system)?;
        Ok(Self { fd, on: locked.path().display().to_string(), birth: Birth::now().map_err(system)? })
    }

    fn acquire(&self, deadline: Deadline) -> Result<Held<'_>, Error> {
        let tried = || format!("lock {}", self.on);
        let patience = Deadline::after(LOCK_PATIENCE);
        loop {
            match rustix::fs::flock(&self.fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Held(self)),
                Err(Errno::WOULDBLOCK) => {}
                Err(refused) => return Err(Error::system(tried(), refused)),
            }
            if patience.has_passed() {
                let tried = format!("{} (somebody has held it for {} s)", tried(), LOCK_PATIENCE.as_secs());
                return Err(Error::new(Cause::AddressInUse, tried));
            }
            if deadline.has_passed() {
                return Err(Error::new(Cause::Timeout, tried()));
            }
            pause(PAUSE_FIRST).map_err(|signal| Error::system(tried(), signal))?;
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.0.birth.is_ours() {
            // Unlocked, not just closed: a copy of the descriptor, wherever it is, would hold the lock.
            let _ = rustix::fs::flock(&self.0.fd, FlockOperation::Unlock);
        }
    }
}

/// What stands where a name is to be taken.
enum Occupant {
    Nobody,
    /// The socket of a listener of ours that is no more.
    Dead,
    /// Something that must stay, in words.
    Holder(String),
}

fn occupant(directory: &Directory, file: &OsStr) -> rustix::io::Result<Occupant> {
    let stat = match directory.look_at(file) {
        Err(Errno::NOENT) => return Ok(Occupant::Nobody),
        stat => stat?,
    };
    let holder = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket if stat.st_uid != effective_uid() => format!("a socket of user {}", stat.st_uid),
        FileType::Socket => match socket::connect(directory.as_fd(), file).as_ref().map_err(Errno::from_io_error) {
            Ok(_) => "a live listener".to_owned(),
            Err(Some(Errno::CONNREFUSED)) => return Ok(Occupant::Dead),
            Err(Some(Errno::NOENT)) => return Ok(Occupant::Nobody),
            Err(Some(Errno::AGAIN)) => "a live listener, busy".to_owned(),
            Err(Some(Errno::PROTOTYPE)) => "a socket of another kind".to_owned(),
            Err(refused) => return Err(refused.unwrap_or(Errno::IO)),
        },
        FileType::RegularFile => "a regular file".to_owned(),
        FileType::Directory => "a directory".to_owned(),
        FileType::Symlink => "a symbolic link".to_owned(),
        _ => "a file that is no socket".to_owned(),
    };
    Ok(Occupant::Holder(holder))
}

/// Makes `file` free, or says what is there.
fn make_room(directory: &Directory, file: &OsStr) -> Result<(), Error> {
    let path = directory.path().join(file);
    let system = |refused: io::Error| Error::system(format!("listen at {}", path.display()), refused);
    match occupant(directory, file).map_err(|refused| system(refused.into()))? {
        Occupant::Nobody => Ok(()),
        Occupant::Dead => directory.unlink(file).map_err(system),
        Occupant::Holder(what) => Err(in_use(&path, &what)),
    }
}

/// A name is held once, also when its holder chose another runtime directory than we do.
fn refuse_other_holders(runtime: &Runtime, home: &Directory, file: &OsStr) -> Result<(), Error> {
    for (path, directory) in runtime.all()? {
        let Ok(directory) = directory else { continue };
        if directory.is(home) {
            continue;
        }
        match socket::connect(directory.as_fd(), file) {
            Ok(_) => return Err(in_use(&path.join(file), "a live listener")),
            Err(busy) if busy.kind() == io::ErrorKind::WouldBlock => {
                return Err(in_use(&path.join(file), "a live listener, busy"));
            }
            // Whatever else is there, it does not hold the name.
            Err(_) => {}
        }
    }
    Ok(())
}

fn in_use(path: &Path, what: &str) -> Error {
    Error::new(Cause::AddressInUse, format!("listen at {} ({what} is there)", path.display()))
}

/// Binds, remembers what was bound, listens. Leaves nothing behind if it fails.
fn bind_and_listen(directory: &Directory, file: &OsStr) -> io::Result<(Fd, Stat)> {
    let socket = socket::bind(directory.as_fd(), file)?;
    let done = directory.look_at(file).map_err(io::Error::from).and_then(|bound| {
        socket::listen(&socket)?;
        Ok(bound)
    });
    match done {
        Ok(bound) => Ok((socket, bound)),
        Err(refused) => {
            let _ = directory.unlink(file);
            Err(refused)
        }
    }
}

fn same_file(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
pub(crate) mod tests;
