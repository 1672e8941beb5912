//! What the documents say is held against the program: the rights in the policy, the commands that are shown or hinted at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use driftline::cli::args::Cli;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
}

/// The right that a request of S3 needs, by the name that its call has and whether the agent
/// itself makes it, and not only who restores from a bucket's own versions.
fn rights(call: &str) -> &'static [(&'static str, bool)] {
    match call {
        "get_object" => &[("s3:GetObject", true), ("s3:GetObjectVersion", false)],
        "head_object" => &[("s3:GetObject", true)],
        "put_object" | "create_multipart_upload" | "upload_part" | "complete_multipart_upload" => {
            &[("s3:PutObject", true)]
        }
        "copy_object" | "upload_part_copy" => &[("s3:GetObject", true), ("s3:PutObject", true)],
        "delete_object" => &[("s3:DeleteObject", true)],
        "abort_multipart_upload" => &[("s3:AbortMultipartUpload", true)],
        "list_parts" => &[("s3:ListMultipartUploadParts", true)],
        "list_objects_v2" => &[("s3:ListBucket", true)],
        "list_object_versions" => &[("s3:ListBucketVersions", false)],
        "get_bucket_versioning" => &[("s3:GetBucketVersioning", true)],
        "get_bucket_lifecycle_configuration" => &[("s3:GetLifecycleConfiguration", true)],
        _ => panic!("{call} is called, and the right for it is not known: add it here and to the policy"),
    }
}

/// Every request that is made of S3, by the name of its call.
fn calls() -> BTreeSet<String> {
    let mut found = Vec::new();
    sources(&root().join("src/target/s3"), &mut found);
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let after = |text: &str| -> Vec<String> {
        let named =
            text.split("client").skip(1).filter_map(|rest| rest.trim_start().strip_prefix('.').map(str::to_owned));
        let called = named.filter_map(|rest| {
            let end = rest.find(|c| !is_name(c))?;
            rest[end..].starts_with("()").then(|| rest[..end].to_owned())
        });
        called.collect()
    };
    found.iter().flat_map(|(_, text)| after(text)).collect()
}

#[test]
fn the_policy_in_the_guide_grants_what_the_program_asks_of_a_bucket_and_no_more() {
    let guide = read("docs/guide.md");
    let json = guide.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let policy: serde_json::Value = serde_json::from_str(json).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    let granted: Vec<&str> = statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()))
        .collect();
    let needed: BTreeSet<&str> =
        calls().iter().flat_map(|call| rights(call)).filter(|(_, agent)| *agent).map(|(right, _)| *right).collect();
    assert!(calls().len() > 10, "the calls are found: {:?}", calls());
    assert_eq!(granted.len(), needed.len(), "none is granted twice");
    assert_eq!(granted.iter().copied().collect::<BTreeSet<_>>(), needed, "granted on the left, needed on the right");
    assert!(
        statements.iter().all(|statement| !statement["Resource"].as_str().unwrap().ends_with(":::*")),
        "of one bucket"
    );
    let restoring = calls().iter().flat_map(|call| rights(call)).filter(|(_, agent)| !agent).collect::<BTreeSet<_>>();
    for text in [guide, read("README.md")] {
        for right in restoring.iter().map(|(right, _)| right).chain(&needed) {
            assert!(text.contains(&format!("{right}`")) || text.contains(&format!("{right}\"")), "{right} is not told");
        }
    }
}

/// The command lines of driftline in a text: those in code, and those behind a hint's colon.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("driftline ") {
        let before = text[..at].chars().next_back();
        let line = text[at..].lines().next().unwrap_or_default();
        let code = match before {
            Some('`') => line.split('`').next(),
            Some('"' | ' ')
                if text[..at].ends_with("    ") || text[..at].ends_with("sudo ") || text[..at].ends_with(": ") =>
            {
                line.split(['`', '"', '#', ';', '|', '>']).next()
            }
            _ => None,
        };
        let Some(code) = code else { continue };
        let words: Vec<_> = code.split_whitespace().map(str::to_owned).collect();
        // "driftline begins" is a sentence, and no command.
        found.push(words);
    }
    found
}

/// A command line as clap would have it: quoted words are one, names in capitals and in braces stand for something fit.
fn as_typed(words: &[String]) -> Vec<String> {
    let (mut typed, mut open) = (Vec::<String>::new(), None::<char>);
    for word in words {
        let word = word.trim_end_matches([',', '.', ')']);
        match (open, typed.last_mut()) {
            (Some(quote), Some(last)) => {
                *last += " ";
                *last += word;
                if word.ends_with(quote) {
                    open = None;
                }
            }
            _ => {
                typed.push(word.to_owned());
                open =
                    word.chars().next().filter(|c| matches!(c, '\'' | '"') && (word.len() == 1 || !word.ends_with(*c)));
            }
        }
    }
    let fit = |word: String| match word.trim_matches(['\'', '"']) {
        "TIME" => "2h ago".to_owned(),
        "SHARE/TARGET" | "{}/{}" => "projects/efs".to_owned(),
        "SHELL" => "bash".to_owned(),
        "COMMAND" => "restore".to_owned(),
        "[PATH]" | "[COMMAND]" => "restore".to_owned(),
        word => word.replace("{}", "x"),
    };
    typed.into_iter().map(fit).collect()
}

#[test]
fn every_command_in_the_documents_is_one_that_the_program_understands() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for name in
        ["README.md", "docs/guide.md", "config.example.toml", "systemd/driftline.service", "systemd/mnt-efs.mount"]
    {
        for words in commands(&read(name)) {
            seen += 1;
            let typed = as_typed(&words);
            if let Err(error) = Cli::try_parse_from(&typed) {
                let fine = matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                // Named without what it takes, as in "`driftline restore` brings it back".
                let named = typed.len() == 2 && error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
                if !fine && !named {
                    wrong.push(format!("{name}: {}: {}", typed.join(" "), error.to_string().lines().next().unwrap()));
                }
            }
        }
    }
    assert!(seen > 40, "commands are found: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_command_in_a_hint_is_one_that_the_program_understands() {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in found {
        // What tests say is no hint.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in text.split('"').skip(1).step_by(2).filter(|literal| literal.contains("driftline ")) {
            for (at, _) in literal.match_indices("driftline ") {
                let words: Vec<_> = literal[at..]
                    .split(['`', ';', '\\'])
                    .next()
                    .unwrap()
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect();
                let typed = as_typed(&words);
                let is_command = literal[..at].ends_with(['`', ':']) || literal[..at].ends_with(": ") || at == 0;
                if !is_command || typed.len() < 2 {
                    continue;
                }
                seen += 1;
                let known =
                    <Cli as clap::CommandFactory>::command().get_subcommands().any(|one| one.get_name() == typed[1]);
                if !known {
                    wrong.push(format!("{}: {}", path.display(), typed.join(" ")));
                } else if let Err(error) = Cli::try_parse_from(&typed) {
                    let named = error.kind() == clap::error::ErrorKind::MissingRequiredArgument;
                    if !named {
                        wrong.push(format!("{}: {}: {error}", path.display(), typed.join(" ")));
                    }
                }
            }
        }
    }
    assert!(seen > 10, "hints are found: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
