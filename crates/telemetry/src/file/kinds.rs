//! Reads the mapping: the top level of the file and its kinds.

use devicestate_engine::telemetry::drone::DeviceIdFromIotHub;
use jiff::Timestamp;

use super::{
    checker::{Checked, Checker, shortened},
    readings::{Readings, all_readings, default_device},
    tree::{Content, Node},
};
use crate::mapping::{Kind, Mapping, Pointer, Sources, TimeFormat, TimeRule, When};

/// The members of a kind, and of the top level.
pub(super) const KIND: [&str; 7] = ["when", "device", "time", "records", "readings", "null", "objects"];

/// 2020-01-01T00:00:00Z.
const NOT_BEFORE_MS: i64 = 1_577_836_800_000;

/// The members that a kind has, or that are defaults of all kinds.
#[derive(Debug, Clone, Default)]
struct Parts {
    device: Option<Sources>,
    time: Option<TimeRule>,
    readings: Option<Readings>,
    null_clears: Option<bool>,
    objects_are_whole: Option<bool>,
}

impl Checker {
    /// Reads the mapping from the top level, whose members were checked.
    pub(super) fn mapping<'n>(&mut self, member: &impl Fn(&str) -> Option<&'n Node>) -> Checked<Mapping> {
        let defaults = self.parts(member);
        let when = self.optional(member("when"), Self::when);
        let records = self.optional(member("records"), Self::records);
        let ignore = self.optional(member("ignore"), |checker, node| {
            let Content::Array(elements) = &node.content else { return checker.expected(node, "a list of conditions") };
            checker.each(elements, Self::when)
        });
        let (mut records_of_all, mut kinds) = (None, Vec::new());
        if let Some(node) = member("kinds") {
            if let Some(when) = member("when") {
                let _: Checked<()> =
                    self.add(when.start, "`when` cannot be used together with `kinds`: each kind has its own");
            }
            kinds = self.kinds(node, member("records").is_some(), &defaults.clone()?)?;
            records_of_all = records?.flatten();
        } else {
            kinds.push(defaults?.into_kind(when?.unwrap_or_default(), records?.flatten()));
        }
        Ok(Mapping {
            device_id_from_iot_hub: DeviceIdFromIotHub::Fallback,
            records: records_of_all,
            ignore: ignore?.unwrap_or_default(),
            kinds,
        })
    }

    fn kinds(&mut self, node: &Node, has_records: bool, defaults: &Parts) -> Checked<Vec<Kind>> {
        let Content::Array(elements) = &node.content else { return self.expected(node, "a list of kinds") };
        if elements.is_empty() {
            return self.add(node.start, "the list is empty: it needs at least one kind");
        }
        let mut names: Vec<&str> = Vec::new();
        let mut kinds = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let known: Vec<_> = ["name"].into_iter().chain(KIND).collect();
            let Ok(member) = self.object(element, "a kind", &known) else { continue };
            if let Some(node) = member("name")
                && let Ok(name) = self.text(node, "a text")
            {
                if names.contains(&name) {
                    let _: Checked<()> = self.add(node.start, format!("two kinds have the name {:?}", shortened(name)));
                }
                names.push(name);
            }
            if let (Some(node), true) = (member("records"), has_records) {
                let _: Checked<()> =
                    self.add(node.start, "`records` is also at the top level: give it there or in the kinds");
            }
            if member("when").is_none() && index + 1 < elements.len() {
                let problem =
                    "`when` is missing, so the kinds after this one can never apply: only the last needs none";
                let _: Checked<()> = self.add(element.start, problem);
            }
            let parts = self.parts(&member);
            let when = self.optional(member("when"), Self::when);
            let records = self.optional(member("records"), Self::records);
            if let (Ok(parts), Ok(when), Ok(records)) = (parts, when, records) {
                kinds.push(parts.or(defaults).into_kind(when.unwrap_or_default(), records.flatten()));
            }
        }
        Ok(kinds)
    }

    fn parts<'n>(&mut self, member: &impl Fn(&str) -> Option<&'n Node>) -> Checked<Parts> {
        let device = self.optional(member("device"), Self::sources);
        let time = self.optional(member("time"), Self::time);
        let readings = self.optional(member("readings"), Self::readings);
        let null_clears = self.optional(member("null"), |checker, node| {
            checker.one_of(node, "what a null means", &[("ignore", false), ("clear", true)])
        });
        let objects_are_whole = self.optional(member("objects"), |checker, node| {
            checker.one_of(node, "what an object becomes", &[("flatten", false), ("whole", true)])
        });
        Ok(Parts {
            device: device?,
            time: time?,
            readings: readings?,
            null_clears: null_clears?,
            objects_are_whole: objects_are_whole?,
        })
    }

    /// Reads where the records are; `None` in it if the body is split without a pointer.
    fn records(&mut self, node: &Node) -> Checked<Option<Pointer>> {
        let text = self.text(node, "a JSON Pointer to an array, or `lines`")?;
        match text {
            "lines" | "" => Ok(None),
            _ => self.pointer(node).map(Some),
        }
    }

    fn time(&mut self, node: &Node) -> Checked<TimeRule> {
        const NEWEST: [(&str, bool); 2] = [("service", false), ("device", true)];
        let known = ["from", "format", "newest", "notBefore", "required"];
        let member = self.object(node, "the time", &known)?;
        let from = match member("from") {
            Some(from) => self.sources(from),
            None => self.add(node.start, "the time needs `from`, its source"),
        };
        let format = self.optional(member("format"), Self::time_format);
        let is_order = self.optional(member("newest"), |checker, node| checker.one_of(node, "an order", &NEWEST));
        let is_required = self.optional(member("required"), Self::boolean);
        if let (Ok(Some(true)), Ok(None | Some(false)), Some(node)) = (is_required, is_order, member("required")) {
            let problem = "`required` needs `\"newest\": \"device\"`: otherwise the time is not read";
            let _: Checked<()> = self.add(node.start, problem);
        }
        let not_before_ms = self.optional(member("notBefore"), |checker, node| {
            let text = checker.text(node, "a time")?;
            let time = text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond);
            time.map_or_else(|| checker.expected(node, "a time as 2020-01-01T00:00:00Z"), Ok)
        });
        Ok(TimeRule {
            from: from?,
            format: format?.unwrap_or(TimeFormat::Rfc3339),
            is_order: is_order?.unwrap_or_default(),
            not_before_ms: not_before_ms?.unwrap_or(NOT_BEFORE_MS),
            is_required: is_required?.unwrap_or_default(),
        })
    }
}

impl Parts {
    /// Returns the parts of a kind, and the defaults where it has none.
    fn or(self, defaults: &Self) -> Self {
        Self {
            device: self.device.or_else(|| defaults.device.clone()),
            time: self.time.or_else(|| defaults.time.clone()),
            readings: self.readings.or_else(|| defaults.readings.clone()),
            null_clears: self.null_clears.or(defaults.null_clears),
            objects_are_whole: self.objects_are_whole.or(defaults.objects_are_whole),
        }
    }

    fn into_kind(self, when: When, records: Option<Pointer>) -> Kind {
        let (readings, wildcard) = self.readings.unwrap_or_else(all_readings);
        Kind {
            when,
            records,
            takes_other_ids: self.device.is_none(),
            device: self.device.unwrap_or_else(default_device),
            time: self.time,
            readings,
            wildcard,
            null_clears: self.null_clears.unwrap_or_default(),
            objects_are_whole: self.objects_are_whole.unwrap_or_default(),
        }
    }
}
