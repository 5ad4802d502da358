//! The table of what each path took: a text file for each compiler and processor, a line for each path.
//!
//! It is made by the program and may be mended by hand. Whatever in it cannot be understood is an error with its line, so that
//! a damaged table never passes for one in which nothing has grown.

use std::fmt::{self, Display, Formatter, Write as _};
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::parts::PARTS;

/// The first line, for whoever opens the file.
const TITLE: &str =
    "# Instructions a message by path, counted by callgrind: make icount compares, make icount KEEP=1 writes.";

/// What the second line begins with.
const MACHINE: &str = "# machine: ";

/// What the paths took.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Table {
    /// Compiler, instrument, C library and processor.
    pub(crate) machine: String,
    /// Names and instructions, in the order of the file.
    pub(crate) rows: Vec<(String, f64)>,
}

impl Table {
    /// The table in this file; `None` if there is no file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let damaged = || format!("{} is damaged: mend it, or write it anew with make icount KEEP=1", path.display());
        Self::parse(&text).map(Some).with_context(damaged)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut table = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(machine) = line.strip_prefix(MACHINE) {
                machine.clone_into(&mut table.machine);
            } else if !line.starts_with('#') && !line.trim().is_empty() {
                table.parse_row(line).with_context(|| format!("line {number}"))?;
            }
        }
        ensure!(!table.rows.is_empty(), "it has no lines");
        Ok(table)
    }

    fn parse_row(&mut self, line: &str) -> Result<()> {
        let [name, count] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            bail!("`{line}` is not a path and its instructions");
        };
        let number = count.parse().ok().filter(|count: &f64| count.is_finite() && *count > 0.0);
        let number = number.with_context(|| format!("`{count}` is not a number of instructions"))?;
        ensure!(PARTS.iter().any(|part| part.name == name), "there is no path {name} (slipring-icount list)");
        ensure!(self.get(name).is_none(), "{name} is there twice");
        self.rows.push((name.to_owned(), number));
        Ok(())
    }

    /// What a path took.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|(row, _)| row == name).map(|(_, count)| *count)
    }

    /// It takes so much from now on.
    pub(crate) fn set(&mut self, name: &str, count: f64) {
        match self.rows.iter_mut().find(|(row, _)| row == name) {
            Some((_, old)) => *old = count,
            None => self.rows.push((name.to_owned(), count)),
        }
    }

    /// Writes the file, and the folder if need be.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        std::fs::write(path, self.to_string()).with_context(|| format!("write {}", path.display()))
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{TITLE}\n{MACHINE}{}", self.machine)?;
        self.rows.iter().try_for_each(|(name, count)| writeln!(f, "{name:<18} {count:>9.1}"))
    }
}

/// What has become of a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// The table has no line for it.
    New,
    /// It takes as much as it took, or little more or less: by so many per cent.
    Little(f64),
    /// It takes so many per cent less.
    Shrunk(f64),
    /// It takes so many per cent more, and that is too much.
    Grown(f64),
}

impl Change {
    /// From `was` to `is`, where more than `limit` per cent is too much.
    pub(crate) fn of(was: Option<f64>, is: f64, limit: f64) -> Self {
        let Some(was) = was else { return Self::New };
        let by = (is / was - 1.0) * 100.0;
        // What is printed with one digit is compared with one digit: a table says 20.0 for 19.96 too.
        let by = if (is - was).abs() < 0.1 { 0.0 } else { by };
        if by > limit {
            Self::Grown(by)
        } else if by < -limit {
            Self::Shrunk(-by)
        } else {
            Self::Little(by)
        }
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new: make icount KEEP=1 keeps it"),
            Self::Little(by) => write!(f, "{by:+.1} %"),
            Self::Shrunk(by) => write!(f, "-{by:.1} %: make icount KEEP=1 keeps it"),
            Self::Grown(by) => write!(f, "{by:+.1} %: too much"),
        }
    }
}

/// `text` as a part of a file's name: letters, digits and what is in `also`; hyphens for all else.
pub(crate) fn plain(text: &str, also: &str) -> String {
    let mut name = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && !also.contains(c)).filter(|word| !word.is_empty()) {
        let hyphen = if name.is_empty() { "" } else { "-" };
        write!(name, "{hyphen}{word}").expect("a string grows");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why_not(text: &str) -> String {
        format!("{:#}", Table::parse(text).unwrap_err())
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let rows = vec![("publish-32".to_owned(), 61.5), ("recv-32".to_owned(), 70.0)];
        let table = Table { machine: "rustc 1.95.0 | valgrind-3.19.0".to_owned(), rows };
        assert_eq!(Table::parse(&table.to_string()).unwrap(), table);
    }

    #[test]
    fn damage_is_told_with_its_line() {
        assert_eq!(why_not(""), "it has no lines");
        assert_eq!(why_not("publish-32 61.5\nrecv-32\n"), "line 2: `recv-32` is not a path and its instructions");
        assert_eq!(why_not("publish-32 many"), "line 1: `many` is not a number of instructions");
        assert_eq!(why_not("publish-32 0"), "line 1: `0` is not a number of instructions");
        assert_eq!(why_not("publish-32 NaN"), "line 1: `NaN` is not a number of instructions");
        assert_eq!(why_not("# \n\npublish 61.5"), "line 3: there is no path publish (slipring-icount list)");
        assert_eq!(why_not("publish-32 1\npublish-32 2"), "line 2: publish-32 is there twice");
    }

    #[test]
    fn growth_is_too_much_beyond_the_limit_only() {
        assert_eq!(Change::of(None, 100.0, 3.0), Change::New);
        assert!(matches!(Change::of(Some(100.0), 102.9, 3.0), Change::Little(_)));
        assert!(matches!(Change::of(Some(100.0), 103.2, 3.0), Change::Grown(by) if by > 3.1));
        assert!(matches!(Change::of(Some(100.0), 96.0, 3.0), Change::Shrunk(by) if by > 3.9));
        assert_eq!(Change::of(Some(2.0), 2.09, 3.0), Change::Little(0.0));
    }

    #[test]
    fn names_of_files_are_plain() {
        assert_eq!(plain("Intel(R) Xeon(R) Processor", ""), "Intel-R-Xeon-R-Processor");
        assert_eq!(plain("1.95.0", "."), "1.95.0");
        assert_eq!(plain("AMD EPYC 7B13 @ 2.45GHz ", ""), "AMD-EPYC-7B13-2-45GHz");
    }
}
