//! Horizontal bars, one for each name: how often something occurred.

use maud::{Markup, html};

use crate::{
    Tone,
    axis::{number, percent},
    text,
};

/// A bar.
#[derive(Debug)]
pub struct Bar {
    /// Its name, which may come from outside.
    pub name: String,
    /// Its length.
    pub value: f64,
    /// Its colour.
    pub tone: Tone,
}

/// Bars of the same unit.
#[derive(Debug)]
pub struct Bars {
    /// What the bars show.
    pub title: String,
    /// What is counted.
    pub unit: String,
    /// The whole of which the bars are parts. Without it, the longest bar has the full width.
    pub whole: Option<f64>,
    /// The bars.
    pub bars: Vec<Bar>,
}

impl Bars {
    /// Draws them as a table, so that the numbers are in it.
    pub(crate) fn markup(&self) -> Markup {
        let longest = self.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
        let whole = self.whole.unwrap_or(longest);
        html! {
            div.scroll tabindex="0" role="region" aria-label=(self.title) {
                table.bars {
                    caption { (self.title) }
                    thead.hidden { tr { th scope="col" { "Name" } th scope="col" { (self.unit) } th scope="col" { "Share" } } }
                    tbody {
                        @for bar in &self.bars {
                            tr {
                                th scope="row" { (text(&bar.name)) }
                                td.number { (number(bar.value)) }
                                td {
                                    svg width="100%" height="12" aria-hidden="true" {
                                        rect class="groove" width="100%" height="12" rx="3" {}
                                        rect class=(bar.tone.class()) width=(width(bar.value, whole)) height="12" rx="3" {}
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the length of a bar. A value that is not 0 is visible.
fn width(value: f64, whole: f64) -> String {
    let percent = percent(value, whole);
    format!("{:.2}%", if value > 0.0 { percent.max(0.7) } else { percent })
}
