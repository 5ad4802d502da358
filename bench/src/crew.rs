//! Crews: the worker processes of one measurement, from their start to their end.
//!
//! A crew is started together, heard together, and ended together: when one member fails the rest cannot go on, and
//! when the crew is dropped nobody of it is left. Each crew works in a private runtime directory that only it uses.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fault::Fault;
use crate::link::{Link, Side};
use crate::pin::Cpus;
use crate::watchdog::Watchdog;
use crate::worker::{Job, Said, Task};

/// How long the rest of a crew may still speak after one member failed, so that the cause is heard and not only its
/// consequence at the other side.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How the names of runtime directories begin; the process that made one follows.
const PREFIX: &str = slipring_bench_kit::rival::PREFIX;

/// Where POSIX shared memory has its names.
const SHARED_MEMORY: &str = "/dev/shm";

/// A private runtime directory, removed when dropped.
#[derive(Debug)]
pub(crate) struct Runtime(PathBuf);

impl Runtime {
    pub(crate) fn create() -> Result<Self> {
        let base = std::env::temp_dir();
        sweep(&base, has_ended);
        sweep(Path::new(SHARED_MEMORY), has_ended);
        let mut number = 0;
        loop {
            let path = base.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error).with_context(|| format!("make the directory {}", path.display())),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // A directory that is left behind harms nobody, and there is no one to tell.
        let _ = std::fs::remove_dir_all(&self.0);
        // What systems that are compared keep there under names, and were killed with.
        sweep(Path::new(SHARED_MEMORY), |pid| pid == std::process::id());
    }
}

/// Removes what stands in `base` under the names of runs whose process is one of `these`.
fn sweep(base: &Path, these: impl Fn(u32) -> bool) {
    for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if owner.and_then(|pid| pid.parse().ok()).is_some_and(&these) {
            // Another user's stays, and another run may have been faster.
            let path = entry.path();
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
    }
}

