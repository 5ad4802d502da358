//! Part (h): what is there after all that, and was not there before.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::table::Table;

/// Where POSIX shared memory shows its names.
const SHM: &str = "/dev/shm";

/// What could be left behind, at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Names in `/dev/shm`.
    shm: BTreeSet<String>,
    /// Names in the runtime directory.
    runtime: BTreeSet<String>,
    /// Descriptors of this process.
    fds: usize,
    /// Child processes of this process, ended or not.
    children: usize,
    /// Mappings of shared memory in this process: memfds, and POSIX shared memory, whose names are gone when it is mapped.
    maps: usize,
}

impl Snapshot {
    pub(crate) fn take(runtime: &Path) -> Result<Self> {
        let maps = fs::read_to_string("/proc/self/maps").context("read the mappings")?;
        Ok(Self {
            shm: names(Path::new(SHM))?,
            runtime: names(runtime)?,
            fds: names(Path::new("/proc/self/fd"))?.len(),
            children: children()?,
            maps: maps.lines().filter(|line| line.contains("/memfd:") || line.contains("/dev/shm/")).count(),
        })
    }
}

/// Compares, shows, and fails if anything of ours was left.
pub(crate) fn compare(before: &Snapshot, after: &Snapshot) -> Result<()> {
    let new = |before: &BTreeSet<String>, after: &BTreeSet<String>| -> Vec<String> {
        after.difference(before).cloned().collect()
    };
    let shm = new(&before.shm, &after.shm);
    // Other programs come and go in /dev/shm; what we left there would bear our name.
    let our_shm = shm.iter().filter(|name| name.contains("slipring")).count();
    let runtime = new(&before.runtime, &after.runtime);
    let mut table = Table::new(&["", "before", "after", ""]);
    let mut left = Vec::new();
    let mut line = |what: &str, before: usize, after: usize, extra: usize| {
        let verdict = if extra == 0 { "nothing left" } else { "LEFT BEHIND" };
        table.line(vec![what.to_owned(), before.to_string(), after.to_string(), verdict.to_owned()]);
        if extra > 0 {
            left.push(what.to_owned());
        }
    };
    line("names in /dev/shm", before.shm.len(), after.shm.len(), our_shm);
    line("names in the runtime directory", before.runtime.len(), after.runtime.len(), runtime.len());
    line("open descriptors", before.fds, after.fds, after.fds.saturating_sub(before.fds));
    line("child processes", before.children, after.children, after.children.saturating_sub(before.children));
    line("mapped shared memory", before.maps, after.maps, after.maps.saturating_sub(before.maps));
    println!("{table}");
    if left.is_empty() {
        return Ok(());
    }
    bail!("left behind: {} {runtime:?}", left.join(", "))
}

fn names(folder: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("look into {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Counts the children of all threads of this process.
fn children() -> Result<usize> {
    let mut count = 0;
    for thread in names(Path::new("/proc/self/task"))? {
        // A kernel that does not tell children has no such file; a thread may have ended meanwhile.
        let list = fs::read_to_string(format!("/proc/self/task/{thread}/children")).unwrap_or_default();
        count += list.split_whitespace().count();
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(runtime: &[&str], fds: usize) -> Snapshot {
        let runtime = runtime.iter().map(ToString::to_string).collect();
        Snapshot { shm: BTreeSet::new(), runtime, fds, children: 0, maps: 0 }
    }

    #[test]
    fn what_is_new_is_named() {
        assert!(compare(&snapshot(&["old"], 5), &snapshot(&["old"], 5)).is_ok());
        assert!(compare(&snapshot(&[], 5), &snapshot(&[], 4)).is_ok());
        let error = compare(&snapshot(&[], 5), &snapshot(&["x.sock"], 6)).unwrap_err().to_string();
        assert!(error.contains("runtime directory") && error.contains("descriptors"), "{error}");
    }

    #[test]
    fn a_snapshot_of_this_process_can_be_taken() {
        let snapshot = Snapshot::take(&std::env::temp_dir()).unwrap();
        assert!(snapshot.fds >= 3);
    }
}
