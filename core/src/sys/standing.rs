//! Where the pages of maps of this process stand, as the kernel sees it: on which node, in which size, and whether they are
//! locked.
//!
//! Read from `/proc/self/numa_maps` and `/proc/self/smaps` (proc(5)), which a sandbox that refuses the calls for it leaves
//! alone. Both list every map of the process, so this takes milliseconds where there are thousands.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

/// What was found about one map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Bytes of it on each node, where the kernel says so.
    pub(crate) nodes: BTreeMap<u32, u64>,
    /// Bytes of it that are in huge pages, and mapped as such.
    pub(crate) huge: u64,
    /// Whether the kernel would give it huge pages, if it had some.
    pub(crate) may_be_huge: bool,
    /// Bytes of it that stay in memory.
    pub(crate) locked: u64,
}

/// Looks at maps of this process, by their addresses. `None`: the kernel does not say.
pub(crate) fn look_at(maps: &[Range<usize>]) -> Option<Vec<Standing>> {
    let mut found = vec![Standing::default(); maps.len()];
    // A kernel that knows no nodes has no such file.
    let nodes = fs::read_to_string("/proc/self/numa_maps").unwrap_or_default();
    add_nodes(&nodes, maps, &mut found);
    let sizes = fs::read_to_string("/proc/self/smaps").ok()?;
    add_sizes(&sizes, maps, &mut found);
    Some(found)
}

/// Takes lines `<start> <policy> … N<node>=<pages> … kernelpagesize_kB=<n>`.
fn add_nodes(text: &str, maps: &[Range<usize>], found: &mut [Standing]) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(index) = words.next().and_then(hex).and_then(|start| which(maps, start)) else { continue };
        let words: Vec<_> = words.filter_map(|word| word.split_once('=')).collect();
        let page = words.iter().find(|(name, _)| *name == "kernelpagesize_kB").and_then(|(_, kib)| kib.parse().ok());
        let page = page.map_or(0, |kib: u64| kib << 10);
        for (name, pages) in words {
            let node = name.strip_prefix('N').and_then(|node| node.parse().ok());
            if let (Some(node), Ok(pages)) = (node, pages.parse::<u64>()) {
                *found[index].nodes.entry(node).or_default() += pages * page;
            }
        }
    }
}

/// Takes a line `<start>-<end> …` for each map, and behind it lines `<Name>: <n> kB` and one with flags.
fn add_sizes(text: &str, maps: &[Range<usize>], found: &mut [Standing]) {
    let mut current = None;
    for line in text.lines() {
        let Some((name, rest)) = line.split_once(char::is_whitespace) else { continue };
        if let Some((start, end)) = name.split_once('-') {
            let range = hex(start).zip(hex(end));
            current = range.and_then(|(start, end)| Some((which(maps, start)?, (end - start) as u64)));
            continue;
        }
        let Some((index, bytes)) = current else { continue };
        let standing = &mut found[index];
        let number = || rest.split_ascii_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        match name {
            "ShmemPmdMapped:" | "FilePmdMapped:" => standing.huge += number() << 10,
            "THPeligible:" => standing.may_be_huge = number() > 0,
            "VmFlags:" if rest.split_ascii_whitespace().any(|flag| flag == "lo") => standing.locked += bytes,
            _ => {}
        }
    }
}

fn which(maps: &[Range<usize>], address: usize) -> Option<usize> {
    maps.iter().position(|map| map.contains(&address))
}

fn hex(text: &str) -> Option<usize> {
    usize::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_counted_in_pages_of_their_map() {
        let maps = [0x1000..0x9000, 0x20_0000..0x40_0000];
        let mut found = vec![Standing::default(); 2];
        let text = "1000 default file=/memfd:x\\040(deleted) dirty=3 mapmax=2 N0=2 N3=1 kernelpagesize_kB=4\n\
                    200000 prefer:1 huge dirty=1 N1=1 kernelpagesize_kB=2048\n\
                    7f0000000000 default anon=1 N0=1 kernelpagesize_kB=4\n";
        add_nodes(text, &maps, &mut found);
        assert_eq!(found[0].nodes, BTreeMap::from([(0, 8192), (3, 4096)]));
        assert_eq!(found[1].nodes, BTreeMap::from([(1, 2 << 20)]));
    }

    #[test]
    fn sizes_and_locks_belong_to_the_map_above_them() {
        let maps = [0x1000..0x9000, 0x20_0000..0x40_0000];
        let mut found = vec![Standing::default(); 2];
        let text = "00001000-00009000 rw-s 00000000 00:01 193 /memfd:x (deleted)\nSize: 32 kB\nShmemPmdMapped: 0 kB\n\
                    THPeligible:           0\nVmFlags: rd wr sh lo \n\
                    00200000-00400000 rw-s 00000000 00:01 194 /memfd:y (deleted)\nShmemPmdMapped:     2048 kB\n\
                    THPeligible:           1\nVmFlags: rd wr sh hg \n\
                    7f0000000000-7f0000001000 rw-p 00000000 00:00 0\nShmemPmdMapped: 4 kB\nVmFlags: lo \n";
        add_sizes(text, &maps, &mut found);
        assert_eq!((found[0].huge, found[0].may_be_huge, found[0].locked), (0, false, 0x8000));
        assert_eq!((found[1].huge, found[1].may_be_huge, found[1].locked), (2 << 20, true, 0));
    }
}
