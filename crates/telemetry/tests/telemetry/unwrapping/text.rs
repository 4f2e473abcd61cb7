use devicestate_telemetry::{
    formats::Formats,
    unwrapping::{Content, unwrap},
};
use serde_json::{Value, json};

use super::{BODY, compression::gzip};
use crate::events::{event, issue, value};

fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn utf_32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    text.chars().flat_map(|c| bytes(c.into())).collect()
}

#[test]
fn utf_16_and_utf_32_are_decoded_with_and_without_a_byte_order_mark() {
    let text = r#"{"deviceId":"pümp-🚰","rpm":1200}"#;
    for text in [text.to_owned(), format!("\u{feff}{text}"), format!("{text}\0"), format!(" {text}\r\n")] {
        for body in [
            utf_16(&text, u16::to_le_bytes),
            utf_16(&text, u16::to_be_bytes),
            utf_32(&text, u32::to_le_bytes),
            utf_32(&text, u32::to_be_bytes),
            text.clone().into_bytes(),
        ] {
            let expected = json!({"deviceId": "pümp-🚰", "rpm": 1200});
            assert_eq!(value(&event(&body), &Formats::default()), expected, "{body:x?}");
            assert_eq!(value(&event(gzip(&body)), &Formats::default()), expected, "{body:x?}");
        }
    }
}

#[test]
fn a_damaged_utf_16_text_is_poison() {
    let half_pair = [&b"{\0\"\0"[..], &[0x3c, 0xd8], b"\"\0"].concat();
    let odd = [&b"\xff\xfe"[..], b"{\0}\0{"].concat();
    let not_a_character = [&b"\xff\xfe\0\0"[..], &0xd800_u32.to_le_bytes()].concat();
    for (body, name) in [(half_pair, "UTF-16"), (odd, "UTF-16"), (not_a_character, "UTF-32")] {
        let issue = issue(&event(body), &Formats::default());
        assert_eq!(issue, format!("the body begins like {name} text, but is not valid {name}"));
    }
}

#[test]
fn zero_bytes_at_the_end_are_removed() {
    for zeros in [1, 2, 3, 200] {
        let body = format!("{BODY}{}", "\0".repeat(zeros));
        assert_eq!(value(&event(body), &Formats::default())["rpm"], 1200);
    }
}

#[test]
fn json_in_a_json_string_is_unwrapped_at_most_twice() {
    let once = Value::from(BODY).to_string();
    let twice = Value::from(once.as_str()).to_string();
    let thrice = Value::from(twice.as_str()).to_string();
    for body in [&once, &twice] {
        assert_eq!(value(&event(body), &Formats::default())["rpm"], 1200);
        assert_eq!(value(&event(format!("\u{feff} {body}\n\0")), &Formats::default())["rpm"], 1200);
    }
    for left in [thrice.as_str(), r#""text""#, r#""5""#, r#""\"text\"""#, r#""{\"a\":1}" 5"#, r#""unfinished"#] {
        let event = event(left);
        let Content::Json(text) = unwrap(&event, &Formats::default()).expect("JSON").content else { panic!("{left}") };
        assert_eq!(text, left.as_bytes());
    }
}

#[test]
fn a_byte_order_mark_in_a_json_string_is_removed() {
    let body = Value::from(format!("\u{feff}{BODY}\0")).to_string();
    assert_eq!(value(&event(body), &Formats::default())["rpm"], 1200);
}
