//! How much memory is left for us: what the machine has, and what every control group above us still allows.
//!
//! Reserving more than this does not fail, it gets somebody killed; so whoever reserves asks here first. A number that
//! cannot be read is no limit: without `/proc` nothing is refused. Page cache of files counts as free, because the
//! kernel gives it back before it kills; swap does not count.

use std::fs;
use std::path::{Path, PathBuf};

/// Where to look: the control groups above us, as they were when this was made.
#[derive(Debug)]
pub(crate) struct Budget(Vec<Hierarchy>);

impl Budget {
    pub(crate) fn find() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self(hierarchies(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo")))
    }

    /// The smallest of the machine's `MemAvailable` and what each control group above us, of either version, still allows. Looks
    /// for what could be given back only where less than `enough` is left without: that takes the kernel long to say.
    pub(crate) fn left(&self, enough: u64) -> u64 {
        self.0.iter().map(|tree| tree.left(enough)).fold(machine("MemAvailable:"), u64::min)
    }
}

/// The smallest of the machine's `MemTotal` and what each control group above us would allow if nothing were used.
pub(super) fn memory_there_is() -> u64 {
    Budget::find().0.iter().map(Hierarchy::limit).fold(machine("MemTotal:"), u64::min)
}

/// What the machine says it has of something, in bytes.
fn machine(what: &str) -> u64 {
    let kib = fs::read_to_string("/proc/meminfo").ok().and_then(|text| field(&text, what));
    kib.map_or(u64::MAX, |kib| kib.saturating_mul(1024))
}

/// The names that one version of control groups gives to what we read.
#[derive(Debug, PartialEq)]
struct Files {
    /// What may be used: reaching the first kills, reaching the second stalls.
    limits: &'static [&'static str],
    used: &'static str,
    /// Page cache of files, in `memory.stat`.
    cache: [&'static str; 2],
}

const VERSION_1: Files = Files {
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    cache: ["total_inactive_file", "total_active_file"],
};

const VERSION_2: Files =
    Files { limits: &["memory.max", "memory.high"], used: "memory.current", cache: ["inactive_file", "active_file"] };

/// A mounted tree of control groups that limit memory, and our place in it.
#[derive(Debug, PartialEq)]
struct Hierarchy {
    files: &'static Files,
    /// Where the tree is mounted.
    top: PathBuf,
    /// Our own group: `top` or below it.
    ours: PathBuf,
}

impl Hierarchy {
    /// What is left in the tightest of the groups from ours up to the top.
    fn left(&self, enough: u64) -> u64 {
        let above = self.ours.ancestors().take_while(|group| group.starts_with(&self.top));
        above.map(|group| left_in(group, self.files, enough)).min().unwrap_or(u64::MAX)
    }

    /// What the tightest of those groups would allow if nothing were used.
    fn limit(&self) -> u64 {
        let above = self.ours.ancestors().take_while(|group| group.starts_with(&self.top));
        above.map(|group| limit_of(group, self.files)).min().unwrap_or(u64::MAX)
    }
}

/// As much is no limit: version 1 says nearly 2^63 where it means none.
const NO_LIMIT: u64 = 1 << 62;

/// What one group allows in all.
fn limit_of(group: &Path, files: &Files) -> u64 {
    let limits = files.limits.iter().filter_map(|file| number(&group.join(file)));
    limits.filter(|&limit| limit < NO_LIMIT).min().unwrap_or(u64::MAX)
}

/// What one group still allows, without the page cache if that is `enough`. The top group of version 2 has none of the files, and
/// no limit.
fn left_in(group: &Path, files: &Files, enough: u64) -> u64 {
    let limit = limit_of(group, files);
    if limit == u64::MAX {
        return limit;
    }
    let used = number(&group.join(files.used)).unwrap_or(0);
    if limit.saturating_sub(used) >= enough {
        return limit - used;
    }
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let cache: u64 = files.cache.iter().filter_map(|name| field(&stat, name)).sum();
    limit.saturating_sub(used.saturating_sub(cache))
}

/// The number in a file; "max" is none, and no limit.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The trees that `mounts` (as `/proc/self/mountinfo`) has for the groups that `groups` (as `/proc/self/cgroup`) names.
fn hierarchies(groups: &str, mounts: &str) -> Vec<Hierarchy> {
    let mut found = Vec::new();
    for mount in mounts.lines() {
        let Some((kind, root, top, options)) = mounted_tree(mount) else { continue };
        let files = match kind {
            "cgroup2" => &VERSION_2,
            "cgroup" if options.split(',').any(|option| option == "memory") => &VERSION_1,
            _ => continue,
        };
        let Some(path) = groups.lines().find_map(|line| our_path(line, files)) else { continue };
        // A mount may show only a part of the tree, from `root` down. A path that is not below it is shown as the top.
        let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
        let top = PathBuf::from(top);
        found.push(Hierarchy { files, ours: top.join(below), top });
    }
    found
}

/// Kind, root, mount point and options of a line of mountinfo, which is laid out in proc_pid_mountinfo(5).
fn mounted_tree(line: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(3);
    let (root, top) = (before.next()?, before.next()?);
    let mut after = after.split(' ');
    let kind = after.next()?;
    Some((kind, root, top, after.nth(1)?))
}

/// Our path, if a line `id:controllers:path` of `/proc/self/cgroup` is for the tree that has these files.
fn our_path<'a>(line: &'a str, files: &Files) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let fits = if *files == VERSION_2 {
        controllers.is_empty()
    } else {
        controllers.split(',').any(|controller| controller == "memory")
    };
    fits.then_some(path)
}