/// Whether a run was killed before it could remove what is its own.
fn has_ended(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// One worker process.
#[derive(Debug)]
pub(crate) struct Member {
    child: Child,
    stdout: ChildStdout,
    heard: Vec<u8>,
}

impl Member {
    fn start(runtime: &Runtime, cpu: Option<usize>, side: Side, job: &Job, stdin: Stdio) -> Result<Self> {
        Self::start_in(Some(runtime), cpu, side, job, stdin)
    }

    /// In `runtime`, or in that of this process.
    fn start_in(runtime: Option<&Runtime>, cpu: Option<usize>, side: Side, job: &Job, stdin: Stdio) -> Result<Self> {
        let task = Task { parent: std::process::id(), cpu, side, job: job.clone() };
        let task = serde_json::to_string(&task).context("write the task as JSON")?;
        let mut command = Command::new("/proc/self/exe");
        if let Some(runtime) = runtime {
            command.env("SLIPRING_RUNTIME_DIR", runtime.path());
        }
        let mut child = command
            .arg0(env!("CARGO_PKG_NAME"))
            .arg("worker")
            .arg(task)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .spawn()
            .context("start a worker process")?;
        let stdout = child.stdout.take().context("a worker's standard output is a pipe")?;
        Ok(Self { child, stdout, heard: Vec::new() })
    }

    /// A worker that works alone.
    pub(crate) fn alone(runtime: &Runtime, cpus: Cpus, side: Side, job: &Job) -> Result<Self> {
        Self::start(runtime, cpus.of(side as usize), side, job, Stdio::null())
    }

    /// A worker that is told over a link when to go on.
    pub(crate) fn linked(runtime: &Runtime, cpu: Option<usize>, side: Side, job: &Job) -> Result<(Self, Link)> {
        let (link, theirs) = Link::to_worker()?;
        Ok((Self::start(runtime, cpu, side, job, Stdio::from(theirs))?, link))
    }

    /// A worker of a worker's, told over a link too, in the same runtime directory. It pins itself.
    pub(crate) fn inherited(side: Side, job: &Job) -> Result<(Self, Link)> {
        let (link, theirs) = Link::to_worker()?;
        Ok((Self::start_in(None, None, side, job, Stdio::from(theirs))?, link))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next thing that this worker says. A worker that ends without having said how it went has died.
    pub(crate) fn hear(&mut self, watchdog: &Watchdog) -> Result<Said> {
        loop {
            if let Some(said) = self.next_line()? {
                return Ok(said);
            }
            watchdog.wait(&[self.stdout.as_fd()])?;
            self.listen()?;
        }
    }

    /// The result, once this worker is done.
    pub(crate) fn result<T: DeserializeOwned>(&mut self, watchdog: &Watchdog) -> Result<T> {
        loop {
            if let Said::Done(found) = self.hear(watchdog)? {
                return serde_json::from_value(found).context("understand a worker's result");
            }
        }
    }

    /// Waits until it says that everything is set up, and what it says of that.
    pub(crate) fn ready<T: DeserializeOwned>(&mut self, watchdog: &Watchdog) -> Result<T> {
        match self.hear(watchdog)? {
            Said::Ready(found) => serde_json::from_value(found).context("understand a worker"),
            other => Err(anyhow!("a worker was to be ready and said {other:?}")),
        }
    }

    /// An error if it has ended although there was nothing to hear from it yet: its last words, or how it died.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.child.try_wait().context("ask for a worker's end")?.is_none() {
            return Ok(());
        }
        loop {
            self.next_line()?;
            self.listen()?;
        }
    }

    /// Ends it with SIGKILL, whatever it does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("kill a worker")
    }

    /// Collects it after its end.
    pub(crate) fn reap(&mut self) -> Result<()> {
        self.child.wait().map(|_| ()).context("wait for a worker's end")
    }

    /// Reads once what is there; an error at its end.
    fn listen(&mut self) -> Result<()> {
        let mut bytes = [0; 8192];
        let count = self.stdout.read(&mut bytes).context("hear a worker")?;
        if count > 0 {
            self.heard.extend_from_slice(&bytes[..count]);
            return Ok(());
        }
        let status = self.child.wait().context("wait for a worker's end")?;
        let how = match status.signal() {
            Some(signal) => format!("of signal {signal}"),
            None => format!("with {status}"),
        };
        Err(Fault::Died(format!("worker process {} died {how} in the middle of its work", self.pid())).into())
    }

    fn next_line(&mut self) -> Result<Option<Said>> {
        let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        match serde_json::from_slice(&line).context("understand a worker")? {
            Said::Failed { code, why } => {
                Err(Fault::from_code(code, why.clone()).map_or_else(|| anyhow!(why), anyhow::Error::new))
            }
            said => Ok(Some(said)),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and been collected, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two workers joined by a link: the leading one and the following one.
#[derive(Debug)]
pub(crate) struct Crew {
    pub(crate) lead: Member,
    pub(crate) follow: Member,
}

impl Crew {
    /// Starts both on the same job, each with its end of the link.
    pub(crate) fn start(runtime: &Runtime, cpus: Cpus, job: &Job) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("make the link")?;
        let end = |socket: UnixStream| Stdio::from(OwnedFd::from(socket));
        Ok(Self {
            lead: Member::start(runtime, cpus.of(0), Side::Lead, job, end(ours))?,
            follow: Member::start(runtime, cpus.of(1), Side::Follow, job, end(theirs))?,
        })
    }

    /// The results of both. `progress` is told what the following one has done so far.
    pub(crate) fn finish<T: DeserializeOwned>(
        mut self,
        watchdog: &Watchdog,
        mut progress: impl FnMut(u64),
    ) -> Result<[T; 2]> {
        let mut done: [Option<Value>; 2] = [None, None];
        while done.iter().any(Option::is_none) {
            if let Err(error) = self.step(watchdog, &mut done, &mut progress) {
                return Err(self.worst(error));
            }
        }
        for member in [&mut self.lead, &mut self.follow] {
            member.reap()?;
        }
        let [lead, follow] = done.map(|found| serde_json::from_value(found.unwrap_or_default()));
        Ok([lead.context("understand a worker's result")?, follow.context("understand a worker's result")?])
    }

    /// Hears whichever member speaks next.
    fn step(
        &mut self,
        watchdog: &Watchdog,
        done: &mut [Option<Value>; 2],
        progress: &mut impl FnMut(u64),
    ) -> Result<()> {
        let waiting: Vec<usize> = (0..2).filter(|&index| done[index].is_none()).collect();
        let members = [&mut self.lead, &mut self.follow];
        let fds: Vec<_> = waiting.iter().map(|&index| members[index].stdout.as_fd()).collect();
        let speaks = watchdog.wait(&fds)?;
        for (index, member) in members.into_iter().enumerate() {
            let position = waiting.iter().position(|&one| one == index);
            if !position.is_some_and(|position| speaks[position]) {
                continue;
            }
            member.listen()?;
            while let Some(said) = member.next_line()? {
                match said {
                    Said::Done(found) => done[index] = Some(found),
                    Said::Progress(amount) => progress(amount),
                    Said::Ready(_) | Said::Failed { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// One member failed: hears the other's last words and answers the worse of the two. Damage explains a death, and
    /// what could not be set up explains it too.
    fn worst(&mut self, first: anyhow::Error) -> anyhow::Error {
        let rank = |error: &anyhow::Error| match Fault::code_of(error) {
            3 => 2,
            4 => 0,
            _ => 1,
        };
        let watchdog = Watchdog::expecting(Duration::ZERO).at_most(LAST_WORDS);
        let mut worst = first;
        for member in [&mut self.lead, &mut self.follow] {
            let last = loop {
                match member.hear(&watchdog) {
                    Ok(Said::Done(_)) => break None,
                    Ok(_) => {}
                    Err(error) => break Some(error),
                }
            };
            if let Some(error) = last.filter(|error| rank(error) > rank(&worst)) {
                worst = error;
            }
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_runs_left_is_removed_and_nothing_else() {
        let base = std::env::temp_dir().join(format!("crew-test-{}", std::process::id()));
        std::fs::create_dir_all(base.join(format!("{PREFIX}41-0/inner"))).expect("a directory");
        for name in [format!("{PREFIX}41-x.data"), format!("{PREFIX}42-x.data"), "other-41-x".to_owned()] {
            std::fs::write(base.join(name), b"left").expect("a file");
        }
        sweep(&base, |pid| pid == 41);
        let entries = std::fs::read_dir(&base).expect("it is there").flatten();
        let mut left: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        left.sort();
        assert_eq!(left, ["other-41-x".to_owned(), format!("{PREFIX}42-x.data")]);
        std::fs::remove_dir_all(&base).expect("ours");
    }
}
