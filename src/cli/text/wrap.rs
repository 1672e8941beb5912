//! Lines that are no wider than the screen, and commands that stay whole in them.
//!
//! Not here: what is cut off instead (`cut`), and tables.

/// Programs whose commands are shown to people.
const PROGRAMS: [&str; 4] = ["driftline", "systemctl", "journalctl", "sysctl"];

/// The text in lines of at most `width` columns, broken between words; all but the first begin with `indent`. A word that is
/// longer stays whole, and so does a command that is to be typed.
///
/// A command is what stands in backticks or quotes and begins with a program's name, or what follows such a name behind a
/// colon or the word "see", up to the next comma or semicolon; a semicolon before another program's name goes on with it.
pub(super) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    // Spaces at its beginning stay: they are an indent of its own.
    let begin = text.len() - text.trim_start().len();
    lines[0].push_str(&text[..begin]);
    let mut empty = true;
    for piece in pieces(text) {
        let last = lines.last_mut().expect("there is always a line");
        if !empty && last.chars().count() + 1 + piece.chars().count() > width {
            lines.push(format!("{indent}{piece}"));
            continue;
        }
        if !std::mem::take(&mut empty) {
            last.push(' ');
        }
        last.push_str(piece);
    }
    lines.join("\n")
}

/// Words, and commands as one piece each.
fn pieces(text: &str) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let is_told = found.last().is_some_and(|before| before.ends_with(':') || matches!(*before, "see" | "See"));
        let (piece, behind) = rest.split_at(command(rest, is_told).unwrap_or_else(|| word(rest)));
        found.push(piece.trim_end());
        rest = behind.trim_start();
    }
    found
}

/// The length of its first word (bytes).
fn word(text: &str) -> usize {
    text.find(char::is_whitespace).unwrap_or(text.len())
}

/// The length of the command that it begins with (bytes), with the marks around it; `None` if it begins with none.
fn command(text: &str, is_told: bool) -> Option<usize> {
    match text.chars().next()? {
        mark @ ('`' | '\'') => {
            let inner = &text[1..];
            let end = inner.find(mark).filter(|_| is_program(inner))?;
            // With the comma behind it.
            Some(1 + end + word(&inner[end..]))
        }
        _ if is_told && is_program(text) => Some(clause(text)),
        _ => None,
    }
}

fn is_program(text: &str) -> bool {
    PROGRAMS.contains(&text[..word(text)].trim_end_matches(['`', '\'']))
}

/// The length of a command that nothing but a comma or a semicolon ends (bytes). What is quoted ends nothing.
fn clause(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        let after = &text[at + c.len_utf8()..];
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ',' | ';') if after.starts_with(' ') && !(c == ';' && is_program(after.trim_start())) => {
                return at + 1;
            }
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_lose_none() {
        assert_eq!(wrap("one two three", 80, "  "), "one two three");
        assert_eq!(wrap("one two three", 8, "  "), "one two\n  three");
        assert_eq!(wrap("  a longlonglong b", 6, "    "), "  a\n    longlonglong\n    b");
        assert_eq!(wrap("", 6, "    "), "");
    }

    #[test]
    fn what_is_to_be_typed_is_one_piece_and_nothing_else_is() {
        let table: &[(&str, &[&str])] = &[
            (
                "if so: driftline approve a/b; if not, wait",
                &["if", "so:", "driftline approve a/b;", "if", "not,", "wait"],
            ),
            ("see driftline problems", &["see", "driftline problems"]),
            ("stop it with `driftline pause`, then go", &["stop", "it", "with", "`driftline pause`,", "then", "go"]),
            ("take it with 'driftline approve x'", &["take", "it", "with", "'driftline approve x'"]),
            ("now: systemctl a b; systemctl c d; e", &["now:", "systemctl a b; systemctl c d;", "e"]),
            ("x: driftline restore 'a,  b; c' --to \"d, e\"", &["x:", "driftline restore 'a,  b; c' --to \"d, e\""]),
            // Sentences, and words in quotes.
            ("driftline makes none: it waits", &["driftline", "makes", "none:", "it", "waits"]),
            ("`ignore` of it, the machine's `disk`", &["`ignore`", "of", "it,", "the", "machine's", "`disk`"]),
            ("a `driftline pause without an end", &["a", "`driftline", "pause", "without", "an", "end"]),
        ];
        for (text, wanted) in table {
            assert_eq!(pieces(text), *wanted);
        }
    }
}
