//! Tables.

use std::fmt;

use devicestate_engine::text::clean;

/// A table for a reader: numbers are aligned right, text left.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table with these column names.
    #[must_use]
    pub fn new<T: Into<String>>(head: impl IntoIterator<Item = T>) -> Self {
        let mut table = Self::default();
        table.row(head);
        table
    }

    /// Adds a row.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cell = |cell: T| clean(&cell.into()).replace(['\n', '\t'], "\u{fffd}");
        self.rows.push(cells.into_iter().map(cell).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column| self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or_default();
        let is_number = |text: &str| text.is_empty() || text.parse::<f64>().is_ok();
        let is_right_aligned = |column| self.rows.iter().skip(1).all(|row| is_number(&cell(row, column)));
        let layout: Vec<(usize, bool)> = (0..columns).map(|column| (width(column), is_right_aligned(column))).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (width, right)) in layout.iter().enumerate() {
                let text = cell(row, column);
                let padding = " ".repeat(width - text.chars().count());
                let (before, after) = if *right { (padding.as_str(), "") } else { ("", padding.as_str()) };
                line.extend([if column == 0 { "" } else { "  " }, before, &text, after]);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
