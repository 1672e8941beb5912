//! The one place that writes to standard output and standard error.

use std::io::{self, Write};

use crate::cli::args::Output;
use crate::cli::data::{Format, print};
use crate::cli::{Exit, Failure};

/// Writes `text` as it is: colours only where a terminal shows them.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes any value as data, in the format and with the query that were asked for.
pub fn say_data(value: &impl serde::Serialize, output: &Output) -> Result<(), Failure> {
    say(&data(value, output.query.as_deref(), output.format().unwrap_or(Format::Json))?)
}

/// Tells why a command ended early. Where even that cannot be written, the exit code alone has to tell.
pub fn complain(failure: &Failure) {
    let mut err = anstream::stderr().lock();
    let told: io::Result<()> = write!(err, "{}", failure.text());
    drop(told);
}

/// A value as data, or what `query` (JMESPath) finds in it.
pub fn data(value: &impl serde::Serialize, query: Option<&str>, format: Format) -> Result<String, Failure> {
    let internal = |error| Failure::cannot(Exit::Internal, "write JSON", error);
    let value = match (query, format) {
        // In the order in which the fields are documented.
        (None, Format::Json) => return Ok(serde_json::to_string_pretty(value).map_err(internal)? + "\n"),
        (None, Format::Text | Format::Table) => serde_json::to_value(value).map_err(internal)?,
        (Some(query), _) => serde_json::to_value(found(value, query)?).map_err(internal)?,
    };
    Ok(print(&value, format))
}

fn found(value: &impl serde::Serialize, query: &str) -> Result<jmespath::Rcvar, Failure> {
    let refused = |error: jmespath::JmespathError| {
        Failure::cannot(Exit::Usage, format!("use the query {query:?}"), first_line(&error)).hint(EXAMPLES)
    };
    let value = jmespath::Variable::from_serializable(value).map_err(refused)?;
    jmespath::compile(query).and_then(|expression| expression.search(value)).map_err(refused)
}

const EXAMPLES: &str = "queries are JMESPath, such as --query verdict or --query \"shares[].targets[].state\"";

fn first_line(error: &jmespath::JmespathError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Whether a query can be used at all: asked before any work is done.
pub(super) fn query(text: &str) -> Result<String, String> {
    match jmespath::compile(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{}\nhint: {EXAMPLES}", first_line(&error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &serde_json::Value, query: Option<&str>) -> Result<String, Failure> {
        data(value, query, Format::Json)
    }

    #[test]
    fn a_query_picks_from_the_json() {
        let value =
            serde_json::json!({ "verdict": "safe", "shares": [{ "files": 18_000_000_000_u64 }, { "files": 2 }] });
        assert_eq!(json(&value, Some("verdict")), Ok("\"safe\"\n".into()));
        assert_eq!(json(&value, Some("shares[].files")), Ok("[\n  18000000000,\n  2\n]\n".into()));
        assert_eq!(json(&value, Some("nothing")), Ok("null\n".into()));
        assert_eq!(json(&serde_json::json!({}), None), Ok("{}\n".into()));
        assert_eq!(data(&value, Some("shares[].files"), Format::Text), Ok("18000000000\t2\n".into()));
    }

    #[test]
    fn a_bad_query_is_wrong_usage() {
        let failure = json(&1.into(), Some("a[")).expect_err("unfinished");
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.text().starts_with("error: cannot use the query \"a[\": "), "{}", failure.text());
        assert!(query("a[").is_err() && query("a[0]").is_ok());
    }
}
