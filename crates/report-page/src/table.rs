//! Tables.

use maud::{Markup, html};

use crate::{axis::number, text};

/// A cell of a table.
#[derive(Debug, Clone)]
pub enum Cell {
    /// A text, also one from outside.
    Text(String),
    /// A text to copy, such as an id or a command.
    Code(String),
    /// A number, aligned at its end.
    Number(f64),
    /// A text that stands with numbers, such as a duration.
    Measure(String),
}

impl Cell {
    /// A text.
    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    /// A text to copy.
    pub fn code(value: impl Into<String>) -> Self {
        Self::Code(value.into())
    }

    /// A count.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no page shows 2^52 of anything")]
    pub fn count(value: u64) -> Self {
        Self::Number(value as f64)
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Number(_) | Self::Measure(_))
    }
}

/// A table with a caption, which may be folded.
#[derive(Debug)]
pub struct Table {
    caption: String,
    head: Vec<String>,
    rows: Vec<Vec<Cell>>,
    is_folded: bool,
}

impl Table {
    /// Returns a table without rows. An empty caption is not shown.
    #[must_use]
    pub fn new<const COLUMNS: usize>(caption: &str, head: [&str; COLUMNS]) -> Self {
        Self { caption: caption.to_owned(), head: head.map(str::to_owned).to_vec(), rows: Vec::new(), is_folded: false }
    }

    /// Shows the caption only until the reader opens it.
    #[must_use]
    pub fn folded(mut self) -> Self {
        self.is_folded = true;
        self
    }

    /// Adds a row.
    pub fn row<const COLUMNS: usize>(&mut self, cells: [Cell; COLUMNS]) {
        self.rows.push(cells.into());
    }

    /// Returns whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Draws it.
    pub(crate) fn markup(&self) -> Markup {
        let is_number = |column: usize| self.rows.first().is_some_and(|row| row[column].is_number());
        let table = html! {
            // The focus lets the keyboard scroll a table that is wider than the page.
            div.scroll tabindex="0" role="region" aria-label=(if self.caption.is_empty() { "Table" } else { &self.caption }) {
                table {
                    @if !self.caption.is_empty() && !self.is_folded { caption { (self.caption) } }
                    @if self.head.iter().any(|name| !name.is_empty()) {
                        thead { tr {
                            @for (column, name) in self.head.iter().enumerate() {
                                th scope="col" class=[is_number(column).then_some("number")] { (name) }
                            }
                        } }
                    }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for cell in row {
                                    @match cell {
                                        Cell::Text(value) => { td { (text(value)) } }
                                        Cell::Code(value) => { td { code { (text(value)) } } }
                                        Cell::Number(value) => { td.number { (number(*value)) } }
                                        Cell::Measure(value) => { td.number { (value) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        };
        if self.is_folded {
            html! { details { summary { (self.caption) } (table) } }
        } else {
            table
        }
    }
}
