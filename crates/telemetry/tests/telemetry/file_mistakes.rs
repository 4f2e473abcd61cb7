//! Telemetry files that are not valid: the line, the column, the JSON Pointer, what was found and what would be right.

use devicestate_telemetry::file::TelemetryFile;

/// Returns the mistakes of a file, one a line.
#[track_caller]
fn mistakes(file: impl AsRef<[u8]>) -> Vec<String> {
    let mistakes = TelemetryFile::parse(file.as_ref()).expect_err("the file is not valid");
    assert!(!mistakes.0.is_empty());
    for mistake in &mistakes.0 {
        assert!(mistake.to_string().len() < 1_000, "{mistake}");
    }
    mistakes.0.iter().map(ToString::to_string).collect()
}

/// Checks the only mistake of each file, which is one line. It is where the mark `§` is, which is removed.
#[track_caller]
fn each(cases: &[(&str, &str, &str)]) {
    for (file, pointer, message) in cases {
        let column = file.chars().position(|c| c == '§').expect("a mark") + 1;
        let pointer = if pointer.is_empty() { String::new() } else { format!(", {pointer}") };
        let expected = format!("line 1, column {column}{pointer}: {message}");
        assert_eq!(mistakes(file.replace('§', "")), [expected], "{file}");
    }
}

