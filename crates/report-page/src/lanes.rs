//! A timeline: what happened, in lanes beside each other.

use maud::{Markup, html};

use crate::{Tone, axis::percent, chart::time_axis, text};

/// Pixels of the name of a lane.
const NAME_HEIGHT: f64 = 19.0;

/// Pixels of the band of a lane.
const BAND_HEIGHT: f64 = 18.0;

/// Pixels of the marks of a lane, and of the space after its band.
const MARKS_HEIGHT: f64 = 25.0;
const SPACE: f64 = 6.0;

/// Marks of one lane that are nearer to each other than this, in percent of the width, are drawn as one.
const MIN_DISTANCE_PERCENT: f64 = 4.5;

/// Something that lasted.
#[derive(Debug)]
pub struct Span {
    /// Its start in seconds.
    pub from: f64,
    /// Its end in seconds.
    pub to: f64,
    /// What it was.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
}

/// Something that happened at once.
#[derive(Debug)]
pub struct Mark {
    /// Its time in seconds.
    pub at: f64,
    /// Its number in the table of the page.
    pub number: usize,
    /// What it was.
    pub label: String,
    /// Its colour.
    pub tone: Tone,
}

/// A lane.
#[derive(Debug, Default)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// What lasted.
    pub spans: Vec<Span>,
    /// What happened, in order of time.
    pub marks: Vec<Mark>,
}

/// Lanes with the same time.
#[derive(Debug)]
pub struct Lanes {
    /// The id of its element.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// What there is to see, for those who do not see it.
    pub description: String,
    /// The end of the time, in seconds.
    pub end: f64,
    /// The lanes, from the top.
    pub lanes: Vec<Lane>,
}

impl Lanes {
    /// Draws them.
    pub(crate) fn markup(&self) -> Markup {
        let Self { id, title, description, end, lanes } = self;
        let mut bottom = 0.0;
        let mut placed = Vec::new();
        for lane in lanes {
            placed.push((bottom, lane));
            bottom += NAME_HEIGHT + BAND_HEIGHT + SPACE + if lane.marks.is_empty() { 0.0 } else { MARKS_HEIGHT };
        }
        let (title_id, description_id) = (format!("{id}-title"), format!("{id}-description"));
        html! {
            figure.lanes {
                svg width="100%" height=(bottom + 24.0) role="img"
                    aria-labelledby={ (title_id) " " (description_id) } {
                    title id=(title_id) { (title) }
                    desc id=(description_id) { (description) }
                    @for (y, lane) in placed { (draw(lane, y, *end)) }
                    (time_axis(*end, bottom + 2.0))
                }
            }
        }
    }
}

fn draw(lane: &Lane, y: f64, end: f64) -> Markup {
    let band = y + NAME_HEIGHT;
    let pins = band + BAND_HEIGHT + 5.0;
    let x = |at: f64| format!("{:.2}%", percent(at, end));
    html! {
        text class="lane" x="0" y=(y + 13.0) { (lane.name) }
        rect class="groove" x="0" y=(band) width="100%" height=(BAND_HEIGHT) rx="4" {}
        @for span in &lane.spans {
            // An own picture cuts the label where the span ends.
            svg x=(x(span.from)) y=(band) width=(x(span.to - span.from)) height=(BAND_HEIGHT) {
                title { (text(&span.label)) }
                rect class={ "span " (span.tone.class()) } width="100%" height=(BAND_HEIGHT) rx="4" {}
                text class={ "on " (span.tone.class()) } x="6" y="13" { (text(&span.label)) }
            }
        }
        @for marks in grouped(&lane.marks, end) {
            @let label = numbers(marks);
            @let half = 9.0_f64.max(label.chars().fold(5.0, |half, _| half + 3.6));
            // An own picture takes its place in percent and its size in pixels.
            svg class="over" x=(x(marks[0].at)) y=(pins) width="1" height="20" {
                title { @for mark in marks { (mark.number) ": " (text(&mark.label)) "; " } }
                line class={ "pin " (worst(marks).class()) } x1="0" x2="0" y1=(-5.0 - BAND_HEIGHT) y2="1" {}
                rect class={ "pin " (worst(marks).class()) } x=(-half) y="1" width=(half * 2.0) height="18" rx="9" {}
                text class={ "pin " (worst(marks).class()) } x="0" y="14" text-anchor="middle" { (label) }
            }
        }
    }
}

/// Returns the marks that are drawn as one, by the distance from the first of them.
fn grouped(marks: &[Mark], end: f64) -> impl Iterator<Item = &[Mark]> {
    let mut rest = marks;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let is_near = |mark: &Mark| percent(mark.at, end) - percent(first.at, end) < MIN_DISTANCE_PERCENT;
        let count = rest.iter().take_while(|mark| is_near(mark)).count().max(1);
        let (group, after) = rest.split_at(count);
        rest = after;
        Some(group)
    })
}

/// Returns the numbers of marks: `3`, `3, 4` or `3-7`.
fn numbers(marks: &[Mark]) -> String {
    match marks {
        [one] => one.number.to_string(),
        [one, two] => format!("{}, {}", one.number, two.number),
        [first, .., last] => format!("{}-{}", first.number, last.number),
        [] => String::new(),
    }
}

fn worst(marks: &[Mark]) -> Tone {
    let has = |tone| marks.iter().any(|mark| mark.tone == tone);
    [Tone::Bad, Tone::Warning].into_iter().find(|tone| has(*tone)).unwrap_or(marks[0].tone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_at_nearly_the_same_time_are_one_mark_with_all_their_numbers() {
        let marks = |times: &[f64]| -> Vec<Mark> {
            let mark = |(index, at): (usize, &f64)| Mark {
                at: *at,
                number: index + 1,
                label: String::new(),
                tone: Tone::Main,
            };
            times.iter().enumerate().map(mark).collect()
        };
        let labels = |times: &[f64]| grouped(&marks(times), 100.0).map(numbers).collect::<Vec<_>>();
        assert_eq!(labels(&[]), [""; 0]);
        assert_eq!(labels(&[1.0, 50.0, 51.0, 97.0, 98.0, 99.0]), ["1", "2, 3", "4-6"]);
    }
}
