//! Makes the device id, the time and the named readings of a record from the values that were looked for.

use std::borrow::Cow;

use devicestate_engine::{
    batch::Event,
    device_state::{Name, Reading},
    telemetry::{RecordTime, drone::DeviceIdFromIotHub},
};
use serde_json::{Number, Value};

use super::{
    found::{Found, From},
    record::{Held, RecordReader},
    table::NONE,
    text::Quoted,
};
use crate::mapping::{Context, Conversion, NamedValues, Range, TimeFormat};

/// What the values that were looked for are for.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) device: Vec<From>,
    /// True if a member that could be the device id and is not is a reading.
    pub(super) takes_other_ids: bool,
    pub(super) device_id_from_iot_hub: DeviceIdFromIotHub,
    pub(super) time: Option<TimeRule>,
    /// In the order of their names.
    pub(super) readings: Vec<ReadingRule>,
}

/// The device's own time, which orders the records.
#[derive(Debug)]
pub(super) struct TimeRule {
    pub(super) from: Vec<From>,
    pub(super) format: TimeFormat,
    pub(super) not_before_ms: i64,
    pub(super) is_required: bool,
}

/// The rule of a reading that has a name.
#[derive(Debug)]
pub(super) struct ReadingRule {
    pub(super) name: Name,
    pub(super) value: ReadingValue,
}

#[derive(Debug)]
pub(super) enum ReadingValue {
    Constant(Value),
    Found { from: Vec<From>, conversion: Conversion, is_required: bool },
}

/// The plain reader is needed.
pub(super) struct Unusual;

