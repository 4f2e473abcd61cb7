//! Draws the order in which one key's events arrived: a panel per strategy, each with an enlarged inset.
//!
//! The colours are readable on white and on black, and every text has a fixed width that does not depend on the font.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use devicestate_ordering::{order_check::most_central_inversion, plan::Plan};

use crate::{report::Pictured, strategy::Outcome};

const PANEL: (f64, f64) = (420.0, 262.0);
const COLUMNS: usize = 2;
/// The height of the line above the panels, and of the legend below them.
const HEAD: f64 = 30.0;
const LEGEND: f64 = 26.0;
/// The number of positions in the inset.
const INSET_POSITIONS: usize = 40;

const STYLE: &str = "text{font:12px monospace;fill:#7a828c}.title{font-weight:bold}path{fill:none}\
    .frame{stroke:#7a828c;stroke-width:1}.line{stroke:#7a828c;stroke-width:.7}\
    .mark{stroke-linecap:round;stroke-width:2}.inset .mark{stroke-width:3.4}\
    .next{stroke:#2f81d8}.overtaken{stroke:#e0690f}.repeated{stroke:#c2408f}";

/// The kind of an event's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The number is greater than all before it.
    Next,
    /// A greater number arrived before it.
    Overtaken,
    /// The number had already arrived.
    Repeated,
}

/// Returns the kind of each entry of a list.
fn kinds_of(list: &[u32]) -> Vec<Kind> {
    let mut seen = BTreeSet::new();
    let kind = |number: &u32| {
        let is_next = seen.last().is_none_or(|highest| number > highest);
        match (seen.insert(*number), is_next) {
            (false, _) => Kind::Repeated,
            (true, true) => Kind::Next,
            (true, false) => Kind::Overtaken,
        }
    };
    list.iter().map(kind).collect()
}

/// A rectangle of the drawing that shows some positions and numbers.
struct Plot {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    positions: (f64, f64),
    numbers: (f64, f64),
}

impl Plot {
    fn x(&self, position: usize) -> f64 {
        self.left + fraction(position, self.positions) * self.width
    }

    fn y(&self, number: usize) -> f64 {
        self.top + (1.0 - fraction(number, self.numbers)) * self.height
    }

    fn frame(&self) -> String {
        let Self { left, top, width, height, .. } = self;
        format!("<path class=\"frame\" d=\"M{left:.1} {top:.1}h{width:.1}v{height:.1}h-{width:.1}z\"/>")
    }

    /// Returns a path per kind, with a dot for each entry.
    fn marks(&self, list: &[u32], kinds: &[Kind], from: usize) -> String {
        let names = [(Kind::Next, "next"), (Kind::Overtaken, "overtaken"), (Kind::Repeated, "repeated")];
        let path = |(kind, name): (Kind, &str)| {
            let entries = list.iter().zip(kinds).enumerate().filter(|(_, (_, other))| **other == kind);
            let dots: String = entries.fold(String::new(), |mut dots, (index, (number, _))| {
                let _ = write!(dots, "M{:.1} {:.1}h.01", self.x(from + index), self.y(*number as usize));
                dots
            });
            if dots.is_empty() { dots } else { format!("<path class=\"mark {name}\" d=\"{dots}\"/>") }
        };
        names.map(path).concat()
    }
}

#[expect(clippy::cast_precision_loss, reason = "no list has 2^52 entries")]
fn fraction(value: usize, (from, to): (f64, f64)) -> f64 {
    (value as f64 - from) / (to - from).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "no list has 2^52 entries")]
fn range(from: usize, to: usize) -> (f64, f64) {
    (from as f64, to as f64)
}

/// Returns a text whose width does not depend on the font.
fn text(x: f64, y: f64, class: &str, text: &str) -> String {
    const ADVANCE: f64 = 7.2;
    #[expect(clippy::cast_precision_loss, reason = "a line of text")]
    let width = text.chars().count() as f64 * ADVANCE;
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" textLength=\"{width:.1}\">{text}</text>")
}

/// The picture as SVG.
pub(crate) struct Picture<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) outcomes: &'a [Outcome],
    pub(crate) pictured: &'a Pictured,
}

