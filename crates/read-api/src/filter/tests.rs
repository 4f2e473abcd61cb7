use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn compare(name: &str, operator: Operator, value: Scalar) -> Filter {
    Filter::Compare { name: name.to_owned(), operator, value }
}

fn number(name: &str, operator: Operator, number: f64) -> Filter {
    compare(name, operator, Scalar::Number(number))
}

fn error(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

#[test]
fn each_operator_and_each_type_of_value_is_parsed() {
    let text = |text: &str| Scalar::Text(text.to_owned());
    for (filter, expected) in [
        ("battery<0.2", number("battery", Operator::Less, 0.2)),
        (" battery\t<=\n-1.5e+3 ", number("battery", Operator::LessOrEqual, -1500.0)),
        ("battery>1E-2", number("battery", Operator::Greater, 0.01)),
        ("7>=07", number("7", Operator::GreaterOrEqual, 7.0)),
        ("model = 'it''s'", compare("model", Operator::Equal, text("it's"))),
        ("model!=\"a 'b' \"\"c\"\"\"", compare("model", Operator::NotEqual, text("a 'b' \"c\""))),
        ("`motor temp``s` = ''", compare("motor temp`s", Operator::Equal, text(""))),
        ("on=TRUE", compare("on", Operator::Equal, Scalar::Boolean(true))),
        ("`or`=false", compare("or", Operator::Equal, Scalar::Boolean(false))),
        ("größe.x-1_y=1", number("größe.x-1_y", Operator::Equal, 1.0)),
        ("Exists ( `model` )", Filter::Exists("model".to_owned())),
    ] {
        assert_eq!(parse(filter).as_ref(), Ok(&expected), "{filter}");
    }
}

#[test]
fn and_binds_stronger_than_or_and_parentheses_group() {
    let [a, b, c] = ["a", "b", "c"].map(|name| Filter::Exists(name.to_owned()));
    let [any, all] = [Filter::Any, Filter::All];
    for (filter, expected) in [
        ("exists(a) or exists(b) AND exists(c)", any(vec![a.clone(), all(vec![b.clone(), c.clone()])])),
        ("(exists(a)or exists(b))and((exists(c)))", all(vec![any(vec![a.clone(), b.clone()]), c.clone()])),
        ("exists(a) and exists(b) and exists(c)", all(vec![a, b, c])),
    ] {
        assert_eq!(parse(filter).as_ref(), Ok(&expected), "{filter}");
    }
}

#[test]
fn an_error_has_the_position_and_what_was_expected() {
    for (filter, expected) in [
        (
            "",
            "at character 1: expected the name of a reading (in backticks if it has other characters than letters, digits and `_.-`), found the end of the filter",
        ),
        ("battery", "at character 8: expected `=`, `!=`, `<`, `<=`, `>` or `>=`, found the end of the filter"),
        (
            "battery < ",
            "at character 11: expected a number, a text in quotes, `true` or `false`, found the end of the filter",
        ),
        ("battery == 1", "at character 10: expected a number, a text in quotes, `true` or `false`, found `=`"),
        ("battery < low", "at character 11: expected a number, a text in quotes, `true` or `false`, found `low`"),
        (
            "battery = null",
            "at character 11: expected a number, a text in quotes, `true` or `false`, found `null`: use `exists(name)`",
        ),
        ("größe<1 and; DROP", "at character 12: expected a name, a value, an operator or a parenthesis, found `;`"),
        ("a=1 b=2", "at character 5: expected `and`, `or` or the end of the filter, found `b`"),
        ("a=1)", "at character 4: expected `and`, `or` or the end of the filter, found `)`"),
        ("(a=1", "at character 5: expected `and`, `or` or `)`, found the end of the filter"),
        ("a='x", "at character 5: expected the closing quote ', found the end of the filter"),
        ("exists a", "at character 8: expected `(`, found `a`"),
        (
            "not a=1",
            "at character 1: the language has no `not`: use the opposite comparison, such as `!=` for `=`; absent readings cannot be selected",
        ),
        ("Heard<1", "at character 1: no reading has the name `Heard`; use the parameters `silent` and `heardSince`"),
        ("exists(_ts)", "at character 8: no reading has the name `_ts`"),
        ("a=1e999", "at character 3: the number is too large"),
        ("a=inf", "at character 3: expected a number, a text in quotes, `true` or `false`, found `inf`"),
    ] {
        assert_eq!(error(filter), expected, "{filter}");
    }
}

#[test]
fn length_conditions_and_depth_are_limited() {
    let of_terms = |terms: usize| vec!["a=1"; terms].join(" or ");
    let of_depth = |depth: usize| format!("{}a=1{}", "(".repeat(depth), ")".repeat(depth));
    let of_length = |length: usize| format!("a='{}'", "ä".repeat(length - 4));
    for accepted in [of_terms(MAX_TERMS), of_depth(MAX_DEPTH), of_length(MAX_CHARS)] {
        assert!(parse(&accepted).is_ok(), "{accepted}");
    }
    assert!(error(&of_terms(MAX_TERMS + 1)).ends_with("at most 50 conditions"));
    assert_eq!(error(&of_depth(MAX_DEPTH + 1)), "at character 21: parentheses are nested at most 20 deep");
    assert_eq!(error(&of_length(MAX_CHARS + 1)), "at character 1001: a filter has at most 1000 characters");
    // The depth is that of open parentheses, not their number.
    assert!(parse(&vec!["(a=1)"; MAX_TERMS].join(" and ")).is_ok());
}

/// Prints a filter so that [`parse`] reads the same one.
fn print(filter: &Filter) -> String {
    fn quoted(text: &str, quote: char) -> String {
        format!("{quote}{}{quote}", text.replace(quote, &quote.to_string().repeat(2)))
    }
    fn join(filters: &[Filter], word: &str, needs_parentheses: fn(&Filter) -> bool) -> String {
        let parts = filters
            .iter()
            .map(|filter| if needs_parentheses(filter) { format!("({})", print(filter)) } else { print(filter) });
        parts.collect::<Vec<_>>().join(word)
    }
    match filter {
        Filter::Any(filters) => join(filters, " or ", |filter| matches!(filter, Filter::Any(_))),
        Filter::All(filters) => join(filters, " and ", |filter| matches!(filter, Filter::Any(_) | Filter::All(_))),
        Filter::Exists(name) => format!("exists({})", quoted(name, '`')),
        Filter::Compare { name, operator, value } => {
            let operator = match operator {
                Operator::Equal => "=",
                Operator::NotEqual => "!=",
                Operator::Less => "<",
                Operator::LessOrEqual => "<=",
                Operator::Greater => ">",
                Operator::GreaterOrEqual => ">=",
            };
            let mut text = format!("{}{operator}", quoted(name, '`'));
            match value {
                Scalar::Number(number) => write!(text, "{number:e}").expect("a string"),
                Scalar::Text(value) => text.push_str(&quoted(value, '\'')),
                Scalar::Boolean(value) => write!(text, "{value}").expect("a string"),
            }
            text
        }
        _ => unreachable!("the language has no other conditions"),
    }
}

fn any_filter() -> impl Strategy<Value = Filter> {
    let name = "[^_]{1,8}".prop_filter("the name of a reading", |name: &String| is_reading_name(name));
    let operator = prop::sample::select(vec![
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::LessOrEqual,
        Operator::Greater,
        Operator::GreaterOrEqual,
    ]);
    let number = prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL;
    let value = prop_oneof![
        number.prop_map(Scalar::Number),
        ".{0,8}".prop_map(Scalar::Text),
        any::<bool>().prop_map(Scalar::Boolean),
    ];
    let term = prop_oneof![
        name.clone().prop_map(Filter::Exists),
        (name, operator, value).prop_map(|(name, operator, value)| Filter::Compare { name, operator, value }),
    ];
    term.prop_recursive(3, 8, 3, |part| {
        let parts = prop::collection::vec(part, 2..4);
        prop_oneof![parts.clone().prop_map(Filter::All), parts.prop_map(Filter::Any)]
    })
}

proptest! {
    #[test]
    fn a_printed_filter_is_parsed_to_the_same_filter(filter in any_filter()) {
        let text = print(&filter);
        prop_assume!(text.chars().count() <= MAX_CHARS);
        prop_assert_eq!(parse(&text), Ok(filter), "{}", text);
    }

    #[test]
    fn any_text_is_parsed_or_refused_with_a_position_in_it(text in "[a-c01 .()<>=!'\"`\\-+eandorxists;\u{0}ä]{0,60}|.{0,40}") {
        if let Err(error) = parse(&text) {
            prop_assert!((1..=text.chars().count() + 1).contains(&error.position), "{}", error);
        }
    }
}
