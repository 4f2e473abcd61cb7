//! Charts of values over the time of a run.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::{
    Tone,
    axis::{number, percent, round_up, seconds, ticks},
};

/// Pixels of the area in which the values are drawn.
const HEIGHT: f64 = 120.0;

/// Pixels above the area, for the label of the upper end.
const TOP: f64 = 16.0;

/// Pixels below the area, for the times.
const BOTTOM: f64 = 20.0;

/// The width of the coordinates of lines. They are stretched to the width of the page.
const WIDTH: f64 = 1_000.0;

/// A value over time.
#[derive(Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its colour. A second series is a broken line, too.
    pub tone: Tone,
    /// Seconds from the start, in order, and the values from there on.
    pub points: Vec<(f64, f64)>,
}

/// Values over the time of a run. Its text has the same size at each width.
#[derive(Debug)]
pub struct Chart {
    /// The id of its element, different from those of other charts of the page.
    pub id: String,
    /// What it shows, with the unit.
    pub title: String,
    /// What there is to see, for those who do not see it.
    pub description: String,
    /// The end of the time, in seconds.
    pub end: f64,
    /// The values.
    pub series: Vec<Series>,
    /// Times that are marked by a line.
    pub marks: Vec<f64>,
}

impl Chart {
    /// Draws it.
    pub(crate) fn markup(&self) -> Markup {
        let Self { id, title, description, end, series, marks } = self;
        let highest = series.iter().flat_map(|series| &series.points).map(|(_, value)| *value).fold(0.0, f64::max);
        let top = round_up(highest);
        let (title_id, description_id) = (format!("{id}-title"), format!("{id}-description"));
        html! {
            figure.chart {
                figcaption {
                    strong { (title) }
                    @if series.len() > 1 {
                        @for series in series {
                            span class={ "key " (series.tone.class()) } { (series.name) }
                        }
                    }
                }
                svg width="100%" height=(TOP + HEIGHT + BOTTOM) role="img"
                    aria-labelledby={ (title_id) " " (description_id) } {
                    title id=(title_id) { (title) }
                    desc id=(description_id) { (description) }
                    @for (share, label) in [(0.0, None), (0.5, (top >= 2.0).then_some(top / 2.0)), (1.0, Some(top))] {
                        @let y = TOP + HEIGHT * (1.0 - share);
                        line class="grid" x1="0" x2="100%" y1=(y) y2=(y) {}
                        @if let Some(label) = label { text x="0" y=(y - 4.0) { (number(label)) } }
                    }
                    @for mark in marks {
                        @let x = format!("{:.2}%", percent(*mark, *end));
                        line class="mark" x1=(x) x2=(x) y1=(TOP) y2=(TOP + HEIGHT) {}
                    }
                    svg x="0" y=(TOP) width="100%" height=(HEIGHT) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) }
                        preserveAspectRatio="none" {
                        @for series in series {
                            @let line = line(&series.points, *end, top);
                            @if series.tone != Tone::Second {
                                path class={ "area " (series.tone.class()) } d=(area(&line)) {}
                            }
                            path class={ "line " (series.tone.class()) } d=(line) {}
                        }
                    }
                    (time_axis(*end, TOP + HEIGHT))
                }
            }
        }
    }
}

/// Draws the times below `y`.
pub(crate) fn time_axis(end: f64, y: f64) -> Markup {
    let ticks = ticks(end);
    let last = ticks.len() - 1;
    html! {
        @for (index, tick) in ticks.into_iter().enumerate() {
            @let x = format!("{:.2}%", percent(tick, end));
            line class="tick" x1=(x) x2=(x) y1=(y) y2=(y + 4.0) {}
            @let anchor = if index == 0 { "start" } else if index == last { "end" } else { "middle" };
            text x=(x) y=(y + 16.0) text-anchor=(anchor) { (seconds(tick)) }
        }
    }
}

/// Returns a path with a step at each point, to the end of the time.
fn line(points: &[(f64, f64)], end: f64, top: f64) -> String {
    let mut path = String::new();
    let x = |at: f64| percent(at, end) / 100.0 * WIDTH;
    for (index, (at, value)) in points.iter().enumerate() {
        let y = HEIGHT * (1.0 - (value / top).clamp(0.0, 1.0));
        let command = if index == 0 { "M" } else { "H" };
        let _ = match index {
            0 => write!(path, "{command}{:.1} {y:.1}", x(*at)),
            _ => write!(path, "{command}{:.1}V{y:.1}", x(*at)),
        };
    }
    if !points.is_empty() {
        let _ = write!(path, "H{WIDTH}");
    }
    path
}

/// Returns the path of the area below a line.
fn area(line: &str) -> String {
    let start = line.strip_prefix('M').and_then(|rest| rest.split(' ').next()).unwrap_or("0");
    if line.is_empty() { String::new() } else { format!("{line}V{HEIGHT}H{start}Z") }
}
