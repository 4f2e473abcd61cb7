//! The page.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{Bars, Chart, Figures, Lanes, Table, text};

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed,
    /// Before its end, by a signal.
    Interrupted,
}

impl Outcome {
    fn word_and_class(self) -> (&'static str, &'static str) {
        match self {
            Self::Passed => ("passed", "good"),
            Self::Failed => ("failed", "bad"),
            Self::Interrupted => ("interrupted", "warning"),
        }
    }
}

/// A part of a section.
#[derive(Debug)]
pub enum Block {
    /// A timeline.
    Lanes(Lanes),
    /// A chart.
    Chart(Chart),
    /// Bars.
    Bars(Bars),
    /// A table.
    Table(Table),
    /// A paragraph. It may have texts from outside.
    Text(String),
    /// Lines to copy.
    Commands(Vec<String>),
    /// Parts beside each other, if the page is wide enough.
    Columns(Vec<Block>),
}

impl Block {
    fn markup(&self) -> Markup {
        match self {
            Self::Lanes(lanes) => lanes.markup(),
            Self::Chart(chart) => chart.markup(),
            Self::Bars(bars) => bars.markup(),
            Self::Table(table) => table.markup(),
            Self::Text(line) => html! { p { (text(line)) } },
            Self::Commands(lines) => html! { pre { @for line in lines { (text(line)) "\n" } } },
            Self::Columns(blocks) => html! { div.grid-2 { @for block in blocks { div.column { (block.markup()) } } } },
        }
    }
}

/// A section of a page.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub heading: &'static str,
    /// What it is about; may be empty.
    pub note: String,
    /// Its content.
    pub blocks: Vec<Block>,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// How the command ended.
    pub outcome: Outcome,
    /// What was done, in a line. It may have names from outside.
    pub summary: String,
    /// Why the command did not pass; may be empty.
    pub reason: String,
    /// The most important figures.
    pub figures: Figures,
    /// The sections.
    pub sections: Vec<Section>,
    /// The program and its version, and when the page was made.
    pub made: String,
}

impl Page {
    /// Returns the text of the file.
    #[must_use]
    pub fn into_html(self) -> String {
        let Self { title, outcome, summary, reason, figures, sections, made } = self;
        let (word, class) = outcome.word_and_class();
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    // The page may show anything that a device sent, and must run and request nothing.
                    meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) ": " (word) }
                    style { (PreEscaped(include_str!("page.css"))) }
                }
                body {
                    header {
                        h1 { (title) " " span class={ "outcome " (class) } { (word) } }
                        p { (text(&summary)) }
                        @if !reason.is_empty() { p class={ "reason " (class) } { (text(&reason)) } }
                    }
                    main {
                        (figures.markup())
                        @for section in sections {
                            section {
                                h2 { (section.heading) }
                                @if !section.note.is_empty() { p.note { (section.note) } }
                                @for block in &section.blocks { (block.markup()) }
                            }
                        }
                    }
                    footer { p { (made) } }
                }
            }
        }
        .into_string()
    }
}
