//! Control groups of our own, of either version, where they can be made: below the group that the tests run in.
//!
//! A test that enters one is in a process of its own ([`alone`](crate::alone)). What cannot be made is no failure: the error says
//! why, for a test to skip itself.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A group that this process has entered. Left and removed on drop.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
    above: PathBuf,
}

impl Group {
    /// Enters a new group that may have `bytes` of memory.
    ///
    /// # Errors
    /// Why there is none.
    pub fn with_memory(bytes: u64) -> Result<Self, String> {
        let limit = bytes.to_string();
        Self::enter("memory", &[("memory.limit_in_bytes", &limit)], &[("memory.max", &limit)])
    }

    /// Enters a new group that may run on one processor alone.
    ///
    /// # Errors
    /// Why there is none.
    pub fn with_cpu(cpu: u32) -> Result<Self, String> {
        let cpu = cpu.to_string();
        // Version 1 takes nobody in before it has nodes, too.
        Self::enter("cpuset", &[("cpuset.cpus", &cpu), ("cpuset.mems", "0")], &[("cpuset.cpus", &cpu)])
    }

    fn enter(controller: &str, first: &[(&str, &str)], second: &[(&str, &str)]) -> Result<Self, String> {
        let mounts = read("/proc/self/mountinfo")?;
        let groups = read("/proc/self/cgroup")?;
        let mut whys = vec![format!("no control groups for {controller}")];
        for (top, version) in trees(&mounts, controller) {
            let Some(ours) = our_path(&groups, controller, version) else { continue };
            let above = top.join(ours.trim_start_matches('/'));
            match Self::make(above, if version == 1 { first } else { second }) {
                Ok(group) => return Ok(group),
                Err(why) => whys.push(why),
            }
        }
        Err(whys.pop().expect("there is one at least"))
    }

    fn make(above: PathBuf, settings: &[(&str, &str)]) -> Result<Self, String> {
        remove_left_overs(&above);
        let path = above.join(format!("slipring-tests-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("make {}: {error}", path.display()))?;
        let group = Self { path, above };
        for (file, value) in settings {
            group.write(file, value)?;
        }
        group.write("cgroup.procs", &std::process::id().to_string())?;
        Ok(group)
    }

    fn write(&self, file: &str, value: &str) -> Result<(), String> {
        let path = self.path.join(file);
        // Without creating: what is not there is not to be had.
        let file = fs::File::options().write(true).open(&path);
        let written = file.and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()));
        written.map_err(|error| format!("write {value} to {}: {error}", path.display()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::write(self.above.join("cgroup.procs"), std::process::id().to_string());
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes groups that killed tests left behind.
fn remove_left_overs(above: &Path) {
    for entry in fs::read_dir(above).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("slipring-tests-");
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Where trees with this controller are mounted, with their versions; laid out as in proc_pid_mountinfo(5).
fn trees(mounts: &str, controller: &str) -> Vec<(PathBuf, u32)> {
    let tree = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let top = PathBuf::from(before.split(' ').nth(4)?);
        let mut after = after.split(' ');
        match after.next()? {
            "cgroup" if after.nth(1)?.split(',').any(|name| name == controller) => Some((top, 1)),
            "cgroup2" => Some((top, 2)),
            _ => None,
        }
    };
    mounts.lines().filter_map(tree).collect()
}

/// Our path in the tree of a controller, by a line `id:controllers:path`; version 2 names no controllers.
fn our_path<'a>(groups: &'a str, controller: &str, version: u32) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let fits = if version == 2 { controllers.is_empty() } else { controllers.split(',').any(|c| c == controller) };
        fits.then_some(path)
    })
}

fn read(file: &str) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("read {file}: {error}"))
}
