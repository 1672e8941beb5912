//! The one place that writes to standard output and standard error.

use std::io::{self, Write};

use crate::cli::Failure;

/// Writes `text` as it is: colours only where a terminal shows them.
pub fn say(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    write!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Writes any value as JSON, or what `query` finds in it.
pub fn say_json(value: &impl serde::Serialize, query: Option<&str>) -> Result<(), Failure> {
    say(&json(value, query)?)
}

/// Tells why a command ended early. Where even that cannot be written, the exit code alone has to tell.
pub fn complain(failure: &Failure) {
    let mut err = anstream::stderr().lock();
    let told: io::Result<()> = write!(err, "{}", failure.text());
    drop(told);
}

/// The JSON text of a value, or of what `query` (JMESPath) finds in it; ends with a line break.
pub fn json(value: &impl serde::Serialize, query: Option<&str>) -> Result<String, Failure> {
    let internal = |error| Failure::cannot(crate::cli::Exit::Internal, "write JSON", error);
    let text = match query {
        None => serde_json::to_string_pretty(value).map_err(internal)?,
        Some(query) => serde_json::to_string_pretty(&found(value, query)?).map_err(internal)?,
    };
    Ok(text + "\n")
}

fn found(value: &impl serde::Serialize, query: &str) -> Result<jmespath::Rcvar, Failure> {
    let refused = |error: jmespath::JmespathError| {
        let cause = error.to_string().lines().next().unwrap_or_default().to_owned();
        Failure::cannot(crate::cli::Exit::Usage, format!("use the query {query:?}"), cause)
            .hint("queries are JMESPath, such as --query verdict or --query \"shares[].targets[].state\"")
    };
    let value = jmespath::Variable::from_serializable(value).map_err(refused)?;
    jmespath::compile(query).and_then(|expression| expression.search(value)).map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_picks_from_the_json() {
        let value =
            serde_json::json!({ "verdict": "safe", "shares": [{ "files": 18_000_000_000_u64 }, { "files": 2 }] });
        assert_eq!(json(&value, Some("verdict")), Ok("\"safe\"\n".into()));
        assert_eq!(json(&value, Some("shares[].files")), Ok("[\n  18000000000,\n  2\n]\n".into()));
        assert_eq!(json(&value, Some("nothing")), Ok("null\n".into()));
        assert_eq!(json(&serde_json::json!({}), None), Ok("{}\n".into()));
    }

    #[test]
    fn a_bad_query_is_wrong_usage() {
        let failure = json(&1, Some("a[")).expect_err("unfinished");
        assert_eq!(failure.exit(), crate::cli::Exit::Usage);
        assert!(failure.text().starts_with("error: cannot use the query \"a[\": "), "{}", failure.text());
    }
}
