//! Tables of text with aligned columns.
//!
//! Cells are written as they are, and whole but for a terminal that is too narrow: whoever fills a table makes names from elsewhere safe
//! to show first.

use std::borrow::Cow;
use std::io::{self, Write};

/// To which side of its column a cell goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Text that is shortened where a terminal is too narrow for all.
    Elastic,
    /// The same, shortened in its middle: of a path both ends say something.
    Path,
    /// Numbers.
    Right,
}

/// The least width that a column is shortened to.
const LEAST: usize = 8;

/// Characters between columns.
const GAP: usize = 2;

/// Rows under a heading; columns are as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(crate) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the heading and the rows; no line is wider than the terminal, if stdout is one.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let terminal = terminal_size::terminal_size_of(io::stdout());
        self.write_within(terminal.map(|(width, _)| width.0.into()), out)
    }

    fn write_within(&self, limit: Option<usize>, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths(limit.unwrap_or(usize::MAX));
        self.write_row(out, &self.columns.map(|(heading, _)| heading), &widths)?;
        for row in &self.rows {
            self.write_row(out, &row.each_ref().map(String::as_str), &widths)?;
        }
        Ok(())
    }

    /// How wide the columns are: as wide as their widest cell, unless that is too much together. Then the widest are shortened.
    fn widths(&self, limit: usize) -> [usize; N] {
        let mut widths: [usize; N] = std::array::from_fn(|i| {
            let cells = self.rows.iter().map(|row| width(&row[i]));
            cells.chain([width(self.columns[i].0)]).max().unwrap_or(0)
        });
        let elastic = |i: &usize| matches!(self.columns[*i].1, Align::Elastic | Align::Path);
        while widths.iter().sum::<usize>() + GAP * N.saturating_sub(1) > limit {
            let widest = (0..N).filter(elastic).max_by_key(|i| widths[*i]);
            match widest.filter(|i| widths[*i] > LEAST) {
                Some(widest) => widths[widest] -= 1,
                None => break,
            }
        }
        widths
    }

    fn write_row(&self, out: &mut dyn Write, row: &[&str; N], widths: &[usize; N]) -> io::Result<()> {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            if i > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            let align = self.columns[i].1;
            let end = if align == Align::Path { widths[i] / 2 } else { 0 };
            let cell = shortened(cell, widths[i], end);
            let padding = " ".repeat(widths[i].saturating_sub(width(&cell)));
            match align {
                Align::Left | Align::Elastic | Align::Path => line.extend([&*cell, padding.as_str()]),
                Align::Right => line.extend([padding.as_str(), &*cell]),
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
}

/// The text, or its beginning, a sign that there was more, and so many characters of its end.
fn shortened(text: &str, columns: usize, end: usize) -> Cow<'_, str> {
    let whole = width(text);
    if whole <= columns {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(columns.saturating_sub(end + 1)).collect();
    short.push('…');
    short.extend(text.chars().skip(whole - end));
    Cow::Owned(short)
}

/// How many columns of a terminal a text takes, where each character takes one.
fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_do_not_end_in_spaces() {
        let mut table = Table::new([("Id", Align::Left), ("Files", Align::Right), ("Paths", Align::Left)]);
        table.push(["3fa94c1e".into(), "7".into(), "/home/é".into()]);
        table.push(["00000000".into(), "78,624".into(), String::new()]);
        let mut out = Vec::new();

        table.write(&mut out).unwrap();

        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Id         Files  Paths\n3fa94c1e       7  /home/é\n00000000  78,624\n"
        );
    }

    #[test]
    fn what_a_terminal_has_no_room_for_is_shortened() {
        let columns = [Align::Left, Align::Elastic, Align::Elastic, Align::Path];
        let mut table = Table::new(columns.map(|align| ("Heading", align)));
        let row = ["3fa94c1e", "laptop.example.org", "short", "/home/alice/Pictures/of/a/trip"];
        table.push(row.map(str::to_owned));
        let lines = |limit| {
            let mut out = Vec::new();
            table.write_within(limit, &mut out).unwrap();
            String::from_utf8(out).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };

        assert_eq!(lines(None)[1], "3fa94c1e  laptop.example.org  short    /home/alice/Pictures/of/a/trip");
        assert_eq!(lines(Some(60))[1], "3fa94c1e  laptop.example.org  short    /home/alic…/of/a/trip");
        assert_eq!(lines(Some(45))[1], "3fa94c1e  laptop.exam…  short    /home…a/trip");
        for limit in 37..80 {
            assert!(lines(Some(limit)).iter().all(|line| width(line) <= limit), "{limit}");
        }
        assert_eq!(lines(Some(5)), lines(Some(20)), "what is left says something");
    }
}
