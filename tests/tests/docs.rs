//! The pages hold together: what they link to is there, and so is every example, verb and page that they name.
//!
//! Whether the code in them is right is for the documentation tests of the product, which run it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A page, from the root of the repository.
struct Page {
    path: PathBuf,
    text: String,
}

impl Page {
    /// Its lines, with their numbers, and whether each stands in a fenced block.
    fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let mut fenced = false;
        self.text.lines().enumerate().map(move |(index, line)| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            (index + 1, line, fenced || fence)
        })
    }

    /// What its headings are called in links, as the pages of a repository and of a book have it.
    fn anchors(&self) -> BTreeSet<String> {
        let headings = self.lines().filter(|(_, line, fenced)| !fenced && line.starts_with('#'));
        headings.map(|(_, line, _)| anchor(line.trim_start_matches('#'))).collect()
    }

    /// A place in it, for a message.
    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }
}

/// The anchor of a heading: small letters, no punctuation, hyphens for spaces.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

/// Every file of the repository whose name ends so.
fn files(end: &str) -> Vec<Page> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository") {
            let entry = entry.expect("an entry");
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(end) {
                let text = fs::read_to_string(&path).expect("it is text");
                found.push(Page { path: path.strip_prefix(&root).expect("below the root").to_owned(), text });
            }
        }
    }
    found
}

fn pages() -> Vec<Page> {
    let pages = files(".md");
    assert!(pages.len() > 15, "the pages are not where they are looked for");
    pages
}

/// The targets of the links in a line: what stands in the brackets of `](…)`, but for those in code.
fn links(line: &str) -> Vec<&str> {
    let starts = line.match_indices("](").filter(|(at, _)| line[..*at].matches('`').count().is_multiple_of(2));
    starts.map(|(at, _)| line[at + 2..].split(')').next().unwrap_or_default()).collect()
}

/// What stands behind `before` in a line, as long as it is a name.
fn names_behind<'a>(line: &'a str, before: &str) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let rests = line.split(before).skip(1);
    rests.map(|rest| rest.split(|c| !is_part(c)).next().unwrap_or(rest)).filter(|name| !name.is_empty()).collect()
}

/// Fails with every breach that was found, so that they can be mended in one go.
fn assert_none(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}:\n  {}", breaches.join("\n  "));
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_of_it() {
    let (root, pages) = (root(), pages());
    let mut breaches = Vec::new();
    for page in &pages {
        for (number, line, _) in page.lines().filter(|(_, _, fenced)| !fenced) {
            for link in links(line).into_iter().filter(|link| !link.contains("://")) {
                let (file, heading) = link.split_once('#').map_or((link, None), |(file, name)| (file, Some(name)));
                let folder = root.join(&page.path).parent().expect("a file is in a folder").to_owned();
                let target = if file.is_empty() { root.join(&page.path) } else { folder.join(file) };
                let Ok(target) = target.canonicalize() else {
                    breaches.push(format!("{} links to {link}, which is not there", page.at(number)));
                    continue;
                };
                let Some(heading) = heading else { continue };
                let linked =
                    pages.iter().find(|page| root.join(&page.path).canonicalize().ok().as_ref() == Some(&target));
                if !linked.is_some_and(|page| page.anchors().contains(heading)) {
                    breaches.push(format!("{} links to {link}, which has no such heading", page.at(number)));
                }
            }
        }
    }
    assert_none("a link that leads nowhere", &breaches);
}

#[test]
fn every_example_that_is_named_exists_and_every_one_that_exists_is_named() {
    let folder = root().join("examples/rust");
    let entries = fs::read_dir(folder).expect("the examples").map(|entry| entry.expect("an entry").path());
    let there: BTreeSet<String> =
        entries.filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect();
    let (mut breaches, mut told) = (Vec::new(), BTreeSet::new());
    for page in pages() {
        for (number, line, _) in page.lines() {
            for name in names_behind(line, "--example ") {
                if !there.contains(name) {
                    breaches.push(format!("{} names {name}", page.at(number)));
                }
                if page.path == Path::new("README.md") {
                    told.insert(name.to_owned());
                }
            }
        }
    }
    breaches.extend(there.difference(&told).map(|name| format!("README.md does not name {name}")));
    assert_none("an example that is not there, or of which nobody learns", &breaches);
}

