//! Data as aws-cli prints it: JSON, or tab-separated text, or a table, of what a query finds.
//!
//! Text and tables follow aws-cli's rules: keys in the order of the alphabet, a list of scalars on one line, what is nested on
//! lines of its own that begin with its key in capitals, and `None`, `True` and `False` for what JSON calls otherwise.

use serde_json::Value;

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON, indented.
    Json,
    /// Values with tabs between, for scripts.
    Text,
    /// A table drawn with characters.
    Table,
}

/// The value in this format; ends with a line break unless there is nothing to print.
pub(super) fn print(value: &Value, format: Format) -> String {
    match format {
        Format::Json => serde_json::to_string_pretty(value).expect("a JSON value is always JSON") + "\n",
        Format::Text => {
            let mut out = String::new();
            text(value, None, None, &mut out);
            out
        }
        Format::Table => {
            let mut out = String::new();
            table(value, None, &mut out);
            out
        }
    }
}

/// A value that is neither object nor list, as Python writes it.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn is_nested(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn text(value: &Value, name: Option<&str>, keys: Option<&[String]>, out: &mut String) {
    match value {
        Value::Object(_) => text_object(value, name, keys, out),
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let keys = scalar_keys(items);
            items.iter().for_each(|item| text(item, name, Some(&keys), out));
        }
        Value::Array(items) => {
            let (nested, plain): (Vec<_>, Vec<_>) = items.iter().partition(|item| is_nested(item));
            text_scalars(&plain, name, out);
            nested.into_iter().for_each(|item| text(item, name, None, out));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

fn text_scalars(items: &[&Value], name: Option<&str>, out: &mut String) {
    let words: Vec<_> = items.iter().map(|item| scalar(item)).collect();
    match name {
        _ if words.is_empty() => {}
        Some(name) => words.iter().for_each(|word| *out += &format!("{}\t{word}\n", name.to_uppercase())),
        None => *out += &(words.join("\t") + "\n"),
    }
}

fn text_object(value: &Value, name: Option<&str>, keys: Option<&[String]>, out: &mut String) {
    let Value::Object(fields) = value else { return };
    let mut words = Vec::new();
    let mut nested = Vec::new();
    for (key, value) in sorted(fields) {
        if keys.is_none() && !is_nested(value) {
            words.push(scalar(value));
        } else if is_nested(value) && !keys.is_some_and(|keys| keys.contains(key)) {
            nested.push((key, value));
        }
    }
    let empty = String::new;
    words.extend(keys.unwrap_or_default().iter().map(|key| fields.get(key).map_or_else(empty, scalar)));
    if !words.is_empty() {
        words.splice(0..0, name.map(str::to_uppercase));
        *out += &(words.join("\t") + "\n");
    }
    nested.into_iter().for_each(|(key, value)| text(value, Some(key), None, out));
}

fn sorted(fields: &serde_json::Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut all: Vec<_> = fields.iter().collect();
    all.sort_by_key(|(key, _)| *key);
    all
}

/// The keys under which any of these objects has a scalar, in their order.
fn scalar_keys(items: &[Value]) -> Vec<String> {
    let fields = items.iter().filter_map(Value::as_object).flatten();
    let mut keys: Vec<_> = fields.filter(|(_, value)| !is_nested(value)).map(|(key, _)| key.clone()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// A box for the scalars, and below it one for each thing that is nested, with its key above.
fn table(value: &Value, name: Option<&str>, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let plain = sorted(fields).into_iter().filter(|(_, value)| !is_nested(value));
            let rows = plain.map(|(key, value)| vec![key.clone(), scalar(value)]).collect();
            draw(name, None, rows, out);
            sorted(fields).into_iter().filter(|(_, value)| is_nested(value)).for_each(|(key, value)| {
                table(value, Some(key), out);
            });
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let is_flat = |item: &Value| item.as_object().is_some_and(|fields| !fields.values().any(is_nested));
            if items.iter().all(is_flat) {
                let keys = scalar_keys(items);
                let cell = |item: &Value, key: &String| item.get(key).map(scalar).unwrap_or_default();
                let rows = items.iter().map(|item| keys.iter().map(|key| cell(item, key)).collect()).collect();
                draw(name, Some(keys), rows, out);
            } else {
                items.iter().for_each(|item| table(item, name, out));
            }
        }
        Value::Array(items) => {
            let row = |item: &Value| match item {
                Value::Array(cells) => cells.iter().map(scalar).collect(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                    vec![scalar(item)]
                }
            };
            draw(name, None, items.iter().map(row).collect(), out);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            draw(name, None, vec![vec![scalar(value)]], out);
        }
    }
}

fn draw(name: Option<&str>, heads: Option<Vec<String>>, rows: Vec<Vec<String>>, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    let all: Vec<_> = heads.iter().chain(&rows).collect();
    let count = all.iter().map(|row| row.len()).max().unwrap_or(0);
    let cell = |row: &[String], at: usize| crate::cli::text::harmless(row.get(at).map_or("", String::as_str));
    let widths: Vec<_> =
        (0..count).map(|at| all.iter().map(|row| cell(row, at).chars().count()).max().unwrap_or(0)).collect();
    let rule = widths.iter().map(|width| format!("+{}", "-".repeat(width + 4))).collect::<String>() + "+\n";
    let line = |row: &[String]| {
        let cells = widths.iter().enumerate().map(|(at, width)| format!("|  {:<width$}  ", cell(row, at)));
        cells.collect::<String>() + "|\n"
    };
    if let Some(name) = name {
        *out += &format!("{name}\n");
    }
    *out += &rule;
    if let Some(heads) = &heads {
        *out += &(line(heads) + &rule);
    }
    rows.iter().for_each(|row| *out += &line(row));
    *out += &rule;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_as_aws_cli_writes_it() {
        let table = [
            (json!("safe"), "safe\n"),
            (json!(null), "None\n"),
            (json!([]), ""),
            (json!(["a", 1, true]), "a\t1\tTrue\n"),
            (json!([["efs", "ok"], ["cloud", null]]), "efs\tok\ncloud\tNone\n"),
            (json!({ "b": 2, "a": false, "n": [1, 2] }), "False\t2\nN\t1\nN\t2\n"),
            (json!([{ "a": 1, "b": 2 }, { "b": 3 }]), "1\t2\n\t3\n"),
            (
                json!({ "name": "x", "targets": [{ "name": "efs", "v": { "files": 3 } }, { "name": "nas" }] }),
                "x\nTARGETS\tefs\nV\t3\nTARGETS\tnas\n",
            ),
        ];
        for (value, wanted) in table {
            assert_eq!(print(&value, Format::Text), wanted, "{value}");
        }
    }

    #[test]
    fn a_table_has_heads_where_there_are_keys() {
        let rows = json!([{ "name": "efs", "state": "ok" }, { "name": "cloud", "state": "resting" }]);
        let wanted = "\
+---------+-----------+
|  name   |  state    |
+---------+-----------+
|  efs    |  ok       |
|  cloud  |  resting  |
+---------+-----------+
";
        assert_eq!(print(&rows, Format::Table), wanted);
        let nested = json!({ "verdict": "safe", "agent": { "pid": 7 } });
        let wanted = "\
+-----------+--------+
|  verdict  |  safe  |
+-----------+--------+
agent
+-------+-----+
|  pid  |  7  |
+-------+-----+
";
        assert_eq!(print(&nested, Format::Table), wanted);
        assert_eq!(print(&json!([["a", 1], ["b"]]), Format::Table).lines().count(), 4);
    }
}
