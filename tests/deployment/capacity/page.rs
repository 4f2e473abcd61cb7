//! Reads the values and tables of the page.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

const DOCUMENT: &str = include_str!("../../../docs/operate/capacity.md");

/// The values of the document, by name.
pub(super) struct Values {
    all: BTreeMap<&'static str, f64>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl Values {
    pub(super) fn read() -> Self {
        let named = blocks("Values").flat_map(str::lines).map(|line| {
            let mut cells = cells(line);
            (cells.next().expect("a name"), number(cells.next().expect("a value")))
        });
        let mut all = BTreeMap::new();
        for (name, value) in named {
            assert!(all.insert(name, value).is_none(), "{name} is defined twice");
        }
        Self { all, used: RefCell::default() }
    }

    pub(super) fn get(&self, name: &str) -> f64 {
        let (name, value) = self.all.get_key_value(name).unwrap_or_else(|| panic!("no value `{name}`"));
        self.used.borrow_mut().insert(*name);
        *value
    }

    /// Returns the values that no figure needed.
    pub(super) fn unused(&self) -> Vec<&'static str> {
        self.all.keys().filter(|name| !self.used.borrow().contains(*name)).copied().collect()
    }
}

/// Returns the text of a section.
fn section(name: &str) -> &'static str {
    let (_, text) = DOCUMENT.split_once(&format!("\n## {name}\n")).unwrap_or_else(|| panic!("no section {name}"));
    text.split_once("\n## ").map_or(text, |(text, _)| text)
}

/// Returns the text blocks of a section.
fn blocks(name: &str) -> impl DoubleEndedIterator<Item = &'static str> {
    let blocks: Vec<_> = section(name).split("```text\n").skip(1).collect();
    blocks.into_iter().map(|rest| rest.split("```").next().expect("a block"))
}

/// Returns the cells of a line, which two or more blanks separate.
fn cells(line: &'static str) -> impl Iterator<Item = &'static str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty())
}

/// Returns the rows of a section's last text block, with cells by column.
pub(super) fn table(name: &str) -> Vec<BTreeMap<&'static str, &'static str>> {
    let mut lines = blocks(name).next_back().unwrap_or_else(|| panic!("no table in {name}")).lines();
    let columns: Vec<_> = cells(lines.next().expect("the names of the columns")).collect();
    let row = |line| {
        assert_eq!(cells(line).count(), columns.len(), "{line}");
        columns.iter().copied().zip(cells(line)).collect()
    };
    let rows: Vec<_> = lines.map(row).collect();
    assert!(!rows.is_empty(), "no rows in {name}");
    rows
}

pub(super) fn number(text: &str) -> f64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}