#[test]
fn every_verb_that_is_named_is_in_the_makefile() {
    let makefile = fs::read_to_string(root().join("Makefile")).expect("the Makefile");
    let verbs: BTreeSet<&str> = makefile.lines().filter_map(|line| Some(line.split_once(": ##")?.0)).collect();
    assert!(verbs.contains("test"), "the verbs are not where they are looked for: {verbs:?}");
    let mut breaches = Vec::new();
    for page in pages() {
        for (number, line, fenced) in page.lines() {
            let typed = if fenced && line.starts_with("make ") { names_behind(line, "make ") } else { Vec::new() };
            for verb in names_behind(line, "`make ").into_iter().chain(typed.into_iter().take(1)) {
                if !verbs.contains(verb) {
                    breaches.push(format!("{} names make {verb}", page.at(number)));
                }
            }
        }
    }
    assert_none("a verb that is not there", &breaches);
}

#[test]
fn every_page_that_the_sources_name_exists() {
    let mut breaches = Vec::new();
    for source in files(".rs") {
        for (number, line, _) in source.lines() {
            for (at, _) in line.match_indices("docs/") {
                let named = line[at..].split([' ', '`', '"', ')', ',', ';', '#']).next().unwrap_or_default();
                if named.ends_with(".md") && !root().join(named).exists() {
                    breaches.push(format!("{} names {named}", source.at(number)));
                }
            }
        }
    }
    assert_none("a page that is not there", &breaches);
}

#[test]
fn every_file_that_a_rule_names_exists_and_has_what_is_named_behind_it() {
    let rules = pages().into_iter().find(|page| page.path == Path::new("docs/PROTOCOL.md")).expect("the rules");
    let sources = files(".rs");
    let mut breaches = Vec::new();
    for place in rules.text.split("*Where:*").skip(1) {
        let mut file = "";
        let place = place.split("\n\n").next().unwrap_or_default();
        // What stands in quotes: a file, then names in it or in the folder of its modules.
        for name in place.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") {
                file = name;
            }
            let (file, folder) = (format!("core/src/{file}"), format!("core/src/{}/", file.trim_end_matches(".rs")));
            let is_there = |page: &&Page| page.path == Path::new(&file) || page.path.starts_with(&folder);
            let mut there = sources.iter().filter(is_there);
            let found = if name.ends_with(".rs") {
                there.any(|page| page.path == Path::new(&file))
            } else {
                let word = name.rsplit("::").next().unwrap_or(name);
                name.contains('/') || there.any(|page| has_word(&page.text, word))
            };
            if !found {
                breaches.push(format!("{name} is not in {file}"));
            }
        }
    }
    assert_none("a place of a rule that is not there", &breaches);
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn the_summary_of_the_guide_lists_its_chapters() {
    let folder = Path::new("docs/guide/src");
    let chapters = pages().into_iter().filter(|page| page.path.starts_with(folder));
    let (summary, chapters): (Vec<_>, Vec<_>) = chapters.partition(|page| page.path.ends_with("SUMMARY.md"));
    let listed: BTreeSet<&str> = summary.iter().flat_map(|page| page.text.lines()).flat_map(links).collect();
    let there = chapters.iter().filter_map(|page| page.path.file_name()?.to_str());
    assert_eq!(listed, there.collect());
}

#[test]
fn pages_are_read_as_they_are_meant() {
    assert_eq!(links("see [a](b.md#c), `[x](y)` and [d](e)"), ["b.md#c", "e"]);
    assert_eq!(anchor(" What *each* costs: 3"), "what-each-costs-3");
    assert_eq!(names_behind("run `make loom`, or `make miri N=3`", "`make "), ["loom", "miri"]);
    let page = Page { path: PathBuf::new(), text: "# One\n```sh\n# no heading\n```\n## Two\n".to_owned() };
    assert_eq!(page.anchors(), ["one", "two"].map(str::to_owned).into());
}
