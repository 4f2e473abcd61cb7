//! Reads the HTML pages that commands write with `--html`.

use std::{collections::BTreeSet, fs, path::Path};

use quick_xml::{
    Reader,
    escape::unescape,
    events::{BytesStart, Event},
};

/// A page that is well-formed, needs nothing else and runs nothing.
pub struct ReportPage {
    /// The text of the file.
    pub html: String,
    /// The texts of its elements, in order, without empty ones.
    pub texts: Vec<String>,
}

impl ReportPage {
    /// Reads a page, and checks what holds for every page.
    #[track_caller]
    pub fn read(path: &Path) -> Self {
        let html = fs::read_to_string(path).expect("a page");
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{html}");
        let policy = "content=\"default-src 'none'; style-src 'unsafe-inline'\"";
        assert!(html.contains(policy), "{html}");
        let (head, body) = html.split_once("</head>").expect("a head");
        for request in ["url(", "@import", "<link", "<base"] {
            assert!(!head.contains(request), "{request} in the head");
        }
        let body = body.trim_end().strip_suffix("</html>").expect("one end");
        let texts = texts(body);
        Self { texts, html: html.clone() }
    }

    /// Returns the text that follows this one, such as the value of a figure.
    #[track_caller]
    pub fn after(&self, name: &str) -> &str {
        let index = self.texts.iter().position(|text| text == name);
        let index = index.unwrap_or_else(|| panic!("{name:?} is not in {:?}", self.texts));
        &self.texts[index + 1]
    }

    /// Returns the count that follows a name.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        let text = self.after(name);
        text.replace(',', "").parse().unwrap_or_else(|_| panic!("{name}: {text:?} is not a count"))
    }
}

/// Returns the texts of a body that is well-formed XML, with different ids and without what runs or requests anything.
fn texts(body: &str) -> Vec<String> {
    let (mut texts, mut text, mut ids) = (Vec::new(), String::new(), BTreeSet::new());
    let mut reader = Reader::from_str(body);
    let mut end = |text: &mut String| {
        let complete = std::mem::take(text);
        if !complete.trim().is_empty() {
            texts.push(complete.trim().to_owned());
        }
    };
    loop {
        match reader.read_event().unwrap_or_else(|error| panic!("{error} in {body}")) {
            Event::Start(element) | Event::Empty(element) => {
                end(&mut text);
                check_element(&element, &mut ids);
            }
            Event::End(_) => end(&mut text),
            Event::Text(part) => text.push_str(&part.decode().expect("UTF-8")),
            Event::GeneralRef(part) => {
                let reference = format!("&{};", part.decode().expect("UTF-8"));
                text.push_str(&unescape(&reference).expect("a known entity"));
            }
            Event::Eof => return texts,
            other => panic!("{other:?} in {body}"),
        }
    }
}

/// Checks that an element neither runs nor requests anything, and that its id is not among the others.
fn check_element(element: &BytesStart, ids: &mut BTreeSet<String>) {
    let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
    let harmless = [
        "body",
        "header",
        "main",
        "footer",
        "section",
        "div",
        "figure",
        "figcaption",
        "h1",
        "h2",
        "p",
        "pre",
        "code",
        "span",
        "strong",
        "dl",
        "dt",
        "dd",
        "details",
        "summary",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "svg",
        "title",
        "desc",
        "line",
        "path",
        "rect",
        "text",
    ];
    assert!(harmless.contains(&name.as_str()), "the element {name}");
    for attribute in element.attributes() {
        let attribute = attribute.expect("an attribute");
        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
        assert!(!key.starts_with("on") && !["href", "src", "style"].contains(&key.as_str()), "{key} in {name}");
        let value = String::from_utf8_lossy(&attribute.value).into_owned();
        assert!(key != "id" || ids.insert(value.clone()), "the id {value} twice");
    }
}
