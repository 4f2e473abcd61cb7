use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_telemetry::formats::Formats;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use serde_json::{Value, json};

use super::BODY;
use crate::events::{event, hex, issue, typed, value, with_properties};

pub(crate) fn gzip(body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.as_ref()).expect("memory");
    encoder.finish().expect("memory")
}

pub(crate) fn zlib(body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.as_ref()).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body.as_ref()).expect("memory");
    encoder.finish().expect("memory")
}

/// The body, packed by the program `zstd`, with a checksum.
const ZSTD: &str = "28b52ffd04580101007b226465766963654964223a2270756d702d31222c2272706d223a313230307dafdf3baa";

/// A million zero bytes, packed by the same program: with the size, without it, and with a checksum.
const ZSTD_BOMBS: [&str; 2] = [
    "28b52ffd04684c000008000100fcff39100202001000020010000200100002001000020010000200100003120a00ccaeca39",
    "28b52ffd00585400001000000100fbff39c00202001000020010000200100002001000020010000200100003120a00",
];

fn expected() -> Value {
    json!({"deviceId": "pump-1", "rpm": 1200})
}

#[test]
fn gzip_zlib_and_zstd_are_recognized_by_their_first_bytes() {
    // The second frame is to be skipped.
    let two_frames = [hex(ZSTD), hex("502a4d1803000000ffffff")].concat();
    for packed in [gzip(BODY), zlib(BODY), hex(ZSTD), two_frames] {
        assert_eq!(value(&event(&packed), &Formats::default()), expected(), "{packed:x?}");
        assert_eq!(value(&typed("application/json", &packed), &Formats::default()), expected(), "{packed:x?}");
    }
}

#[test]
fn frames_of_zstd_are_joined() {
    let halves = [&BODY[..9], &BODY[9..]]
        .map(|half| ruzstd::encoding::compress_to_vec(half.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest));
    assert_eq!(value(&event(halves.concat()), &Formats::default()), expected());
}

#[test]
fn deflate_without_a_header_needs_its_content_encoding() {
    let kafka = STANDARD.encode("deflate");
    for (system_properties, properties) in [
        (json!({"content-encoding": "deflate"}), json!({})),
        (json!({"ContentEncoding": "Deflate"}), json!({})),
        (json!({"content-encoding": "utf-8-like"}), json!({})),
        (json!({}), json!({"content-encoding": "deflate"})),
        (json!({}), json!({"contentEncoding": "deflate"})),
        (json!({}), json!({"content-encoding": kafka})),
    ] {
        let event = with_properties(event(deflate(BODY)), &system_properties, &properties);
        if system_properties["content-encoding"] == "utf-8-like" {
            let issue = issue(&event, &Formats::default());
            assert!(issue.contains("its content encoding is utf-8-like"), "{issue}");
        } else {
            assert_eq!(value(&event, &Formats::default()), expected(), "{system_properties} {properties}");
        }
    }
}

#[test]
fn a_content_encoding_that_the_body_does_not_have_changes_nothing() {
    for encoding in ["gzip", "deflate", "utf-8", "zstd"] {
        let event = with_properties(event(BODY), &json!({"content-encoding": encoding}), &json!({}));
        assert_eq!(value(&event, &Formats::default()), expected(), "{encoding}");
    }
}

#[test]
fn a_body_may_be_compressed_twice() {
    assert_eq!(value(&event(gzip(gzip(BODY))), &Formats::default()), expected());
    assert_eq!(value(&event(zlib(hex(ZSTD))), &Formats::default()), expected());
    let thrice = issue(&event(gzip(zlib(gzip(BODY)))), &Formats::default());
    assert_eq!(thrice, "the body is compressed more than twice");
}

#[test]
fn a_bomb_is_unpacked_only_to_the_limit() {
    let zeros = vec![0; 1_000_000];
    let (zlib, gzip) = (zlib(&zeros), gzip(&zeros));
    for (name, packed) in [("gzip", gzip), ("deflate", zlib)] {
        let bytes = packed.len();
        assert_eq!(
            issue(&event(packed), &Formats::default()),
            format!(
                "the {name} body of {bytes} bytes unpacks to more than 65536 bytes, which is the limit for its size"
            )
        );
    }
    for packed in ZSTD_BOMBS.map(hex) {
        let bytes = packed.len();
        assert_eq!(
            issue(&event(packed), &Formats::default()),
            format!("the zstd body of {bytes} bytes unpacks to more than 65536 bytes, which is the limit for its size")
        );
    }
}

#[test]
fn the_layers_of_an_event_share_one_limit() {
    let packed = gzip(gzip(vec![b' '; 60_000]));
    assert_eq!(issue_or_empty(&packed), "");
    // 40,000 bytes of an incompressible text in two layers are more than 64 KiB.
    let mut random = fastrand::Rng::with_seed(7);
    let text: String = (0..3_000).map(|_| random.alphanumeric()).collect();
    let text = format!("{text}{}", " ".repeat(62_000));
    assert_eq!(issue_or_empty(&gzip(&text)), "");
    assert!(issue_or_empty(&gzip(gzip(&text))).contains("which is the limit for its size"));
}

fn issue_or_empty(body: &[u8]) -> String {
    devicestate_telemetry::unwrapping::unwrap(&event(body), &Formats::default())
        .err()
        .map(|poison| poison.to_string())
        .filter(|issue| !issue.starts_with("the body is not JSON"))
        .unwrap_or_default()
}

#[test]
fn a_damaged_body_is_poison_that_names_its_compression() {
    for (name, packed) in [("gzip", gzip(BODY)), ("deflate", zlib(BODY)), ("zstd", hex(ZSTD))] {
        let cut = issue(&event(&packed[..packed.len() - 3]), &Formats::default());
        assert_eq!(cut, format!("the {name} body ends in the middle"));
        let mut damaged = packed.clone();
        damaged[12] ^= 0x55;
        let damaged = issue(&event(damaged), &Formats::default());
        assert!(damaged.starts_with(&format!("the {name} body")), "{damaged}");
    }
}

#[test]
fn a_frame_of_zstd_with_a_large_window_is_poison() {
    // The window is 3.75 TiB.
    let issue = issue(&event(hex("28b52ffd00ff0100007b7d")), &Formats::default());
    assert!(issue.starts_with("the zstd body is damaged"), "{issue}");
}
