//! Runtime directories: where the socket files of bare names live.
//!
//! `SLIPRING_RUNTIME_DIR` is the only one if it is set. Otherwise there are three candidates, and a process may meet
//! another that chose a different one (one has `XDG_RUNTIME_DIR`, the other does not), so names are made in the first
//! usable one and looked for in all. Such a directory is *private*: real, of the effective user, mode 0700. That is what
//! keeps others from putting a socket of theirs under a name of ours; the directory that the user forces is the user's
//! own responsibility and need not be private.
//!
//! Directories are held open and everything in them is reached through the descriptor, so that neither their length nor
//! a rename matters.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use crate::error::{Cause, Error};
use crate::sys::effective_uid;
use crate::sys::fork::Fd;

/// A directory, held open.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    fd: Fd,
}

impl Directory {
    /// Opens the directory at `path`; the empty path is the current one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_with(path, OFlags::empty())
    }

    fn open_with(path: &Path, flags: OFlags) -> io::Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = flags | OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = Fd::make(|| Ok(rustix::fs::open(path, flags, Mode::empty())?))?;
        Ok(Self { path: path.to_owned(), fd })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor of the same directory that can be locked, which this one cannot.
    pub(super) fn lockable(&self) -> io::Result<Fd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Fd::make(|| Ok(rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?))
    }

    /// What stands at `file` itself, not behind a symbolic link there.
    pub(super) fn look_at(&self, file: &OsStr) -> rustix::io::Result<Stat> {
        rustix::fs::statat(&self.fd, file, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// What kind of file connecting to `file` would reach.
    pub(super) fn kind_behind(&self, file: &OsStr) -> rustix::io::Result<FileType> {
        Ok(FileType::from_raw_mode(rustix::fs::statat(&self.fd, file, AtFlags::empty())?.st_mode))
    }

    pub(super) fn unlink(&self, file: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, file, AtFlags::empty())?)
    }

    /// Whether it belongs to the effective user, who alone may enter it.
    pub(super) fn is_private(&self) -> io::Result<bool> {
        let stat = rustix::fs::fstat(&self.fd)?;
        Ok(stat.st_uid == effective_uid() && Mode::from_raw_mode(stat.st_mode) == Mode::RWXU)
    }

    /// Whether it is the same directory as another.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (rustix::fs::fstat(&self.fd), rustix::fs::fstat(&other.fd)) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What decides where names live.
#[derive(Debug)]
pub(super) struct Runtime {
    /// The only directory, if the user says so.
    pub(super) forced: Option<PathBuf>,
    /// Otherwise the candidates, best first.
    pub(super) candidates: Vec<PathBuf>,
}

/// The environment's name for the directory that the user forces.
const FORCED: &str = "SLIPRING_RUNTIME_DIR";

impl Runtime {
    /// As the environment and the effective user have it now. A variable that is empty counts as not set.
    pub(super) fn from_env() -> Self {
        let path = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let uid = effective_uid();
        // The base directory specification says that a relative path there is to be ignored.
        let given = path("XDG_RUNTIME_DIR").filter(|path| path.is_absolute()).map(|path| path.join("slipring"));
        let usual = [format!("/run/user/{uid}/slipring").into(), format!("/tmp/slipring-{uid}").into()];
        Self { forced: path(FORCED), candidates: given.into_iter().chain(usual).collect() }
    }

    /// The directory in which names are made. Makes it (not what it lies in) where it is missing.
    pub(super) fn home(&self) -> Result<Directory, Error> {
        if let Some(path) = &self.forced {
            let home = open_forced(path)?;
            let writable = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
            return match rustix::fs::accessat(&home, ".", writable, AtFlags::EACCESS) {
                Ok(()) => Ok(home),
                Err(refused) => Err(unusable(path, refused)),
            };
        }
        let mut refused = Vec::new();
        for path in &self.candidates {
            match open_private(path, true) {
                Ok(home) => return Ok(home),
                Err(why) => refused.push(format!("{} ({why})", path.display())),
            }
        }
        let tried = format!("find a private runtime directory (set {FORCED} to name one): {}", refused.join(", "));
        Err(Error::new(Cause::Config, tried))
    }

    /// Every directory in which a name may be found: each with its path, and with itself where it can be used.
    pub(super) fn all(&self) -> Result<Vec<(PathBuf, io::Result<Directory>)>, Error> {
        if let Some(path) = &self.forced {
            return Ok(vec![(path.clone(), Ok(open_forced(path)?))]);
        }
        Ok(self.candidates.iter().map(|path| (path.clone(), open_private(path, false))).collect())
    }
}