/// A device id in a text or in the metadata of an event.
enum DeviceId<'t, 'e> {
    InText(&'t str),
    OfEvent(Cow<'e, str>),
}

impl Rules {
    /// Completes the record that was read. `None` if the plain reader is needed.
    pub(super) fn finish<'t, 'e>(
        &self,
        context: &Context<'e>,
        own: &impl Fn(&'t str) -> Cow<'e, str>,
        reader: &mut RecordReader<'_, '_, 't, 'e>,
    ) -> Option<()> {
        let device_id = match self.device_id(context, reader)? {
            DeviceId::InText(id) => own(id),
            DeviceId::OfEvent(id) => id,
        };
        let time = match &self.time {
            Some(time) => time.find(context, reader)?,
            None => RecordTime::Service,
        };
        let has_taken = !reader.taken.is_empty();
        for (rule, number) in self.readings.iter().zip(0..) {
            let Some(value) = rule.find(context, reader).ok()? else { continue };
            reader.taken.push(NONE - number);
            reader.records.push(Reading { name: rule.name.clone(), value });
        }
        // Which members of a record without readings are not used is for the plain reader.
        if reader.taken.is_empty() && (reader.has_others || self.has_several_device_ids(reader.slots)) {
            return None;
        }
        if has_taken {
            reader.table.orders.sort(reader.taken, reader.records.current());
        }
        reader.records.finish(device_id, time);
        Some(())
    }

    fn has_several_device_ids(&self, slots: &[Held]) -> bool {
        let is_filled = |from: &&From| matches!(from, From::Slot(slot) if !matches!(slots[*slot], Held::Absent));
        self.device.iter().filter(is_filled).count() > 1
    }

    fn device_id<'t, 'e>(
        &self,
        context: &Context<'e>,
        reader: &RecordReader<'_, '_, 't, 'e>,
    ) -> Option<DeviceId<'t, 'e>> {
        let event: &'e Event = context.event;
        let authenticated = event.iot_hub_device_id.as_deref().filter(|id| !id.is_empty());
        let Some(named) = self.named_device(context, reader).ok()? else {
            let id = authenticated.filter(|_| self.device_id_from_iot_hub != DeviceIdFromIotHub::Unused)?;
            return Some(DeviceId::OfEvent(Cow::Borrowed(id)));
        };
        let id = match &named {
            DeviceId::InText(id) => *id,
            DeviceId::OfEvent(id) => &**id,
        };
        let is_accepted = self.device_id_from_iot_hub != DeviceIdFromIotHub::Required || authenticated == Some(id);
        is_accepted.then_some(named)
    }

    /// Returns the device id that the sources have.
    fn named_device<'t, 'e>(
        &self,
        context: &Context<'e>,
        reader: &RecordReader<'_, '_, 't, 'e>,
    ) -> Result<Option<DeviceId<'t, 'e>>, Unusual> {
        let text = reader.cursor.text;
        let mut id = None;
        for from in &self.device {
            match from {
                From::Slot(slot) => match &reader.slots[*slot] {
                    Held::Absent | Held::Null => {}
                    Held::Text(Quoted { begin, end, .. }) if begin == end => {}
                    // A second one is an ordinary member.
                    _ if id.is_some() && self.takes_other_ids && reader.plan.wildcard.is_some() => return Err(Unusual),
                    _ if id.is_some() => {}
                    Held::Text(Quoted { begin, end, is_escaped: false }) => {
                        id = Some(DeviceId::InText(&text[*begin..*end]));
                    }
                    Held::Number(number) if !number.is_f64() => {
                        id = Some(DeviceId::OfEvent(Cow::Owned(number.to_string())));
                    }
                    _ => return Err(Unusual),
                },
                From::Metadata(_) if id.is_some() => {}
                From::Metadata(source) => match source.find_metadata(context) {
                    Some(Value::String(found)) if !found.is_empty() => id = Some(DeviceId::OfEvent(found.into())),
                    None => {}
                    Some(_) => return Err(Unusual),
                },
            }
        }
        Ok(id)
    }
}

impl TimeRule {
    fn find(&self, context: &Context<'_>, reader: &RecordReader<'_, '_, '_, '_>) -> Option<RecordTime> {
        let ms = match Found::first(&self.from, context, reader.slots) {
            Found::Held(held) => self.format.parse_ms(&held.to_value(reader.cursor.text)?)?,
            Found::Metadata(value) => self.format.parse_ms(&value)?,
            Found::Missing | Found::Null => return (!self.is_required).then_some(RecordTime::Enqueued),
        };
        Some(if ms < self.not_before_ms { RecordTime::Unusable } else { RecordTime::Device(ms) })
    }
}

impl ReadingRule {
    /// Returns the value to store, if the record has one.
    #[inline]
    fn find(&self, context: &Context<'_>, reader: &RecordReader<'_, '_, '_, '_>) -> Result<Option<Value>, Unusual> {
        let (from, conversion, is_required) = match &self.value {
            ReadingValue::Constant(value) => return Ok(Some(value.clone())),
            ReadingValue::Found { from, conversion, is_required } => (from, conversion, *is_required),
        };
        match Found::first(from, context, reader.slots) {
            Found::Held(held) => convert(conversion, held, reader.cursor.text).map(Some).ok_or(Unusual),
            Found::Metadata(value) => conversion.convert(&value, true).map(Some).map_err(|_| Unusual),
            Found::Null if reader.plan.nulls_clear => Ok(Some(Value::Null)),
            Found::Missing | Found::Null => {
                if is_required {
                    Err(Unusual)
                } else {
                    Ok(None)
                }
            }
        }
    }
}

/// Returns the value to store, without a copy of a text that is not stored.
#[inline]
fn convert(conversion: &Conversion, held: &Held, text: &str) -> Option<Value> {
    match (conversion, held) {
        (Conversion::Any, held) => held.to_value(text),
        (Conversion::String, Held::Text(_)) => held.to_value(text),
        (Conversion::Boolean, Held::Boolean(value)) => Some(Value::Bool(*value)),
        (
            Conversion::Number { scale: 1.0, offset: 0.0, range: Range { min: None, max: None } },
            Held::Number(number),
        ) => Some(Value::Number(if number.is_f64() { number.clone() } else { Number::from_f64(number.as_f64()?)? })),
        (
            Conversion::Named(NamedValues { values, stores_name }),
            Held::Text(Quoted { begin, end, is_escaped: false }),
        ) => {
            let text = &text[*begin..*end];
            let (name, number) = values.iter().find(|(name, _)| name.eq_ignore_ascii_case(text))?;
            Some(if *stores_name { Value::from(name.as_str()) } else { Value::Number(number.clone()) })
        }
        (conversion, held) => conversion.convert(&held.to_value(text)?, false).ok(),
    }
}
