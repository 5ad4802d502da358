//! Systems: the programs that can be compared, and what they say of themselves.
//!
//! slipring is this program itself, started as a rival like the others. The others are what stands in the folder of rivals.
//! Each is asked who it is before anything is measured, under a watchdog: a file that does not answer is no system.

use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use slipring_bench_kit::rival::Who;

use super::args::CompareArgs;
use crate::fault::Fault;
use crate::watchdog::Watchdog;

/// slipring's name among the systems, with which the names of its other faces begin, and the argument that makes this program that system.
pub(super) const OURS: &str = "slipring";
const OURS_ARGUMENT: &str = "ours";
/// How long a program may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);

/// One program.
#[derive(Clone, Debug)]
pub(super) struct System {
    program: PathBuf,
    arguments: Vec<String>,
    pub(super) who: Who,
    /// Whether the others are held against it.
    pub(super) is_ours: bool,
}

impl System {
    fn ask(program: PathBuf, arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let mut child = Command::new(&program)
            .args(&arguments)
            .arg("describe")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let heard = hear_all(&mut child);
        // It has ended, or is to end now.
        let _ = child.kill();
        let _ = child.wait();
        let who =
            serde_json::from_slice(&heard?).with_context(|| format!("{} does not say who it is", program.display()))?;
        Ok(Self { program, arguments, who, is_ours: false })
    }

    pub(super) fn name(&self) -> &str {
        &self.who.name
    }

    /// What starts a process of it.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

fn hear_all(child: &mut std::process::Child) -> Result<Vec<u8>> {
    let mut out = child.stdout.take().context("its standard output is a pipe")?;
    let watchdog = Watchdog::expecting(Duration::ZERO).at_most(INTRODUCTION);
    let (mut heard, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        watchdog.wait(&[out.as_fd()])?;
        match out.read(&mut bytes).context("hear it")? {
            0 => return Ok(heard),
            count => heard.extend_from_slice(&bytes[..count]),
        }
    }
}

/// The systems asked for, slipring first, with the mark on the one that the others are held against. Says on standard error which files of the folder are none.
pub(super) fn choose(args: &CompareArgs) -> Result<Vec<System>> {
    let ours = System::ask(PathBuf::from("/proc/self/exe"), &[OURS_ARGUMENT])?;
    let mut all = vec![ours];
    let folder = folder(args)?;
    for program in programs(&folder) {
        match System::ask(program.clone(), &[]) {
            Ok(system) if all.iter().any(|other| other.name() == system.name()) => {
                eprintln!("slipring-bench: left out {}: there is another {}", program.display(), system.name());
            }
            Ok(system) => all.push(system),
            Err(error) => eprintln!("slipring-bench: left out {}: {error:#}", program.display()),
        }
    }
    for system in &mut all {
        system.is_ours = system.name() == args.ours;
    }
    let asked = args.systems.as_deref().unwrap_or_default();
    if let Some(unknown) = asked.iter().find(|name| !all.iter().any(|system| system.name() == *name)) {
        let known: Vec<_> = all.iter().map(System::name).collect();
        return Err(Fault::Usage(format!(
            "--systems: there is no system {unknown}; there are {}; bench/rivals/build.sh builds more",
            known.join(", ")
        ))
        .into());
    }
    if !asked.is_empty() {
        all.retain(|system| asked.iter().any(|name| name == system.name()));
    }
    if !all.iter().any(|system| system.is_ours) && args.ours != OURS {
        return Err(Fault::Usage(format!("--ours: {} is not among the systems that are compared", args.ours)).into());
    }
    ensure!(!all.is_empty(), "there is nothing to measure");
    Ok(all)
}

/// Beside the folder that this program was built into, where `bench/rivals/build.sh` puts them.
fn folder(args: &CompareArgs) -> Result<PathBuf> {
    if let Some(folder) = &args.rivals {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe().context("find this program")?;
    Ok(program.ancestors().nth(2).unwrap_or(Path::new("")).join("rivals"))
}

/// The programs of a folder, by name. A folder that is not there has none.
fn programs(folder: &Path) -> Vec<PathBuf> {
    let is_program = |path: &Path| {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let runs = path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
        runs && !hidden
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_program(path)).collect();
    found.sort();
    found
}