impl fmt::Display for Picture<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let rows = self.outcomes.len().div_ceil(COLUMNS);
        let (columns, below) = (range(0, COLUMNS).1, HEAD + range(0, rows).1 * PANEL.1);
        let (width, height) = (columns * PANEL.0, below + LEGEND);
        let Pictured { key, lists } = self.pictured;
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\">\n<title>The order in which the events of {key} arrived</title>\n\
             <style>{STYLE}</style>"
        )?;
        let title = format!("{key}: where in its list (to the right) each event number (upwards) arrived");
        writeln!(f, "{}", text(10.0, 20.0, "title", &title))?;
        for (index, (outcome, list)) in self.outcomes.iter().zip(lists).enumerate() {
            let (row, column) = (index / COLUMNS, index % COLUMNS);
            let (left, top) = (range(0, column).1 * PANEL.0, HEAD + range(0, row).1 * PANEL.1);
            writeln!(f, "<g id=\"strategy-{}\">", outcome.strategy.letter())?;
            self.write_panel(f, outcome, list, (left, top))?;
            writeln!(f, "</g>")?;
        }
        let legend = [("next", "above all before it"), ("overtaken", "overtaken"), ("repeated", "repeated")];
        let mut x = 10.0;
        for (class, name) in legend {
            let y = below + 12.0;
            writeln!(f, "<path class=\"frame {class}\" style=\"stroke-width:8\" d=\"M{x:.1} {:.1}h8\"/>", y - 4.0)?;
            writeln!(f, "{}", text(x + 14.0, y, "", name))?;
            x += 40.0 + range(0, name.len()).1 * 7.2;
        }
        writeln!(f, "</svg>")
    }
}

impl Picture<'_> {
    fn write_panel(
        &self,
        f: &mut fmt::Formatter,
        outcome: &Outcome,
        list: &[u32],
        (left, top): (f64, f64),
    ) -> fmt::Result {
        let (kinds, highest) = (kinds_of(list), self.plan.events as usize);
        let plot = Plot {
            left: left + 44.0,
            top: top + 34.0,
            width: PANEL.0 - 64.0,
            height: PANEL.1 - 64.0,
            positions: range(0, list.len() + 1),
            numbers: range(0, highest + 1),
        };
        let count = |kind| kinds.iter().filter(|other| **other == kind).count();
        let name = format!("({}) {}", outcome.strategy.letter(), outcome.strategy.description(self.plan));
        writeln!(f, "{}", text(plot.left, top + 12.0, "title", &name))?;
        let summary = format!("{} overtaken, {} repeated", count(Kind::Overtaken), count(Kind::Repeated));
        writeln!(f, "{}", text(plot.left, top + 27.0, "", &summary))?;
        for number in [1, highest] {
            let label = number.to_string();
            let x = plot.left - 6.0 - range(0, label.len()).1 * 7.2;
            writeln!(f, "{}", text(x, plot.y(number) + 4.0, "", &label))?;
        }
        let label = list.len().to_string();
        let x = plot.left + plot.width - range(0, label.len()).1 * 7.2;
        writeln!(f, "{}", text(plot.left, plot.top + plot.height + 15.0, "", "1"))?;
        writeln!(f, "{}", text(x, plot.top + plot.height + 15.0, "", &label))?;
        writeln!(f, "{}\n{}", plot.frame(), plot.marks(list, &kinds, 1))?;
        write_inset(f, &plot, list, &kinds)
    }
}

/// Draws a part of the list enlarged in the corner that is always empty: below the diagonal.
fn write_inset(f: &mut fmt::Formatter, plot: &Plot, list: &[u32], kinds: &[Kind]) -> fmt::Result {
    let from = inset_start(list);
    let to = list.len().min(from + INSET_POSITIONS);
    let seen = &list[from..to];
    let (Some(lowest), Some(highest)) = (seen.iter().min(), seen.iter().max()) else { return Ok(()) };
    let (lowest, highest) = (*lowest as usize, *highest as usize);
    let plot = Plot {
        left: plot.left + plot.width * 0.53,
        top: plot.top + plot.height * 0.53,
        width: plot.width * 0.45,
        height: plot.height * 0.43,
        positions: range(from, to + 1),
        numbers: range(lowest.saturating_sub(1), highest + 1),
    };
    let points: Vec<String> = seen
        .iter()
        .enumerate()
        .map(|(index, number)| format!("{:.1} {:.1}", plot.x(from + index + 1), plot.y(*number as usize)))
        .collect();
    // The frame of the enlarged part.
    let corner = (plot.x(from + 1), plot.y(highest));
    let size = (plot.x(to) - corner.0, plot.y(lowest) - corner.1);
    let (x, y) = (corner.0 - 3.0, corner.1 - 3.0);
    let (frame_width, frame_height) = (size.0 + 6.0, size.1 + 6.0);
    writeln!(f, "<path class=\"frame\" d=\"M{x:.1} {y:.1}h{frame_width:.1}v{frame_height:.1}h-{frame_width:.1}z\"/>")?;
    writeln!(f, "<g class=\"inset\">{}", plot.frame())?;
    writeln!(f, "<path class=\"line\" d=\"M{}\"/>", points.join("L"))?;
    writeln!(f, "{}</g>", plot.marks(seen, &kinds[from..to], from + 1))
}

/// Returns the first index of the enlarged part, which is centred on the most central inversion, or on the middle of the list if
/// there is none.
fn inset_start(list: &[u32]) -> usize {
    let centre = most_central_inversion(list).unwrap_or(list.len() / 2);
    centre.saturating_sub(INSET_POSITIONS / 2).min(list.len().saturating_sub(INSET_POSITIONS))
}
