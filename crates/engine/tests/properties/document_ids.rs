//! Document ids: reversible, unique, and of safe characters only.

use devicestate_engine::device_state::{device_id, document_id};
use proptest::prelude::*;

use crate::cases;

/// Generates device ids of few characters, among them the escape character and hexadecimal digits, so that many are nearly
/// equal.
fn device() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        4 => prop::sample::select(vec!['~', '2', 'F', 'f', ' ', '.', '%', '/', '#', 'a', 'Z']),
        1 => prop::char::any(),
    ];
    prop::collection::vec(character, 0..8).prop_map(String::from_iter)
}

/// The characters with which the tests of all of Microsoft's clients find an item again, and blanks.
const SAFE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789,=.:~+-@()^${}[]!_ ";

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_document_id_decodes_to_its_device_id(device in device()) {
        let id = document_id(&device);
        prop_assert_eq!(device_id(&id), device.as_str());
    }

    #[test]
    fn two_devices_have_two_documents(one in device(), other in device()) {
        prop_assert_eq!(document_id(&one) == document_id(&other), one == other);
        // The device whose id is the document id of another one.
        let escaped = document_id(&one).into_owned();
        prop_assert_eq!(document_id(&escaped) == document_id(&one), escaped == one);
    }

    #[test]
    fn a_document_id_has_only_safe_characters(device in device()) {
        let id = document_id(&device);
        prop_assert!(id.chars().all(|character| SAFE.contains(character)), "{}", id);
        prop_assert!(!id.starts_with(' ') && !id.ends_with(' ') && !matches!(&*id, "." | ".."), "{:?}", id);
        prop_assert!(id.len() <= 3 * device.len());
    }

    #[test]
    fn an_id_of_another_program_is_unchanged_or_decoded(id in device()) {
        let device = device_id(&id).into_owned();
        prop_assert!(device == id || document_id(&device) == id, "{:?}", device);
    }
}
