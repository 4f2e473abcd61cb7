//! Draws a report as one HTML file that needs nothing else: no script, no request, its style and pictures inside. It can be read
//! at any width, in light and dark, printed, and with a screen reader.
//!
//! The crate draws and decides nothing: the commands turn their reports into the [`Block`]s of a [`Page`]. `maud` escapes every
//! text, and `text` first makes hidden characters visible, because device ids and issues come from outside.

mod axis;
mod bars;
mod chart;
mod figures;
mod lanes;
mod page;
mod page_file;
mod table;

pub use axis::{number, seconds};
pub use bars::{Bar, Bars};
pub use chart::{Chart, Series};
pub use figures::Figures;
pub use lanes::{Lane, Lanes, Mark, Span};
pub use page::{Block, Outcome, Page, Section};
pub use page_file::PageFile;
pub use table::{Cell, Table};

use maud::Render;

/// The most characters of a text from outside that a page shows.
const MAX_TEXT_CHARS: usize = 500;

/// A text from outside, such as a device id: hidden characters are escaped, and a long text is cut.
fn text(value: &str) -> Text<'_> {
    Text(value)
}

/// See [`text`].
#[derive(Debug, Clone, Copy)]
struct Text<'a>(&'a str);

impl Render for Text<'_> {
    fn render_to(&self, buffer: &mut String) {
        let shown = devicestate_engine::text::first_chars(self.0, MAX_TEXT_CHARS);
        devicestate_engine::text::clean(&shown).render_to(buffer);
    }
}

/// The meaning of a colour. Nothing is said by a colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Most of what is shown.
    Main,
    /// A second series beside the first.
    Second,
    /// What is as it should be.
    Good,
    /// Trouble that was overcome.
    Warning,
    /// A failure.
    Bad,
    /// What is there for comparison.
    Quiet,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Second => "second",
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Quiet => "quiet",
        }
    }
}
