//! Tables and numbers for people.

use std::fmt;

/// A table of short texts: the first column is aligned to the left, the others to the right.
#[derive(Debug, Default)]
pub(crate) struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { lines: vec![headings.iter().map(ToString::to_string).collect()] }
    }

    pub(crate) fn line(&mut self, cells: Vec<String>) {
        self.lines.push(cells);
    }

    /// Leaves out the columns in which no line has anything to say.
    pub(crate) fn without_empty_columns(mut self) -> Self {
        let columns = self.lines.first().map_or(0, Vec::len);
        for column in (0..columns).rev() {
            if self.lines.iter().skip(1).all(|line| line[column].is_empty()) {
                self.lines.iter_mut().for_each(|line| drop(line.remove(column)));
            }
        }
        self
    }

    /// The table in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut lines = self.lines.iter();
        let Some(headings) = lines.next() else { return String::new() };
        let rule: Vec<String> =
            (0..headings.len()).map(|column| if column == 0 { "---" } else { "---:" }.to_owned()).collect();
        line(headings) + &line(&rule) + &lines.map(|cells| line(cells)).collect::<String>()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.lines.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in &self.lines {
            let mut text = String::from("  ");
            for (column, cell) in line.iter().enumerate() {
                let width = widths[column];
                text += &if column == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") };
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        Ok(())
    }
}

/// A time in the unit that suits it.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        ns if ns < 100.0 => format!("{ns:.1} ns"),
        ns if ns < 10_000.0 => format!("{ns:.0} ns"),
        ns if ns < 10_000_000.0 => format!("{:.1} us", ns / 1e3),
        ns if ns < 10_000_000_000.0 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.1} s", ns / 1e9),
    }
}

/// An amount in the unit that suits it, three digits or so.
pub(crate) fn amount(value: f64, unit: &str) -> String {
    let text = match value {
        value if value < 1e4 => format!("{value:.0} {unit}"),
        value if value < 1e6 => format!("{:.1} k{unit}", value / 1e3),
        value if value < 1e10 => format!("{:.1} M{unit}", value / 1e6),
        value => format!("{:.1} G{unit}", value / 1e9),
    };
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["system", "p50", "none"]);
        table.line(vec!["slipring".into(), "300 ns".into(), String::new()]);
        table.line(vec!["a".into(), "7 ns".into(), String::new()]);
        let text = table.without_empty_columns().to_string();
        assert_eq!(text, "  system       p50\n  slipring  300 ns\n  a           7 ns\n");
    }

    #[test]
    fn markdown_has_a_rule_under_its_headings() {
        let mut table = Table::new(&["system", "p50"]);
        table.line(vec!["slipring".into(), "300 ns".into()]);
        assert_eq!(table.markdown(), "| system | p50 |\n| --- | ---: |\n| slipring | 300 ns |\n");
    }

    #[test]
    fn times_and_amounts_get_a_unit() {
        assert_eq!(time(4.25), "4.2 ns");
        assert_eq!(time(299.6), "300 ns");
        assert_eq!(time(70_123.0), "70.1 us");
        assert_eq!(time(12_000_000.0), "12.0 ms");
        assert_eq!(amount(950.0, "B/s"), "950 B/s");
        assert_eq!(amount(3_200_000.0, "B/s"), "3.2 MB/s");
    }
}
