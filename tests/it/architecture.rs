//! The sources are read, and the floors hold: which module may name which, and where each crate may be named.
//!
//! What is read is code only: comments, strings and test modules are taken out first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every module of the crate, and the modules that it may name besides itself.
const FLOORS: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("sys", &["model"]),
    ("plan", &["model"]),
    ("settle", &["model", "plan"]),
    ("rest", &["model", "plan"]),
    ("names", &["model", "plan"]),
    ("config", &["model", "plan"]),
    ("index", BELOW_ADAPTERS),
    ("local", BELOW_ADAPTERS),
    ("target", BELOW_ADAPTERS),
    ("engine", BELOW_ENGINE),
    ("cli", BELOW_CLI),
    ("lib", &[]),
];
const BELOW_ADAPTERS: &[&str] = &["model", "sys", "plan", "settle", "rest", "names", "config"];
const BELOW_ENGINE: &[&str] =
    &["model", "sys", "plan", "settle", "rest", "names", "config", "index", "local", "target"];
const BELOW_CLI: &[&str] =
    &["model", "sys", "plan", "settle", "rest", "names", "config", "index", "local", "target", "engine"];

/// Every dependency, and the paths under `src/` that may name it.
const CRATES: [(&str, &[&str]); 40] = [
    ("anstream", &["cli/"]),
    ("aws_config", &["target/s3/"]),
    ("aws_runtime", &["target/s3/"]),
    ("aws_sdk_s3", &["target/s3/"]),
    ("aws_sdk_sqs", &["target/s3/"]),
    ("aws_sigv4", &["target/s3/"]),
    ("aws_smithy_http_client", &["target/s3/"]),
    ("aws_smithy_runtime_api", &["target/s3/"]),
    ("aws_smithy_types", &["target/s3/"]),
    ("blake3", &["model/", "local/", "target/"]),
    ("bytes", &["target/s3/"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("crc_fast", &["target/s3/"]),
    ("ignore", &["local/"]),
    ("indicatif", &["cli/"]),
    ("jiff", &["cli/", "engine/clock"]),
    ("jmespath", &["cli/"]),
    ("libc", &["sys/"]),
    ("md5", &["target/s3/"]),
    ("mime_guess", &["target/s3/"]),
    ("notify", &["local/"]),
    ("rusqlite", &["index/"]),
    ("rustix", &["sys/"]),
    ("rustls", &["target/s3/"]),
    ("rustls_native_certs", &["target/s3/"]),
    ("sd_notify", &["cli/"]),
    ("serde", &["config/", "plan/", "target/", "engine/", "cli/"]),
    ("serde_json", &["target/", "engine/", "cli/"]),
    ("sha2", &["target/s3/"]),
    ("thiserror", &[""]),
    ("tokio", &["cli/", "target/s3/"]),
    ("toml", &["config/"]),
    ("tracing", &["engine/", "cli/"]),
    ("tracing_journald", &["cli/"]),
    ("tracing_subscriber", &["cli/"]),
    ("unicode_normalization", &["names/", "engine/"]),
    ("uuid", &["target/", "cli/"]),
    ("walkdir", &["local/"]),
];

/// Sequences of words and signs that may stand in one place only.
const PLACES: [(&[&str], &[&str], &str); 10] = [
    (&["unsafe"], &["sys/raw.rs"], "unsafe code"),
    (&["SystemTime", "::", "now"], &["engine/clock.rs"], "the clock is read"),
    (&["Instant", "::", "now"], &["engine/clock.rs"], "the clock is read"),
    (&["Timestamp", "::", "now"], &["engine/clock.rs"], "the clock is read"),
    (&["Zoned", "::", "now"], &["engine/clock.rs"], "the clock is read"),
    (&["println", "!"], &[], "println! panics when nobody reads"),
    (&["eprintln", "!"], &[], "eprintln! panics when nobody reads"),
    (&["print", "!"], &[], "print! panics when nobody reads"),
    (&["eprint", "!"], &[], "eprint! panics when nobody reads"),
    (&["dbg", "!"], &[], "left from debugging"),
];

/// Places that only `cli` and the program's entry may name: what people read goes through them.
const PRINTERS: [&[&str]; 4] = [&["io", "::", "stdout"], &["io", "::", "stderr"], &["stdout", "("], &["stderr", "("]];

#[test]
fn the_floors_hold() {
    let mut found = Vec::new();
    for (name, text) in sources() {
        found.extend(violations(&name, &text));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_dependency_has_its_place() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let listed: BTreeSet<String> = manifest
        .lines()
        .skip_while(|line| *line != "[dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once([' ', '=']))
        .map(|(name, _)| name.replace('-', "_"))
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect();
    let placed: BTreeSet<String> = CRATES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed, placed, "Cargo.toml on the left, the table of this test on the right");
}

#[test]
fn a_violation_is_caught() {
    let table = [
        ("plan/mod.rs", "use crate::engine::Core;", "plan may not name engine"),
        ("plan/deep/x.rs", "use crate::{model::Wall, index::{Index}};", "plan may not name index"),
        ("index/mod.rs", "fn f() { crate::target::x() }", "index may not name target"),
        ("local/mod.rs", "use super::index::Index;", "local may not name index"),
        ("settle.rs", "use super::local::Found;", "settle may not name local"),
        ("plan/a.rs", "use super::super::local::Found;", "super::super climbs out of sight"),
        ("model/x.rs", "pub(in crate::engine) fn f() {}", "model may not name engine"),
        ("newcomer.rs", "", "newcomer has no floor"),
        ("main.rs", "fn main() { driftline::engine::run() }", "main.rs may name driftline::cli only"),
        ("engine/mod.rs", "use rusqlite::Connection;", "rusqlite may not be named here"),
        ("target/s3.rs", "let w = ::walkdir::WalkDir::new(p);", "walkdir may not be named here"),
        ("config/mod.rs", "use { std::fs, toml };", "toml"),
        ("local/watch.rs", "unsafe { }", "unsafe code"),
        ("sys/beneath.rs", "#[expect(unsafe_code)] fn f() { unsafe { g() } }", "unsafe code"),
        ("engine/core.rs", "let now = std::time::Instant::now();", "the clock is read"),
        ("cli/out.rs", "println!(\"x\")", "println! panics"),
        ("target/dir/mod.rs", "std::io::stdout().write_all(b)", "only cli prints"),
        ("engine/mod.rs", "use std::io::stderr;", "only cli prints"),
    ];
    for (name, text, wanted) in table {
        let found = violations(name, text);
        let caught = found.iter().any(|violation| violation.contains(wanted));
        // One row is the other way round: `toml` has its place in config.
        assert_eq!(caught, name != "config/mod.rs", "{name}: {text}\nfound {found:?}");
    }
}

#[test]
fn what_is_allowed_and_what_is_not_code_are_let_pass() {
    let table = [
        ("engine/core.rs", "use crate::{index::Index, target::Target};"),
        ("engine/clock.rs", "fn now() { std::time::Instant::now(); }"),
        ("sys/raw.rs", "unsafe { f() }"),
        ("plan/mod.rs", "//! See crate::engine, println!, unsafe.\n/* crate::cli /* nested */ rusqlite::x */"),
        (
            "plan/mod.rs",
            "let s = \"crate::engine \\\" unsafe\"; let r = r#\"rusqlite::\"x\"#; let c = '\"'; let l: &'a str;",
        ),
        ("plan/mod.rs", "#[cfg(test)]\nmod tests { fn f() { crate::engine::x(); { } } }\n"),
        ("local/mod.rs", "let notify = 1; self.notify.wake(); Self::notify(); x::notify::y();"),
        ("main.rs", "fn main() { driftline::cli::main() }"),
        ("local/walk.rs", "use walkdir::WalkDir;"),
    ];
    for (name, text) in table {
        assert_eq!(violations(name, text), Vec::<String>::new(), "{text}");
    }
    let after = "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::engine::X;";
    assert_eq!(violations("plan/mod.rs", after), ["src/plan/mod.rs: plan may not name engine"]);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file by its path under `src/`. Files that hold nothing but tests are left out.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let mut folders = vec![src.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs")
                && path.file_name().is_some_and(|n| n != "tests.rs")
            {
                found.push((name_of(&src, &path), fs::read_to_string(&path).expect("a source")));
            }
        }
    }
    assert!(found.len() > 20, "the sources are found");
    found
}

fn name_of(src: &Path, path: &Path) -> String {
    path.strip_prefix(src).expect("below src").to_string_lossy().into_owned()
}

/// What is wrong with one file.
fn violations(name: &str, text: &str) -> Vec<String> {
    let tokens = without_tests(tokens(text));
    let mut found = match name {
        "main.rs" => entry_violations(&tokens),
        _ => floor_violations(name, &tokens),
    };
    found.extend(crate_violations(name, &tokens));
    found.extend(place_violations(name, &tokens));
    found.sort();
    found.dedup();
    found.into_iter().map(|what| format!("src/{name}: {what}")).collect()
}

fn entry_violations(tokens: &[String]) -> Vec<String> {
    let named = paths_after(tokens, "driftline");
    let wrong = named.iter().any(|module| module != "cli");
    if wrong { vec!["main.rs may name driftline::cli only".to_owned()] } else { Vec::new() }
}

fn floor_violations(name: &str, tokens: &[String]) -> Vec<String> {
    let module = name.split(['/', '.']).next().unwrap_or_default();
    let Some((_, allowed)) = FLOORS.iter().find(|(floor, _)| *floor == module) else {
        return vec![format!("{module} has no floor: give it one in tests/it/architecture.rs")];
    };
    let mut named = paths_after(tokens, "crate");
    let at_the_top = name == format!("{module}.rs") || name == format!("{module}/mod.rs");
    if at_the_top {
        let known = |word: &String| FLOORS.iter().any(|(floor, _)| floor == word);
        named.extend(paths_after(tokens, "super").into_iter().filter(known));
    }
    let mut found: Vec<_> = named
        .into_iter()
        .filter(|other| other != module && FLOORS.iter().any(|(floor, _)| floor == other))
        .filter(|other| !allowed.contains(&other.as_str()))
        .map(|other| format!("{module} may not name {other}"))
        .collect();
    if has(tokens, &["super", "::", "super"]) {
        found.push("super::super climbs out of sight; write use crate::...".to_owned());
    }
    found
}

fn crate_violations(name: &str, tokens: &[String]) -> Vec<String> {
    let named = |krate: &str| {
        (0..tokens.len()).any(|i| {
            let before = i.checked_sub(1).map(|i| tokens[i].as_str());
            let after = tokens.get(i + 1).map(String::as_str);
            // A leading `::`, as in `::walkdir::WalkDir`, names the crate too; `x::walkdir` does not.
            let path_before = before == Some("::") && i >= 2 && is_word(&tokens[i - 2]);
            let imported = matches!(before, Some("use" | "crate")) && matches!(after, Some(";" | "as"));
            tokens[i] == krate && !path_before && before != Some(".") && (after == Some("::") || imported)
        })
    };
    let misplaced = |places: &&[&str]| !places.iter().any(|place| name.starts_with(place) || in_file(name, place));
    let wrong = CRATES.iter().filter(|(krate, places)| misplaced(places) && named(krate));
    wrong.map(|(krate, _)| format!("{krate} may not be named here")).collect()
}

/// A module may be one file in place of a folder.
fn in_file(name: &str, place: &str) -> bool {
    name == format!("{}.rs", place.trim_end_matches('/'))
}

fn place_violations(name: &str, tokens: &[String]) -> Vec<String> {
    let wrong = PLACES.iter().filter(|(words, places, _)| !places.contains(&name) && has(tokens, words));
    let mut found: Vec<_> = wrong.map(|(_, _, why)| (*why).to_owned()).collect();
    if !name.starts_with("cli/") && PRINTERS.iter().any(|words| has(tokens, words)) {
        found.push("only cli prints".to_owned());
    }
    found
}

fn has(tokens: &[String], words: &[&str]) -> bool {
    tokens.windows(words.len()).any(|window| window.iter().zip(words).all(|(token, word)| token == word))
}

/// The first word of each path that begins with `start::`, groups in braces included.
fn paths_after(tokens: &[String], start: &str) -> Vec<String> {
    let mut found = Vec::new();
    for i in 0..tokens.len().saturating_sub(2) {
        if tokens[i] == start && tokens[i + 1] == "::" {
            match tokens[i + 2].as_str() {
                "{" => found.extend(firsts_in_group(&tokens[i + 3..])),
                word => found.push(word.to_owned()),
            }
        }
    }
    found
}

/// The word that begins each part of a group, up to the brace that ends it.
fn firsts_in_group(tokens: &[String]) -> Vec<String> {
    let (mut depth, mut at_start, mut found) = (0, true, Vec::new());
    for token in tokens {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => at_start = true,
            word if at_start => {
                found.push(word.to_owned());
                at_start = false;
            }
            _ => {}
        }
    }
    found
}

/// Words and signs (`::` is one sign), without comments, strings and characters.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let (mut i, mut found) = (0, Vec::new());
    while i < chars.len() {
        let start = i;
        i = skipped(&chars, i);
        if i > start {
            continue;
        }
        if is_word_char(chars[i]) {
            while i < chars.len() && is_word_char(chars[i]) {
                i += 1;
            }
        } else if chars[i] == ':' && chars.get(i + 1) == Some(&':') {
            i += 2;
        } else {
            i += 1;
        }
        found.push(chars[start..i].iter().collect());
    }
    found
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word(token: &str) -> bool {
    token.chars().all(is_word_char)
}

/// Where the space, comment, string or character that begins at `i` ends; `i` if none does.
fn skipped(chars: &[char], i: usize) -> usize {
    let next = chars.get(i + 1).copied();
    match chars[i] {
        c if c.is_whitespace() => i + 1,
        '/' if next == Some('/') => chars[i..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| i + n),
        '/' if next == Some('*') => comment_end(chars, i),
        '"' => string_end(chars, i),
        '\'' => character_end(chars, i),
        'r' if i == 0 || !is_word_char(chars[i - 1]) || chars[i - 1] == 'b' => raw_string_end(chars, i),
        _ => i,
    }
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// A lifetime (`'a` without a closing quote) is no character.
fn character_end(chars: &[char], start: usize) -> usize {
    if chars.get(start + 1) == Some(&'\\') {
        let close = chars[start + 3..].iter().position(|c| *c == '\'');
        return close.map_or(chars.len(), |n| start + 3 + n + 1);
    }
    if chars.get(start + 2) == Some(&'\'') { start + 3 } else { start + 1 }
}

fn raw_string_end(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let mut i = start + 2 + hashes;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    chars.len()
}

/// Without the modules that are compiled for tests only.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found: Vec<String> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let marked = has(&tokens[i..(i + MARK.len()).min(tokens.len())], &MARK);
        i = if marked { item_end(&tokens, i + MARK.len()) } else { i + 1 };
        if !marked {
            found.push(tokens[i - 1].clone());
        }
    }
    found
}

/// The end of the item that begins at `start`: its closing brace, or a semicolon before any brace.
fn item_end(tokens: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return i + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}