fn unusable(path: &Path, why: impl Into<io::Error>) -> Error {
    Error::os(Cause::Config, format!("use {FORCED}={}", path.display()), why)
}

/// The directory that the user forces, made if it is missing.
fn open_forced(path: &Path) -> Result<Directory, Error> {
    let open = || Directory::open(path);
    open_or_make(path, true, open).map_err(|why| unusable(path, why))
}

/// A candidate, if it is private; made first if it is missing and `make` says so.
fn open_private(path: &Path, make: bool) -> io::Result<Directory> {
    // A symbolic link could be anybody's where the directory above is not private.
    let found = open_or_make(path, make, || Directory::open_with(path, OFlags::NOFOLLOW))?;
    if found.is_private()? {
        return Ok(found);
    }
    Err(io::Error::other("not of mode 0700 and of this user"))
}

fn open_or_make(path: &Path, make: bool, open: impl Fn() -> io::Result<Directory>) -> io::Result<Directory> {
    match open() {
        Err(missing) if make && missing.kind() == io::ErrorKind::NotFound => {
            match rustix::fs::mkdirat(CWD, path, Mode::RWXU) {
                // Somebody else may have been as quick; what they made is looked at like any other.
                Ok(()) | Err(rustix::io::Errno::EXIST) => open(),
                Err(refused) => Err(refused.into()),
            }
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::session::name::tests::Scratch;

    fn runtime(candidates: &[PathBuf]) -> Runtime {
        Runtime { forced: None, candidates: candidates.to_vec() }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn the_first_private_directory_is_home_and_is_made_if_missing() {
        let scratch = Scratch::new();
        let [open, file, link, fresh] = ["open", "file", "link", "fresh"].map(|name| scratch.path().join(name));
        fs::create_dir(&open).expect("mkdir");
        chmod(&open, 0o755);
        fs::write(&file, "").expect("write");
        let target = scratch.path().join("target");
        fs::create_dir(&target).expect("mkdir");
        chmod(&target, 0o700);
        symlink(&target, &link).expect("symlink");
        let nowhere = scratch.path().join("no/where");
        let runtime = runtime(&[nowhere, open, file, link, fresh.clone()]);
        let found = runtime.all().expect("a list");
        assert!(found.iter().all(|(_, directory)| directory.is_err()), "looking makes nothing");
        assert_eq!(runtime.home().expect("the last").path(), fresh);
        assert_eq!(fs::metadata(&fresh).expect("made").permissions().mode() & 0o777, 0o700);
        assert_eq!(runtime.all().expect("a list").iter().filter(|(_, directory)| directory.is_ok()).count(), 1);
    }

    #[test]
    fn no_private_directory_is_a_config_error_that_lists_them() {
        let scratch = Scratch::new();
        let open = scratch.path().join("open");
        fs::create_dir(&open).expect("mkdir");
        chmod(&open, 0o777);
        let refused = runtime(&[scratch.path().join("no/where"), open]).home().expect_err("neither");
        assert_eq!(refused.cause(), Cause::Config);
        let text = refused.to_string();
        assert!(text.contains("no/where") && text.contains("0700") && text.contains(FORCED), "{text}");
    }

    #[test]
    fn the_forced_directory_is_the_only_one_and_unusable_ones_are_named() {
        let scratch = Scratch::new();
        let private = scratch.path().join("private");
        let forced = |path: &Path| Runtime { forced: Some(path.to_owned()), candidates: vec![private.clone()] };
        let made = scratch.path().join("made");
        let runtime = forced(&made);
        assert_eq!(runtime.home().expect("made").path(), made);
        assert_eq!(runtime.all().expect("a list").len(), 1);
        chmod(&made, 0o755);
        forced(&made).home().expect("the user's own responsibility");
        let file = scratch.path().join("file");
        fs::write(&file, "").expect("write");
        for bad in [file, scratch.path().join("no/where")] {
            for refused in [forced(&bad).home().expect_err("bad"), forced(&bad).all().expect_err("bad")] {
                assert_eq!(refused.cause(), Cause::Config);
                let text = refused.to_string();
                assert!(text.contains(FORCED) && text.contains(bad.to_str().expect("text")), "{text}");
            }
        }
        assert!(!private.exists(), "no other directory is touched");
    }
}
