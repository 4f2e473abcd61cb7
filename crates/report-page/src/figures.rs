//! The figures at the top of a page.

use maud::{Markup, html};

use crate::Tone;

/// Figures, each large and with its name.
#[derive(Debug, Default)]
pub struct Figures(Vec<(String, String, Tone)>);

impl Figures {
    /// Adds a figure with its name.
    pub fn add(&mut self, name: &str, value: impl Into<String>, tone: Tone) {
        self.0.push((name.to_owned(), value.into(), tone));
    }

    /// Draws them.
    pub(crate) fn markup(&self) -> Markup {
        html! {
            dl.figures {
                @for (name, value, tone) in &self.0 {
                    div class=(tone.class()) { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}
