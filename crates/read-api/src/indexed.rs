//! The fields that a store finds without a scan.

use std::collections::BTreeSet;

/// The fields of documents that the store can find without a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexedFields {
    /// Any: a scan costs nothing, or the caller pays it.
    Every,
    /// These: names of readings, `Heard` and `SilentSince`.
    Only(BTreeSet<String>),
}

impl IndexedFields {
    /// Reads the included paths of the index of a container in Azure Cosmos DB, as its indexing policy has them, separated by
    /// commas: `/Heard/?,/"motor.temp"/?`. `/*` is every field. A path into a field, such as `/motor/temp/?`, indexes no whole
    /// field. `None` if a path is invalid.
    #[must_use]
    pub fn from_paths(paths: &str) -> Option<Self> {
        let (mut fields, mut rest) = (BTreeSet::new(), paths.trim());
        let mut is_every = false;
        loop {
            let path;
            (path, rest) = Path::parse(rest)?;
            match path {
                Path::Every => is_every = true,
                Path::Field(name) => drop(fields.insert(name)),
                Path::Within => {}
            }
            rest = rest.trim_start();
            if rest.is_empty() {
                return Some(if is_every { Self::Every } else { Self::Only(fields) });
            }
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }

    /// Returns true if the store can find documents by this field.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Only(fields) => fields.contains(field),
        }
    }
}

/// Returns the path that indexes a field, as [`IndexedFields::from_paths`] reads it.
pub(crate) fn path(field: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !field.is_empty() && field.chars().all(is_plain) && !field.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("/{field}/?");
    }
    format!("/{}/?", serde_json::Value::from(field))
}

/// A path of an index.
enum Path {
    Every,
    Field(String),
    /// A part of a field.
    Within,
}

impl Path {
    /// Parses the path at the start of a text, and returns the rest.
    fn parse(text: &str) -> Option<(Self, &str)> {
        let mut rest = text;
        let mut segments = Vec::new();
        loop {
            rest = rest.strip_prefix('/')?;
            if let Some(end) = rest.strip_prefix(['?', '*']) {
                let is_every = rest.starts_with('*');
                let path = match (segments.len(), is_every) {
                    (0, true) => Self::Every,
                    (0, false) => return None,
                    (1, _) => Self::Field(segments.remove(0)),
                    _ => Self::Within,
                };
                return Some((path, end));
            }
            let segment;
            (segment, rest) = segment_of(rest)?;
            segments.push(segment);
        }
    }
}

/// Returns the segment at the start of a text, and the rest. A quoted one has the escapes of JSON.
fn segment_of(text: &str) -> Option<(String, &str)> {
    if text.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let segment = values.next()?.ok()?;
        return Some((segment, &text[values.byte_offset()..]));
    }
    let end = text.find(['/', ',', '"', '?', '*']).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(fields: &[&str]) -> IndexedFields {
        IndexedFields::Only(fields.iter().map(|field| (*field).to_owned()).collect())
    }

    #[test]
    fn paths_of_an_index_are_read() {
        for (paths, expected) in [
            ("/Heard/?", only(&["Heard"])),
            ("/Heard/?, /SilentSince/?,/battery/*", only(&["Heard", "SilentSince", "battery"])),
            ("/\"motor.temp\"/?,/\"a,\\\"b\\\"/?\"/?", only(&["motor.temp", "a,\"b\"/?"])),
            ("/motor/temp/?,/tags/[]/?,/x/?", only(&["x"])),
            ("/Heard/?,/*", IndexedFields::Every),
            ("/größe/?", only(&["größe"])),
        ] {
            assert_eq!(IndexedFields::from_paths(paths), Some(expected), "{paths}");
        }
        for invalid in [
            "",
            "Heard",
            "/Heard",
            "/Heard/",
            "/?",
            "/Heard/?/",
            "/Heard/?;/b/?",
            "//?",
            "/\"a/?",
            "/a/?,",
            "/\"a\"b/?",
        ] {
            assert_eq!(IndexedFields::from_paths(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn the_path_of_a_field_is_read_as_this_field() {
        for field in ["Heard", "motor.temp", "a,\"b\"\\/?*", "7", "größe", "a b", "\u{1}"] {
            assert_eq!(IndexedFields::from_paths(&path(field)), Some(only(&[field])), "{field}");
        }
        assert_eq!((path("battery"), path("motor.temp")), ("/battery/?".to_owned(), "/\"motor.temp\"/?".to_owned()));
    }
}
