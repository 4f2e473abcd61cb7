use super::*;

/// Asserts that this parser and `serde_json` find the same value in the text.
fn assert_as_serde_json(text: &[u8]) {
    let expected: Option<&RawValue> = serde_json::from_slice(text).ok();
    let found = Raw::parse(text);
    let shown = String::from_utf8_lossy(text);
    assert_eq!(found.map(|raw| raw.text), expected.map(|raw| raw.get().as_bytes()), "{shown}");
    let Some(raw) = found else { return };
    let unquoted: Option<String> = serde_json::from_slice(raw.text).ok();
    if raw.in_quotes().is_some() {
        assert_eq!(raw.unquoted().as_deref(), unquoted.as_deref().map(str::as_bytes), "{shown}");
    }
}

/// Returns the elements of an array, without their quotes.
fn bare(text: &[u8], quotes: Quotes) -> Option<Vec<&[u8]>> {
    parse_elements(text, |text| {
        parse_value(text, quotes).map(|(raw, rest)| (raw.in_quotes().unwrap_or(raw.text), rest))
    })
}

/// Returns the unparsed elements of an array.
fn texts_of(text: &[u8], quotes: Quotes) -> Option<Vec<&[u8]>> {
    parse_elements(text, |text| parse_value(text, quotes).map(|(raw, rest)| (raw.text, rest)))
}

#[test]
fn contained_json_parses_the_same_without_unescaping() {
    for text in [
        r"[]",
        r#"["a","","b c"]"#,
        r#"[ "a" , 7, null,true,-1.5,"ä" ]"#,
        r#"["a"#,
        r#"["a"]]"#,
        r#"["a" "b"]"#,
        r#"[,"a"]"#,
        r#"["a",]"#,
        r#"[""]"#,
        r#"["]"#,
        r#"[a"b"]"#,
        r#"["{","}]",":","null"]"#,
    ] {
        let string = serde_json::Value::from(text).to_string();
        let (contained, quotes) =
            Raw::parse(string.as_bytes()).and_then(Raw::contained_json).expect("only its quotes are escaped");
        assert_eq!(bare(contained, quotes), bare(text.as_bytes(), Quotes::Plain), "{text}");
    }
    // An object has another text inside a string; its members are the same.
    let text = r#"{"a":{"b":"c","d":{}},"e":"f","g":12}"#;
    let string = serde_json::Value::from(text).to_string();
    let (contained, quotes) =
        Raw::parse(string.as_bytes()).and_then(Raw::contained_json).expect("only its quotes are escaped");
    let mut names = Vec::new();
    let rest = parse_object(contained, quotes, |name, text| {
        names.push(name.unquoted()?);
        Some(parse_value(text, quotes)?.1)
    });
    assert_eq!((rest, names), (Some(&b""[..]), ["a", "e", "g"].map(|name| name.as_bytes().into()).to_vec()));
}

#[test]
fn a_string_with_other_escapes_must_be_unescaped() {
    for text in [
        r#"["a\"]"#,
        "[
]",
        r#"["\u0061"]"#,
    ] {
        let string = serde_json::Value::from(text).to_string();
        assert_eq!(Raw::parse(string.as_bytes()).expect("a string").contained_json(), None, "{text}");
    }
}

#[test]
fn a_string_ends_at_the_same_byte_as_in_serde_json() {
    for part in
        [&b"\\\""[..], b"\\\\", b"\\\\\\\"", b"\\n", b"\\u00e4", b"\\ud800", b"\\q", b"\\u12", "\u{e4}".as_bytes()]
    {
        for around in [0, 1, 29, 30, 31, 32, 33, 62, 63, 64, 65, 96] {
            for after in [0, 1, 31, 32, 64] {
                let text = [b"\"", "x".repeat(around).as_bytes(), part, "y".repeat(after).as_bytes()].concat();
                assert_as_serde_json(&text);
                assert_as_serde_json(&[&text, &b"\""[..]].concat());
                assert_as_serde_json(&[&text, &b"\\\"\\\" \""[..]].concat());
                assert_as_serde_json(&[&text, &b"\" \""[..]].concat());
                for bad in [b"\n", b"\x7f", b"\xff", b"\0", b"\x1f"] {
                    assert_as_serde_json(&[&text, &bad[..], b"\""].concat());
                }
            }
        }
    }
}

#[test]
fn a_value_is_the_same_as_in_serde_json() {
    for text in [
        "",
        " ",
        "1",
        "01",
        "-1",
        "-",
        "10",
        "1.5",
        "1.",
        "1e5",
        "12a",
        "true",
        "tru",
        "null",
        "{}",
        "[1,2]",
        "[1,]",
        "{\"a\":1}",
        "{\"a\" 1}",
        " \t\r\n7 \n",
        "\u{c}7",
        "7\u{c}",
        "\"a\"b",
        "\"a\" \"b\"",
        "1 2",
        "[\"\\\"]\"]",
        r#"{"\ud800":1}"#,
        r#"{"a":{"\ud800":"\ud800"}}"#,
    ] {
        assert_as_serde_json(text.as_bytes());
    }
}

#[test]
fn a_truncated_text_is_rejected() {
    let text = format!(r#"{{"a\"b" : [1, "x"], "c":{{"d":null,"e":"{}\n"}} , "f":12}}"#, "y".repeat(200));
    assert_as_serde_json(text.as_bytes());
    assert!(parse_members(text.as_bytes()).is_some());
    for end in 0..text.len() {
        assert_as_serde_json(&text.as_bytes()[..end]);
        let text = &text.as_bytes()[..end];
        assert!(parse_members(text).is_none() && texts_of(text, Quotes::Plain).is_none(), "{end}");
    }
}

#[test]
fn members_and_elements_are_the_same_as_in_serde_json() {
    for text in ["[]", "[ ]", "[1 , \"a\" ,{}]", "[,1]", "[1,]", "[1", "[1]]", "[1] 2", "{}", "[1 2]", "[01]"] {
        let expected: Option<Vec<&RawValue>> = serde_json::from_str(text).ok();
        let found = texts_of(text.as_bytes(), Quotes::Plain);
        assert_eq!(found, expected.map(|all| all.iter().map(|raw| raw.get().as_bytes()).collect()), "{text}");
    }
    for text in
        ["{}", "{ }", "{\"a\":1,\"\\u0062\" : [] }", "{\"a\"}", "{\"a\":1,}", "{a:1}", "{\"a\":1}}", "[]", "{1:2}"]
    {
        let expected: Option<std::collections::BTreeMap<String, &RawValue>> = serde_json::from_str(text).ok();
        let found = parse_members(text.as_bytes()).filter(|(_, rest)| rest.is_empty()).map(|(members, _)| members);
        let found: Option<Vec<_>> =
            found.as_ref().map(|all| all.iter().map(|(name, raw)| (&**name, raw.text)).collect());
        let expected: Option<Vec<_>> = expected
            .as_ref()
            .map(|all| all.iter().map(|(name, raw)| (name.as_bytes(), raw.get().as_bytes())).collect());
        assert_eq!(found, expected, "{text}");
    }
}
