//! Reads the values and tables of the pages about capacity and costs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

/// A page with values and tables in blocks of text.
#[derive(Clone, Copy)]
pub(crate) struct Page(&'static str);

pub(crate) static CAPACITY: Page = Page(include_str!("../../docs/operate/capacity.md"));
pub(crate) static COSTS: Page = Page(include_str!("../../docs/operate/costs.md"));

impl Page {
    /// Returns the page with a part replaced by another text.
    pub(crate) fn with(self, part: &str, text: &str) -> Self {
        let start = part.as_ptr().addr() - self.0.as_ptr().addr();
        Self([&self.0[..start], text, &self.0[start + part.len()..]].concat().leak())
    }

    /// Returns the words of the page, one blank apart.
    pub(crate) fn words(self) -> String {
        self.0.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Returns the text of a section.
    pub(crate) fn section(self, name: &str) -> &'static str {
        let (_, text) = self.0.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no section {name}"));
        text.split_once("\n## ").map_or(text, |(text, _)| text)
    }

    /// Returns the text blocks of a section.
    pub(crate) fn blocks(self, name: &str) -> impl DoubleEndedIterator<Item = &'static str> {
        let blocks: Vec<_> = self.section(name).split("```text\n").skip(1).collect();
        blocks.into_iter().map(|rest| rest.split("```").next().expect("a block"))
    }

    /// Returns the rows of a section's last text block, with cells by column.
    pub(crate) fn table(self, name: &str) -> Vec<BTreeMap<&'static str, &'static str>> {
        let mut lines = self.blocks(name).next_back().unwrap_or_else(|| panic!("no table in {name}")).lines();
        let columns: Vec<_> = cells(lines.next().expect("the names of the columns")).collect();
        let row = |line| {
            assert_eq!(cells(line).count(), columns.len(), "{line}");
            columns.iter().copied().zip(cells(line)).collect()
        };
        let rows: Vec<_> = lines.map(row).collect();
        assert!(!rows.is_empty(), "no rows in {name}");
        rows
    }
}

/// The values of both pages, by name.
pub(crate) struct Values {
    all: BTreeMap<&'static str, f64>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl Values {
    pub(crate) fn read() -> Self {
        Self::of(COSTS)
    }

    /// Returns the values of the capacity page and of this page of costs.
    pub(crate) fn of(costs: Page) -> Self {
        let lines = CAPACITY.blocks("Values").chain(costs.blocks("Prices")).flat_map(str::lines);
        let named = lines.map(|line| {
            let mut cells = cells(line);
            (cells.next().expect("a name"), number(cells.next().expect("a value")))
        });
        let mut all = BTreeMap::new();
        for (name, value) in named {
            assert!(all.insert(name, value).is_none(), "{name} is defined twice");
        }
        Self { all, used: RefCell::default() }
    }

    pub(crate) fn get(&self, name: &str) -> f64 {
        let (name, value) = self.all.get_key_value(name).unwrap_or_else(|| panic!("no value `{name}`"));
        self.used.borrow_mut().insert(*name);
        *value
    }

    /// Returns the values that no figure needed.
    pub(crate) fn unused(&self) -> Vec<&'static str> {
        self.all.keys().filter(|name| !self.used.borrow().contains(*name)).copied().collect()
    }
}

/// Returns the cells of a line, which two or more blanks separate.
pub(crate) fn cells(line: &'static str) -> impl Iterator<Item = &'static str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty())
}

pub(crate) fn number(text: &str) -> f64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}
