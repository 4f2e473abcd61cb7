//! The order in which one key's events arrived, drawn: a panel for each way, and in each a window under the glass.
//!
//! The colours are readable on white and on black, and every text has a width of its own, so that no font moves it.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use devicestate_ordering::{plan::Plan, verdict::most_central_inversion};

use crate::{report::Pictured, ways::Outcome};

const PANEL: (f64, f64) = (420.0, 262.0);
const COLUMNS: usize = 2;
/// The height of the line above the panels, and of the legend below them.
const HEAD: f64 = 30.0;
const LEGEND: f64 = 26.0;
/// How many positions lie under the glass.
const GLASS: usize = 40;

const STYLE: &str = "text{font:12px monospace;fill:#7a828c}.title{font-weight:bold}path{fill:none}\
    .frame{stroke:#7a828c;stroke-width:1}.line{stroke:#7a828c;stroke-width:.7}\
    .mark{stroke-linecap:round;stroke-width:2}.glass .mark{stroke-width:3.4}\
    .next{stroke:#2f81d8}.late{stroke:#e0690f}.again{stroke:#c2408f}";

/// What a mark says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Above all before it.
    Next,
    /// Overtaken by one with a higher number.
    Late,
    /// Not for the first time.
    Again,
}

/// A mark for each entry of a list.
fn kinds_of(list: &[u32]) -> Vec<Kind> {
    let mut seen = BTreeSet::new();
    let kind = |number: &u32| {
        let is_next = seen.last().is_none_or(|highest| number > highest);
        match (seen.insert(*number), is_next) {
            (false, _) => Kind::Again,
            (true, true) => Kind::Next,
            (true, false) => Kind::Late,
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
        self.left + part(position, self.positions) * self.width
    }

    fn y(&self, number: usize) -> f64 {
        self.top + (1.0 - part(number, self.numbers)) * self.height
    }

    fn frame(&self) -> String {
        let Self { left, top, width, height, .. } = self;
        format!("<path class=\"frame\" d=\"M{left:.1} {top:.1}h{width:.1}v{height:.1}h-{width:.1}z\"/>")
    }

    /// A path for each kind, with a dot for each entry.
    fn marks(&self, list: &[u32], kinds: &[Kind], from: usize) -> String {
        let names = [(Kind::Next, "next"), (Kind::Late, "late"), (Kind::Again, "again")];
        let path = |(kind, name): (Kind, &str)| {
            let entries = list.iter().zip(kinds).enumerate().filter(|(_, (_, of))| **of == kind);
            let dots: String = entries.fold(String::new(), |mut dots, (place, (number, _))| {
                let _ = write!(dots, "M{:.1} {:.1}h.01", self.x(from + place), self.y(*number as usize));
                dots
            });
            if dots.is_empty() { dots } else { format!("<path class=\"mark {name}\" d=\"{dots}\"/>") }
        };
        names.map(path).concat()
    }
}

#[expect(clippy::cast_precision_loss, reason = "no list has 2^52 entries")]
fn part(value: usize, (from, to): (f64, f64)) -> f64 {
    (value as f64 - from) / (to - from).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "no list has 2^52 entries")]
fn range(from: usize, to: usize) -> (f64, f64) {
    (from as f64, to as f64)
}

/// A text whose width does not depend on the font.
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
        for (place, (outcome, list)) in self.outcomes.iter().zip(lists).enumerate() {
            let (row, column) = (place / COLUMNS, place % COLUMNS);
            let (left, top) = (range(0, column).1 * PANEL.0, HEAD + range(0, row).1 * PANEL.1);
            writeln!(f, "<g id=\"way-{}\">", outcome.way.letter())?;
            self.panel(f, outcome, list, (left, top))?;
            writeln!(f, "</g>")?;
        }
        let legend = [("next", "above all before it"), ("late", "overtaken"), ("again", "once more")];
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
    fn panel(&self, f: &mut fmt::Formatter, outcome: &Outcome, list: &[u32], (left, top): (f64, f64)) -> fmt::Result {
        let (kinds, highest) = (kinds_of(list), self.plan.events as usize);
        let whole = Plot {
            left: left + 44.0,
            top: top + 34.0,
            width: PANEL.0 - 64.0,
            height: PANEL.1 - 64.0,
            positions: range(0, list.len() + 1),
            numbers: range(0, highest + 1),
        };
        let count = |kind| kinds.iter().filter(|of| **of == kind).count();
        let name = format!("({}) {}", outcome.way.letter(), outcome.way.name(self.plan));
        writeln!(f, "{}", text(whole.left, top + 12.0, "title", &name))?;
        let told = format!("{} overtaken, {} once more", count(Kind::Late), count(Kind::Again));
        writeln!(f, "{}", text(whole.left, top + 27.0, "", &told))?;
        for number in [1, highest] {
            let label = number.to_string();
            let x = whole.left - 6.0 - range(0, label.len()).1 * 7.2;
            writeln!(f, "{}", text(x, whole.y(number) + 4.0, "", &label))?;
        }
        let label = list.len().to_string();
        let x = whole.left + whole.width - range(0, label.len()).1 * 7.2;
        writeln!(f, "{}", text(whole.left, whole.top + whole.height + 15.0, "", "1"))?;
        writeln!(f, "{}", text(x, whole.top + whole.height + 15.0, "", &label))?;
        writeln!(f, "{}\n{}", whole.frame(), whole.marks(list, &kinds, 1))?;
        glass(f, &whole, list, &kinds)
    }
}

/// A window of the list, enlarged in the corner that is always empty: below the diagonal.
fn glass(f: &mut fmt::Formatter, whole: &Plot, list: &[u32], kinds: &[Kind]) -> fmt::Result {
    let from = window(list);
    let to = list.len().min(from + GLASS);
    let seen = &list[from..to];
    let (Some(lowest), Some(highest)) = (seen.iter().min(), seen.iter().max()) else { return Ok(()) };
    let (lowest, highest) = (*lowest as usize, *highest as usize);
    let plot = Plot {
        left: whole.left + whole.width * 0.53,
        top: whole.top + whole.height * 0.53,
        width: whole.width * 0.45,
        height: whole.height * 0.43,
        positions: range(from, to + 1),
        numbers: range(lowest.saturating_sub(1), highest + 1),
    };
    let places: Vec<String> = seen
        .iter()
        .enumerate()
        .map(|(place, number)| format!("{:.1} {:.1}", plot.x(from + place + 1), plot.y(*number as usize)))
        .collect();
    // Where the window lies.
    let corner = (whole.x(from + 1), whole.y(highest));
    let size = (whole.x(to) - corner.0, whole.y(lowest) - corner.1);
    let (x, y) = (corner.0 - 3.0, corner.1 - 3.0);
    let (wide, high) = (size.0 + 6.0, size.1 + 6.0);
    writeln!(f, "<path class=\"frame\" d=\"M{x:.1} {y:.1}h{wide:.1}v{high:.1}h-{wide:.1}z\"/>")?;
    writeln!(f, "<g class=\"glass\">{}", plot.frame())?;
    writeln!(f, "<path class=\"line\" d=\"M{}\"/>", places.join("L"))?;
    writeln!(f, "{}</g>", plot.marks(seen, &kinds[from..to], from + 1))
}

/// Where the window begins: with the inversion that is nearest to the middle of the list in its middle; without any, in the
/// middle of the list.
fn window(list: &[u32]) -> usize {
    let at = most_central_inversion(list).unwrap_or(list.len() / 2);
    at.saturating_sub(GLASS / 2).min(list.len().saturating_sub(GLASS))
}