#[test]
fn a_file_that_is_not_json_is_refused_with_the_first_mistake() {
    each(&[
        ("§", "", "the file is not valid JSON: EOF while parsing a value"),
        (r#"{"device": §}"#, "", "the file is not valid JSON: expected value"),
        (r#"{"device": "/a",§}"#, "", "the file is not valid JSON: remove the comma before `}`"),
        (r#"{"device": "/ä" §"time": 1}"#, "", "the file is not valid JSON: expected `,` or `}`"),
        (r#"{§/* the id */ "device": "/a"}"#, "", "comments are not allowed in the telemetry file"),
        (r#"{"device": "/a" §// the id"#, "", "comments are not allowed in the telemetry file"),
        (r#"{"device": "/a"} §x"#, "", "the file is not valid JSON: trailing characters"),
        ("§[]", "", "must be an object: the telemetry file, found an array of 0 elements"),
    ]);
    assert_eq!(
        mistakes("{\n  \"device\": \"/a\"\n  \"time\": {}\n}"),
        ["line 3, column 3: the file is not valid JSON: expected `,` or `}`"]
    );
    assert_eq!(mistakes(b"{\n\"a\": \"\xe9\"}"), ["line 2, column 7: the file is not UTF-8: save it as UTF-8"]);
    assert_eq!(mistakes(b"\xff\xfe{\0}\0"), ["line 1, column 1: the file is not UTF-8, but UTF-16: save it as UTF-8"]);
    assert_eq!(
        mistakes(" ".repeat(1_048_577)),
        ["line 1, column 1: the file has more than 1048576 bytes, which is the limit"]
    );
    for levels in [65, 10_000] {
        let deep = mistakes("[".repeat(levels) + &"]".repeat(levels));
        assert_eq!(deep, ["line 1, column 1: the file is not valid JSON: it is nested more deeply than 64 levels"]);
    }
}

#[test]
fn a_byte_order_mark_is_accepted() {
    assert!(TelemetryFile::parse("\u{feff}{}".as_bytes()).is_ok());
    assert_eq!(mistakes("\u{feff}{\"x\": 1}")[0].split(": ").next(), Some("line 1, column 2, /x"));
}

#[test]
fn an_unknown_member_is_reported_with_what_may_be_meant() {
    each(&[
        (
            r#"{§"deviceId": "/a"}"#,
            "/deviceId",
            r#""deviceId" is not a member of the telemetry file: did you mean `device`?"#,
        ),
        (
            r#"{§"timestamp": "/a"}"#,
            "/timestamp",
            r#""timestamp" is not a member of the telemetry file: did you mean `time`?"#,
        ),
        (
            r#"{"readings": {"t": {"from": "/t", §"typ": "number"}}}"#,
            "/readings/t/typ",
            r#""typ" is not a member of a reading: did you mean `type`?"#,
        ),
        (
            r#"{"time": {"from": "/t", §"~a/b": 1}}"#,
            "/time/~0a~1b",
            r#""~a/b" is not a member of the time: there are `from`, `format`, `newest`, `notBefore`, `required`"#,
        ),
        (
            r#"{"readings": {"*": {§"includes": ["a"]}}}"#,
            "/readings/*/includes",
            r#""includes" is not a member of the rule `*`: did you mean `include`?"#,
        ),
        (
            r#"{"when": {"from": "/a", "exists": true, §"equal": 1}}"#,
            "/when/equal",
            r#""equal" is not a member of a condition: did you mean `equals`?"#,
        ),
        (
            r#"{"kinds": [{§"Device": "/a"}]}"#,
            "/kinds/0/Device",
            r#""Device" is not a member of a kind: did you mean `device`?"#,
        ),
        (
            r#"{"protobuf": {"descriptors": "a", "message": "b", §"msg": 1}}"#,
            "/protobuf/msg",
            r#""msg" is not a member of `protobuf`: there are `descriptors`, `message`, `defaults`"#,
        ),
        (
            r#"{"avro": {"schemas": ["a"], §"schema": "b"}}"#,
            "/avro/schema",
            r#""schema" is not a member of `avro`: did you mean `schemas`?"#,
        ),
    ]);
}

#[test]
fn a_name_that_is_given_twice_is_reported_at_the_second() {
    each(&[
        (r#"{"device": "/a", §"device": "/b"}"#, "/device", r#""device" is given twice"#),
        (r#"{"readings": {"t": "/a", "u": "/b", §"t": "/c"}}"#, "/readings/t", r#""t" is given twice"#),
        (r#"{"readings": {"a\"b": "/a", §"a\u0022b": "/c"}}"#, "/readings/a\"b", r#""a\"b" is given twice"#),
        (
            r#"{"readings": {"t": {"from": "/a", "values": {"on": 1, §"On": 2}}}}"#,
            "/readings/t/values/On",
            r#""on" and "On" are the same name"#,
        ),
        (
            r#"{"readings": {"t": {"from": "/a", "values": {"on": 1, §"up": 1.0}}}}"#,
            "/readings/t/values/up",
            r#"1.0 already has the name "on""#,
        ),
        (
            r#"{"kinds": [{"name": "a", "when": {"from": "/x", "exists": true}}, {"name": §"a"}]}"#,
            "/kinds/1/name",
            r#"two kinds have the name "a""#,
        ),
        (r#"{"readings": {"*": {"include": ["a", "a*", §"a"]}}}"#, "/readings/*/include/2", r#""a" is given twice"#),
    ]);
}

#[test]
fn a_source_that_is_not_one_is_reported_with_what_would_be_right() {
    each(&[
        (
            r#"{"device": §"deviceId"}"#,
            "/device",
            r#""deviceId" is not valid: a JSON Pointer begins with `/`: did you mean `/deviceId`?"#,
        ),
        (
            r#"{"device": ["/a", §"motor.temp"]}"#,
            "/device/1",
            r#""motor.temp" is not valid: a JSON Pointer begins with `/`: did you mean `/motor/temp`?"#,
        ),
        (
            r#"{"device": §"$.id"}"#,
            "/device",
            r#""$.id" is not valid: a JSON Pointer begins with `/`: did you mean `/id`?"#,
        ),
        (
            r#"{"device": §"a/b"}"#,
            "/device",
            r#""a/b" is not valid: a JSON Pointer begins with `/`: did you mean `/a/b`?"#,
        ),
        (r#"{"device": §"IotHub"}"#, "/device", r#""IotHub" is not a source: did you mean `iothub`?"#),
        (r#"{"device": §"prop:x"}"#, "/device", r#""prop:x" is not a source: did you mean `property:`?"#),
        (r#"{"device": §"property:"}"#, "/device", "the name after `property:` is missing"),
        (
            r#"{"device": §"body:id"}"#,
            "/device",
            r#""body:id" is not valid: a JSON Pointer begins with `/`: did you mean `body:/id`?"#,
        ),
        (
            r#"{"device": §"/a~2"}"#,
            "/device",
            r#""/a~2" is not valid: in a JSON Pointer, `~` is written `~0` and a `/` of a name `~1`"#,
        ),
        (r#"{"device": §[]}"#, "/device", "the list is empty: it needs at least one source"),
        (r#"{"device": §5}"#, "/device", "must be a source, such as `/motor/temp` or `property:name`, found 5"),
        (
            r#"{"records": §"events"}"#,
            "/records",
            r#""events" is not valid: a JSON Pointer begins with `/`: did you mean `/events`?"#,
        ),
        (
            r#"{"readings": {"*": §"data"}}"#,
            "/readings/*",
            r#""data" is not valid: a JSON Pointer begins with `/`: did you mean `/data`?"#,
        ),
        (r#"{"time": §"/ts"}"#, "/time", r#"must be an object: the time, found "/ts""#),
    ]);
}

#[test]
fn a_rule_that_is_not_valid_is_reported() {
    let reading = |rule: &str| format!(r#"{{"readings": {{"t": {{"from": "/t", {rule}}}}}}}"#);
    for (rule, member, message) in [
        (
            r#""type": §"float""#,
            "type",
            r#""float" is not a type: there are `any`, `number`, `integer`, `string`, `boolean`, `time`"#,
        ),
        (r#""type": §"int""#, "type", r#""int" is not a type: did you mean `integer`?"#),
        (
            r#""type": §1"#,
            "type",
            "must be a type, which is one of `any`, `number`, `integer`, `string`, `boolean`, `time`, found 1",
        ),
        (r#""required": §"yes""#, "required", r#"must be true or false, found "yes""#),
        (r#""range": §[5, 1]"#, "range", "the minimum 5 is greater than the maximum 1"),
        (r#""range": §[1]"#, "range", "must be [minimum, maximum], found an array of 1 element"),
        (r#""range": §[null, null]"#, "range", "the range has no bound: give a minimum or a maximum"),
        (r#""range": [0, §"9"]"#, "range/1", r#"must be a number, or null for no bound, found "9""#),
        (
            r#""type": "string", "range": §[0, 9]"#,
            "range",
            "`range` can only be used with the type `number` or `integer`",
        ),
        (r#""type": "integer", "scale": §0.1"#, "scale", "`scale` can only be used with the type `number`"),
        (r#""type": "any", "offset": §1"#, "offset", "`offset` can only be used with the type `number`"),
        (r#""scale": §"0.1""#, "scale", r#"must be a number, found "0.1""#),
        (r#""format": §"unix_s""#, "format", r#""unix_s" is not a format of times: did you mean `unix_ms`?"#),
        (r#""type": "number", "format": §"unix""#, "format", "`format` can only be used with the type `time`"),
        (r#""values": §{}"#, "values", "`values` needs at least one name"),
        (r#""values": {"on": §"1"}"#, "values/on", r#"must be a number, found "1""#),
        (
            r#""values": {"on": 1}, "range": §[0, 1]"#,
            "range",
            "a reading with `values` cannot have `range`, `scale`, `offset` or `format`",
        ),
        (
            r#""values": §{"on": 1}, "type": "boolean""#,
            "values",
            "`values` can be used with the types `integer`, `number` and `string`",
        ),
    ] {
        each(&[(&reading(rule), &format!("/readings/t/{member}"), message)]);
    }
    each(&[
        (
            r#"{"readings": {"t": §{"type": "number"}}}"#,
            "/readings/t",
            "a reading needs `from`, its source, or `value`, a constant",
        ),
        (
            r#"{"readings": {"t": {"value": 1, "type": §"number"}}}"#,
            "/readings/t/type",
            "a constant, which is a reading with `value`, has no other members",
        ),
        (
            r#"{"readings": {"t": {"value": §null}}}"#,
            "/readings/t/value",
            "must be a value other than null, found null",
        ),
        (
            r#"{"readings": §["/t"]}"#,
            "/readings",
            "must be an object of readings by their names, found an array of 1 element",
        ),
        (
            r#"{"readings": {"*": §false}}"#,
            "/readings/*",
            "must be true, a JSON Pointer or an object with `from`, found false",
        ),
        (
            r#"{"readings": {"*": {"include": §"a"}}}"#,
            "/readings/*/include",
            r#"must be a list of names, such as ["motor", "debug*"], found "a""#,
        ),
        (
            r#"{"readings": {"*": {"exclude": [§"a*b"]}}}"#,
            "/readings/*/exclude/0",
            "`*` is only allowed at the end of a name",
        ),
        (
            r#"{"readings": {"*": §{"from": "/m", "name": "/name"}}}"#,
            "/readings/*",
            "`name` is for names beside their values: `value` is missing",
        ),
        (
            r#"{"readings": {"*": {"prefix": §"_x"}}}"#,
            "/readings/*/prefix",
            "a name cannot begin with `_`, and it has at most 256 bytes",
        ),
        (r#"{"null": §"drop"}"#, "/null", r#""drop" is not what a null means: there are `ignore`, `clear`"#),
        (r#"{"objects": §"flat"}"#, "/objects", r#""flat" is not what an object becomes: did you mean `flatten`?"#),
        (r#"{"time": §{"format": "unix"}}"#, "/time", "the time needs `from`, its source"),
        (
            r#"{"time": {"from": "/t", "newest": §"Device"}}"#,
            "/time/newest",
            r#""Device" is not an order: did you mean `device`?"#,
        ),
        (
            r#"{"time": {"from": "/t", "notBefore": §"2020-01-01"}}"#,
            "/time/notBefore",
            r#"must be a time as 2020-01-01T00:00:00Z, found "2020-01-01""#,
        ),
        (r#"{"$schema": §1}"#, "/$schema", "must be the URL of the JSON Schema, found 1"),
        (r#"{"avro": §{}}"#, "/avro", "`avro` needs `schemas`, a list of files"),
        (r#"{"avro": {"schemas": [§""]}}"#, "/avro/schemas/0", r#"must be the path of a file, found """#),
        (
            r#"{"protobuf": §{"descriptors": "a"}}"#,
            "/protobuf",
            "`protobuf` needs `descriptors`, a file, and `message`, a type of it",
        ),
    ]);
}

#[test]
fn a_time_that_is_not_read_cannot_be_required() {
    let message = "`required` needs `\"newest\": \"device\"`: otherwise the time is not read";
    for newest in ["", r#""newest": "service", "#] {
        let file = format!(r#"{{"time": {{"from": "/ts", {newest}"required": §true}}}}"#);
        each(&[(&file, "/time/required", message)]);
    }
}

#[test]
fn a_name_that_is_reserved_or_too_long_is_reported() {
    for name in ["id", "Versions", "Heard", "SilentSince", "ttl", "_x", ""] {
        let file = format!(r#"{{"readings": {{§"{name}": "/a"}}}}"#);
        let problem = if name.is_empty() { "empty" } else { "reserved in the state document" };
        let message = format!("{name:?} cannot be the name of a reading: it is {problem}");
        each(&[(&file, &format!("/readings/{name}"), &message)]);
    }
    let long = "n".repeat(300);
    let file = format!(r#"{{"readings": {{§"{long}": "/a"}}}}"#);
    let pointer = format!("/readings/{}…", "n".repeat(54));
    each(&[(&file, &pointer, "the name has 300 bytes, and 256 are allowed")]);
}

#[test]
fn conditions_and_kinds_that_are_not_valid_are_reported() {
    each(&[
        (r#"{"when": §{"exists": true}}"#, "/when", "a condition needs `from`, the source of the value that it is for"),
        (r#"{"when": [§{"from": "/a"}]}"#, "/when/0", "a condition needs `exists`, `equals` or `startsWith`"),
        (r#"{"when": §[]}"#, "/when", "the list is empty: it needs at least one condition"),
        (
            r#"{"when": {"from": "/a", "equals": §{}}}"#,
            "/when/equals",
            "must be a text, a number, true, false or null, found an empty object",
        ),
        (r#"{"ignore": §{"from": "/a", "exists": true}}"#, "/ignore", "must be a list of conditions, found an object"),
        (r#"{"kinds": §[]}"#, "/kinds", "the list is empty: it needs at least one kind"),
        (r#"{"kinds": §{}}"#, "/kinds", "must be a list of kinds, found an empty object"),
        (r#"{"kinds": [§5]}"#, "/kinds/0", "must be an object: a kind, found 5"),
        (
            r#"{"when": §{"from": "/a", "exists": true}, "kinds": [{}]}"#,
            "/when",
            "`when` cannot be used together with `kinds`: each kind has its own",
        ),
        (
            r#"{"records": "/a", "kinds": [{"records": §"/b"}]}"#,
            "/kinds/0/records",
            "`records` is also at the top level: give it there or in the kinds",
        ),
        (
            r#"{"kinds": [§{}, {}]}"#,
            "/kinds/0",
            "`when` is missing, so the kinds after this one can never apply: only the last needs none",
        ),
    ]);
}

#[test]
fn all_mistakes_are_reported_in_their_order_up_to_a_limit() {
    let file =
        "{\n  \"time\": {\"form\": 1},\n\n  \"device\": 5,\n  \"readings\": {\"t\": {\"from\": 1, \"type\": \"x\"}}\n}";
    let places: Vec<_> =
        mistakes(file).iter().map(|mistake| mistake.split(": ").next().expect("a place").to_owned()).collect();
    assert_eq!(
        places,
        [
            "line 2, column 11, /time",
            "line 2, column 12, /time/form",
            "line 4, column 13, /device",
            "line 5, column 30, /readings/t/from",
            "line 5, column 41, /readings/t/type",
        ]
    );
    let members: Vec<_> = (0..10_000).map(|n| format!("\"x{n}\":1")).collect();
    assert_eq!(mistakes(format!("{{{}}}", members.join(","))).len(), 20);
}
