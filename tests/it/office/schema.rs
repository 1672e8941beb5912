//! As much of JSON Schema as `src/docs/status.schema.json` uses, so that every status that a test sees is held against it.
//!
//! A word of a schema that is not known here fails: nothing is passed over in silence.

use std::sync::LazyLock;

use serde_json::{Map, Value};

static STATUS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../src/docs/status.schema.json")).expect("the schema is JSON")
});

/// Where a status is not as the schema says; empty if it is.
pub(crate) fn faults_of_status(status: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(&STATUS, &STATUS, status, "", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let schema = schema.as_object().expect("a schema is an object");
    for (word, rule) in schema {
        let fault = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" | "additionalProperties" => None,
            "$ref" => {
                check(root, resolve(root, rule), value, at, faults);
                None
            }
            "type" => (!is_of(value, rule)).then(|| format!("is no {rule}")),
            "enum" => (!rule.as_array().is_some_and(|all| all.contains(value))).then(|| format!("is none of {rule}")),
            "format" if rule == "date-time" => not_a_time(value),
            "minimum" => value.as_f64().filter(|v| Some(*v) < rule.as_f64()).map(|_| format!("is below {rule}")),
            "maximum" => value.as_f64().filter(|v| Some(*v) > rule.as_f64()).map(|_| format!("is above {rule}")),
            "required" => missing(rule, value),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{at}[{index}]"), faults);
                }
                None
            }
            "anyOf" => {
                let fits = |one: &Value| {
                    let mut inner = Vec::new();
                    check(root, one, value, at, &mut inner);
                    inner.is_empty()
                };
                let fits = rule.as_array().into_iter().flatten().any(fits);
                (!fits).then(|| format!("is none of {rule}, but {value}"))
            }
            _ => panic!("the schema uses {word:?}, which this test does not know"),
        };
        faults.extend(fault.map(|fault| format!("{at} {fault}")));
    }
    if let Some(fields) = value.as_object() {
        check_fields(root, schema, fields, at, faults);
    }
}

fn check_fields(
    root: &Value,
    schema: &Map<String, Value>,
    fields: &Map<String, Value>,
    at: &str,
    faults: &mut Vec<String>,
) {
    let Some(known) = schema.get("properties").and_then(Value::as_object) else { return };
    for (name, value) in fields {
        match known.get(name) {
            Some(rule) => check(root, rule, value, &format!("{at}.{name}"), faults),
            None if schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                faults.push(format!("{at}.{name} is not in the schema"));
            }
            None => {}
        }
    }
}

fn resolve<'a>(root: &'a Value, link: &Value) -> &'a Value {
    let link = link.as_str().and_then(|link| link.strip_prefix('#')).expect("a link within the schema");
    root.pointer(link).expect("the link leads somewhere")
}

fn is_of(value: &Value, rule: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => panic!("the schema uses the type {name}, which this test does not know"),
    };
    rule.as_array().map_or_else(|| is(rule), |all| all.iter().any(is))
}

fn not_a_time(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let shape = |(at, c): (usize, char)| match at {
        4 | 7 => c == '-',
        10 => c == 'T',
        13 | 16 => c == ':',
        _ => c.is_ascii_digit(),
    };
    let fine = text.len() >= 20 && text.ends_with('Z') && text.chars().enumerate().take(19).all(shape);
    (!fine).then(|| format!("is no time in UTC: {text}"))
}

fn missing(rule: &Value, value: &Value) -> Option<String> {
    let fields = value.as_object()?;
    let names = rule.as_array()?.iter().filter_map(Value::as_str);
    let missing: Vec<_> = names.filter(|name| !fields.contains_key(*name)).collect();
    (!missing.is_empty()).then(|| format!("lacks {missing:?}"))
}
