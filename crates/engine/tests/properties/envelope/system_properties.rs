//! The column of system properties, nearly in the form in which the host writes it: it has a reader of its own.

use devicestate_engine::function_app::DataType;
use devicestate_test_oracle::plain_envelope::{read, read_with_engine};
use proptest::{collection::vec, prelude::*, sample::Index, sample::select};

use super::requests::trigger;
use crate::{cases, examples, json};

const NAMES: [&str; 8] = [
    r#""content-type""#,
    r#""content-type""#,
    r#""x-opt-offset""#,
    r#""PartitionKey""#,
    r#""Offset""#,
    r#""iothub-message-source""#,
    r#""content-typ""#,
    r#""ä""#,
];

const VALUES: [&str; 8] =
    [r#""application/json""#, r#""text/plain""#, r#""content-type""#, r#""{}""#, r#""""#, "48211", "null", "1"];

/// What may stand instead of a token, or between two.
const OTHERS: [&str; 24] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    " ",
    "\t",
    "null",
    "nul",
    "0",
    "01",
    "-1",
    "1.5",
    "1e3",
    "true",
    "x",
    r#""content-type""#,
    r#""content-type":"a""#,
    r#"{"content-type":"a"}"#,
    r#""content\u002dtype""#,
    r#""\"content-type\":\"a\"""#,
    r#"["content-type"]"#,
];

/// Generates the tokens of an object with properties.
fn object() -> impl Strategy<Value = Vec<&'static str>> {
    vec((select(NAMES.to_vec()), select(VALUES.to_vec())), 0..4).prop_map(|members| {
        let members: Vec<_> = members.iter().map(|(name, value)| vec![*name, ":", *value]).collect();
        ["{"].into_iter().chain(members.join(&",")).chain(["}"]).collect()
    })
}

/// Generates a request with a column of system properties, in which some tokens are changed.
fn request() -> impl Strategy<Value = String> {
    let change = (any::<Index>(), 0..2_usize, select(OTHERS.to_vec()));
    let changes = prop_oneof![Just(Vec::new()), vec(change, 1..3)];
    (vec(object(), 1..4), changes).prop_map(|(objects, changes)| {
        let events = vec![r#""YQ==""#; objects.len()].join(",");
        let mut tokens = [vec!["["], objects.join(&","), vec!["]"]].concat();
        for (at, removed, token) in changes {
            let at = at.index(tokens.len());
            tokens.splice(at..at + removed, [token]);
        }
        let column = json::quoted(&tokens.concat(), false);
        format!(r#"{{"Data":{{"messages":[{events}]}},"Metadata":{{"SystemPropertiesArray":{column}}}}}"#)
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn both_readers_find_the_same_system_properties(request in request()) {
        let trigger = trigger(true, DataType::Binary);
        let expected = read(request.as_bytes(), &trigger);
        prop_assert_eq!(read_with_engine(request.as_bytes(), &trigger), expected, "{}", request);
    }
}

#[test]
fn a_part_of_the_generated_requests_has_content_types() {
    let trigger = trigger(true, DataType::Binary);
    let has_content_type = |request: &String| {
        let request = read(request.as_bytes(), &trigger).expect("only the column is changed");
        request.events.iter().any(|event| event.content_type.is_some())
    };
    let found = examples(request(), 1_000).filter(has_content_type).count();
    assert!((50..900).contains(&found), "{found}");
}