/// The number behind `name` in a text of lines `name number ...`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next()? == name { words.next()?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::name::tests::Scratch;

    const MOUNTS: &str = "\
30 25 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw
31 25 0:27 /docker/abc /sys/fs/cgroup/memory rw,nosuid shared:10 - cgroup cgroup rw,memory
32 25 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
33 25 0:29 / /dev/shm rw - tmpfs tmpfs rw";

    #[test]
    fn both_versions_are_found_where_they_are_mounted() {
        let found = hierarchies("4:cpu:/x\n3:memory,hugetlb:/docker/abc/inner\n0::/user.slice/a", MOUNTS);
        let second = Path::new("/sys/fs/cgroup/unified");
        let first = Path::new("/sys/fs/cgroup/memory");
        let expected = [
            Hierarchy { files: &VERSION_2, top: second.into(), ours: second.join("user.slice/a") },
            Hierarchy { files: &VERSION_1, top: first.into(), ours: first.join("inner") },
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_group_outside_the_mount_is_read_at_its_top() {
        let found = hierarchies("3:memory:/elsewhere", MOUNTS);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].ours, found[0].top);
    }

    #[test]
    fn the_tightest_group_above_us_decides_and_page_cache_is_free() {
        let scratch = Scratch::new();
        let (top, middle) = (scratch.path().to_path_buf(), scratch.path().join("middle"));
        let ours = middle.join("ours");
        fs::create_dir_all(&ours).expect("directories");
        let write = |dir: &Path, name: &str, text: &str| fs::write(dir.join(name), text).expect("write");
        write(&ours, "memory.max", "max\n");
        write(&ours, "memory.current", "100\n");
        let tree = Hierarchy { files: &VERSION_2, top, ours };
        assert_eq!(tree.left(u64::MAX), u64::MAX, "no group has a limit");
        write(&middle, "memory.max", "5000\n");
        write(&middle, "memory.current", "3000\n");
        assert_eq!(tree.left(u64::MAX), 2000);
        write(&middle, "memory.stat", "anon 7\ninactive_file 500\nactive_file 250\n");
        assert_eq!(tree.left(u64::MAX), 2750);
        assert_eq!((tree.left(2000), tree.left(2001)), (2000, 2750), "looked for only where it matters");
        write(&middle, "memory.max", "9223372036854771712\n");
        assert_eq!(tree.left(u64::MAX), u64::MAX, "which says that there is none");
        write(&middle, "memory.max", "5000\n");
        write(&middle, "memory.high", "4000\n");
        assert_eq!(tree.left(u64::MAX), 1750);
        write(&middle, "memory.current", "9000\n");
        assert_eq!(tree.left(u64::MAX), 0, "over its limit");
    }

    #[test]
    fn this_machine_has_memory_left() {
        let left = Budget::find().left(0);
        assert!(left > 0 && left < u64::MAX, "{left}");
    }
}
