//! Tables of text with aligned columns.
//!
//! Cells are written as they are: whoever fills a table makes names from elsewhere safe to show first.

use std::io::{self, Write};

/// To which side of its column a cell goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

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

    /// Writes the heading and the rows.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths: [usize; N] = std::array::from_fn(|i| {
            let cells = self.rows.iter().map(|row| width(&row[i]));
            cells.chain([width(self.columns[i].0)]).max().unwrap_or(0)
        });
        self.write_row(out, &self.columns.map(|(heading, _)| heading), &widths)?;
        for row in &self.rows {
            self.write_row(out, &row.each_ref().map(String::as_str), &widths)?;
        }
        Ok(())
    }

    fn write_row(&self, out: &mut dyn Write, row: &[&str; N], widths: &[usize; N]) -> io::Result<()> {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            if i > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(widths[i].saturating_sub(width(cell)));
            match self.columns[i].1 {
                Align::Left => line.extend([cell, padding.as_str()]),
                Align::Right => line.extend([padding.as_str(), cell]),
            }
        }
        writeln!(out, "{}", line.trim_end())
    }
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
}
