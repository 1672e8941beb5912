//! What the documents say is held against the program: the rights in the policy, the commands that are shown or hinted at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use driftline::cli::args::Cli;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

pub(crate) fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
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
        "receive_message" => &[("sqs:ReceiveMessage", true)],
        "delete_message_batch" => &[("sqs:DeleteMessage", true)],
        "get_queue_attributes" => &[("sqs:GetQueueAttributes", true)],
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
    let guide = read("src/docs/guide.md");
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

/// Whether the program's name and this word begin a sentence: "driftline looks at it again", "driftline never makes one".
fn is_sentence(word: &str) -> bool {
    word.ends_with('s') || word.starts_with(['{', '-']) || matches!(word, "did" | "may" | "never" | "probe" | "where")
}

/// The command lines in a document: whole lines that are indented as code, and what stands between backticks.
pub(crate) fn commands(text: &str) -> Vec<String> {
    let indented = text.lines().filter_map(|line| {
        let line = line.strip_prefix("    ")?.trim_start();
        let line = line.strip_prefix("sudo ").unwrap_or(line);
        line.starts_with("driftline ").then(|| line.to_owned())
    });
    let ticked = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("driftline ")).map(str::to_owned);
    indented.chain(ticked).collect()
}

/// The words of a command line up to a comment or to what a shell does with its output; something fit for each name in capitals.
pub(crate) fn typed(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in line.chars().chain([' ']) {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) if c.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            }
            (_, c) => word.push(c),
        }
    }
    let fit = |word: String| match word.as_str() {
        "TIME" => "2h ago".to_owned(),
        "SHARE/TARGET" => "projects/efs".to_owned(),
        "SHELL" => "bash".to_owned(),
        "COMMAND" | "[COMMAND]" | "[PATH]" => "restore".to_owned(),
        _ => word,
    };
    words.into_iter().take_while(|word| !matches!(word.as_str(), "#" | "|" | ">")).map(fit).collect()
}

#[test]
fn every_command_in_the_documents_is_one_that_the_program_understands() {
    let documents =
        ["README.md", "src/docs/guide.md", "config.example.toml", "systemd/driftline.service", "systemd/mnt-efs.mount"];
    let (mut seen, mut wrong) = (0, Vec::new());
    for name in documents {
        for line in commands(&read(name)) {
            seen += 1;
            let typed = typed(&line);
            let Err(error) = Cli::try_parse_from(&typed) else { continue };
            // A command is also named without what it takes, as in "`driftline restore` brings it back".
            if typed.len() > 2 || error.kind() != ErrorKind::MissingRequiredArgument {
                wrong.push(format!("{name}: {line}: {}", error.to_string().lines().next().unwrap()));
            }
        }
    }
    assert!(seen > 40, "commands are found: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What is wrong with a command in a message: its name, or an option of it that there is not.
fn fault(words: &[&str]) -> Option<String> {
    let name = words.get(1)?.trim_end_matches('.');
    let program = Cli::command();
    let Some(command) = program.get_subcommands().find(|command| command.get_name() == name) else {
        return (!is_sentence(name)).then(|| format!("there is no command {name}"));
    };
    let has = |option: &str| {
        let known = |arg: &clap::Arg| arg.get_long() == Some(option);
        command.get_arguments().chain(program.get_arguments()).any(known)
    };
    let options = words.iter().filter_map(|word| word.strip_prefix("--"));
    let named = options.map(|option| option.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()));
    named
        .filter(|option| !option.is_empty())
        .find(|option| !has(option))
        .map(|option| format!("{name} has no --{option}"))
}

#[test]
fn every_command_in_a_message_is_one_that_the_program_understands() {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in found.iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        let code: Vec<_> = text.split("\n#[cfg(test)]\nmod ").next().unwrap().lines().collect();
        let code = code.into_iter().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        for (at, _) in code.match_indices("driftline ") {
            // The name of a unit, a folder or a crate is none.
            if !code[..at].ends_with(['"', '`', ' ']) {
                continue;
            }
            let line = code[at..].split(['`', '"', ';', ',', '\\', '\n', '(']).next().unwrap();
            let words: Vec<_> = line.split_whitespace().collect();
            seen += 1;
            wrong.extend(fault(&words).map(|fault| format!("{}: {line}: {fault}", path.display())));
        }
    }
    assert!(seen > 40, "messages are found: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(fault(&["driftline", "aprove"]), Some("there is no command aprove".to_owned()));
    assert_eq!(fault(&["driftline", "restore", "--to-dir"]), Some("restore has no --to-dir".to_owned()));
}

/// What stands between quotes in a source, as it is written there; not a quote as a character.
fn literals(code: &str) -> Vec<String> {
    let code = code.replace("'\"'", "' '").replace("'\\\"'", "' '");
    let (mut found, mut open, mut escaped) = (Vec::new(), None::<String>, false);
    for c in code.chars() {
        match (&mut open, c) {
            (None, '"') => open = Some(String::new()),
            (None, _) => {}
            (Some(_), '"') if !escaped => found.extend(open.take()),
            (Some(text), c) => {
                text.push(c);
                escaped = c == '\\' && !escaped;
            }
        }
    }
    found
}

/// The messages of the program: what stands between quotes, has words, and is no question for the index.
fn messages() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    let mut told = Vec::new();
    for (path, text) in found {
        if path.ends_with("tests.rs") || path.starts_with(root().join("src/index")) {
            continue;
        }
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap().lines();
        let code = code.filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        told.extend(literals(&code).into_iter().filter(|text| text.contains(' ')).map(|text| (path.clone(), text)));
    }
    assert!(told.len() > 500, "messages are found: {}", told.len());
    told
}

/// Lines that are typed to another program than ours.
fn is_for_another(text: &str) -> bool {
    ["s3api", "sysctl", "systemctl"].iter().any(|program| text.contains(program))
}

#[test]
fn every_option_in_a_message_is_one_of_a_command() {
    let program = Cli::command();
    let has = |option: &str| {
        let arguments = program.get_subcommands().flat_map(clap::Command::get_arguments).chain(program.get_arguments());
        arguments.filter_map(clap::Arg::get_long).any(|long| long == option)
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in messages().iter().filter(|(_, text)| !is_for_another(text)) {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        for option in words.filter_map(|word| word.strip_prefix("--")).filter(|option| !option.is_empty()) {
            seen += 1;
            if !has(option) {
                wrong.push(format!("{}: there is no --{option}: {text}", path.display()));
            }
        }
    }
    assert!(seen > 40, "options are found: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(!has("state-folder"));
}

/// Whether a configuration may say this somewhere.
fn may_be_said(key: &str, value: &str) -> bool {
    let place = |agent: &str, share: &str, target: &str| {
        let text = format!(
            "[agent]\n{agent}\n[[share]]\nname = \"a\"\npath = \"/a\"\n{share}\n[[share.target]]\nname = \"b\"\n{target}\n"
        );
        driftline::config::Config::parse(&text).is_ok()
    };
    let (folder, bucket) = ("path = \"/b\"", "url = \"s3://b-b/b\"");
    let line = format!("{key} = {value}");
    // The two that say where a target is.
    if ["path", "url"].contains(&key) {
        return place("", "", &line);
    }
    place(&line, "", folder)
        || place("", &line, folder)
        || [folder, bucket].iter().any(|target| place("", "", &format!("{target}\n{line}")))
}

#[test]
fn every_line_for_the_configuration_in_a_message_is_understood() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in messages() {
        for (at, sign) in text.match_indices(" = \\\"") {
            let before = text[..at].rsplit(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap();
            let value = text[at + sign.len()..].split("\\\"").next().unwrap();
            // What is filled in is another value each time.
            let value = if value.starts_with('{') { "some" } else { value };
            seen += 1;
            if !may_be_said(before, &format!("{value:?}")) {
                wrong.push(format!("{}: {before} = {value:?}: {text}", path.display()));
            }
        }
    }
    assert!(seen > 10, "lines are found: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(!may_be_said("drift", "\"overwite\"") && !may_be_said("drifts", "\"keep\""));
}

#[test]
fn every_file_that_is_named_is_installed_or_made() {
    let manifest = read("Cargo.toml");
    let from = |line: &str| -> Option<(String, String)> {
        let mut words = line.trim().strip_prefix('[')?.split('"');
        Some((words.nth(1)?.to_owned(), words.nth(1)?.to_owned()))
    };
    let assets: Vec<_> = manifest.lines().skip_while(|line| *line != "assets = [").filter_map(from).collect();
    let is_installed = |path: &str| {
        assets.iter().any(|(from, to)| match path[1..].strip_prefix(to.as_str()) {
            Some("") => true,
            Some(name) if to.ends_with('/') => match from.strip_suffix('*') {
                Some(folder) => root().join(folder).join(name).is_file(),
                None => Path::new(from).file_name().is_some_and(|from| name == from.to_string_lossy()),
            },
            Some(_) | None => false,
        })
    };
    // `init` writes the one, an administrator the other, and systemd-tmpfiles sees to its rights.
    let is_ours = |path: &str| ["/etc/driftline/config.toml", "/etc/driftline/aws", "/etc/driftline"].contains(&path);
    let documents = ["README.md", "src/docs/guide.md", "config.example.toml", "systemd/driftline.service"];
    let more = ["systemd/driftline-buckets.conf", "systemd/mnt-efs.mount", "systemd/mnt-efs.timer"];
    let texts = documents.iter().chain(&more).map(|name| ((*name).into(), read(name)));
    let (mut seen, mut wrong) = (0, Vec::new());
    for (name, text) in texts.chain(messages()) {
        for (begin, is_there) in
            [("/usr/share/doc/driftline/", &is_installed as &dyn Fn(&str) -> bool), ("/etc/driftline", &is_ours)]
        {
            for (at, _) in text.match_indices(begin) {
                let end = |c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c));
                let path = text[at..].split(end).next().unwrap().trim_end_matches(['.', '/']);
                seen += 1;
                if !is_there(path) {
                    wrong.push(format!("{}: there is no {path}", name.display()));
                }
            }
        }
    }
    assert!(seen > 10, "files are named: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(is_installed("/usr/share/doc/driftline/guide.md") && !is_installed("/usr/share/doc/driftline/gide.md"));
}

/// What is wrong with the units that a text has systemctl or journalctl act on: the verb, or a unit that nobody installs.
fn unit_faults(text: &str) -> (usize, Vec<String>) {
    const VERBS: [&str; 11] = [
        "cat",
        "daemon-reload",
        "edit",
        "enable",
        "reload",
        "reset-failed",
        "restart",
        "show",
        "start",
        "status",
        "stop",
    ];
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_alphanumeric() || "-.@=/".contains(c));
    let is_unit = |name: &str| {
        let systemd = root().join("systemd");
        systemd.join(name).is_file() || systemd.join(format!("{name}.service")).is_file()
    };
    let (mut seen, mut wrong) = (0, Vec::new());
    for (program, takes_verb) in [("systemctl ", true), ("journalctl -u ", false)] {
        for (at, _) in text.match_indices(program) {
            let end = |c: char| "`\n,;:()|\\\"".contains(c);
            let line = text[at + program.len()..].split(end).next().unwrap();
            if line.trim().is_empty() || line.starts_with('{') {
                // What is filled in elsewhere.
                continue;
            }
            let mut words = line.split_whitespace().take_while(is_word).map(|word| word.trim_end_matches('.'));
            seen += 1;
            if takes_verb {
                let verb = words.next().unwrap_or_default();
                if !VERBS.contains(&verb) {
                    wrong.push(format!("systemctl has no {verb:?}: {line}"));
                }
            }
            // The units end where a sentence goes on.
            let mut units = words.filter(|word| !word.starts_with('-') && *word != "StatusText" && !word.contains('='));
            let first = units.next();
            let more = units.take_while(|word| word.contains('.'));
            for unit in first.into_iter().chain(more).filter(|unit| !is_unit(unit)) {
                wrong.push(format!("there is no unit {unit}: {line}"));
            }
        }
    }
    (seen, wrong)
}

#[test]
fn every_unit_in_the_documents_and_messages_is_installed() {
    let documents = ["README.md", "src/docs/guide.md", "config.example.toml", "systemd/driftline.service"];
    let more = ["systemd/driftline-buckets.conf", "systemd/mnt-efs.mount", "systemd/mnt-efs.timer"];
    let texts = documents.iter().chain(&more).map(|name| ((*name).into(), read(name)));
    let (mut seen, mut wrong) = (0, Vec::new());
    for (name, text) in texts.chain(messages()) {
        let (found, faults) = unit_faults(&text);
        seen += found;
        wrong.extend(faults.into_iter().map(|fault| format!("{}: {fault}", name.display())));
    }
    assert!(seen > 10, "units are named: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(unit_faults("`systemctl restart drift-line` and then").1.len(), 1);
    assert_eq!(unit_faults("systemctl relaod driftline").1.len(), 1);
    assert_eq!(unit_faults("systemctl enable --now mnt-efs.mount mnt-efs.time").1.len(), 1);
}

/// What stands behind a key of a unit; the last word counts.
fn setting<'a>(unit: &'a str, key: &str) -> &'a str {
    let mut lines = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    lines.next_back().unwrap_or_else(|| panic!("{key} is not set"))
}

#[test]
fn the_service_cannot_restart_for_ever_and_what_is_said_of_it_is_so() {
    let unit = read("systemd/driftline.service");
    let number = |key: &str| setting(&unit, key).parse::<u64>().unwrap();
    assert_eq!((setting(&unit, "Restart"), setting(&unit, "RestartPreventExitStatus")), ("on-failure", "78"));
    assert_eq!(setting(&unit, "StartLimitIntervalSec"), "1h");
    let begins = unit.lines().position(|line| line == "[Service]").unwrap();
    let limit = unit.lines().position(|line| line.starts_with("StartLimit")).unwrap();
    assert!(limit < begins, "systemd reads it in [Unit] alone");
    // An agent that ends at once each time reaches the limit within the interval: it cannot go on for ever.
    let tried = number("RestartSec") * (number("StartLimitBurst") - 1);
    assert!(tried < 3600 / 2, "{tried} s");
    // And what comes a little late, such as a disk or memory, is waited for.
    assert!(tried >= 240, "{tried} s");
    let guide = read("src/docs/guide.md");
    for words in [
        format!("started again after {} s", number("RestartSec")),
        format!("{} times within an hour", number("StartLimitBurst")),
        "systemctl reset-failed driftline".to_owned(),
        format!("after {} s", number("WatchdogSec")),
    ] {
        assert!(guide.contains(&words), "the guide does not say {words:?}");
    }
}

#[test]
fn the_guide_shows_the_screen_of_each_verdict_as_it_is() {
    let guide = read("src/docs/guide.md");
    for verdict in ["safe", "syncing", "attention", "halted", "unknown"] {
        let picture = read(&format!("src/cli/status_text/pictures/{verdict}-80.txt"));
        assert!(guide.contains(&format!("```\n{picture}```\n")), "{verdict} is shown otherwise:\n{picture}");
    }
}

/// Words with an underscore: keys of the configuration, or what belongs to another program.
fn keys(text: &str) -> Vec<&str> {
    // What is filled in is a name in the source.
    let outside = text.split('{').map(|part| part.split_once('}').map_or(part, |(_, rest)| rest));
    let words =
        outside.flat_map(|part| part.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')));
    words.filter(|word| word.trim_matches('_').contains('_')).collect()
}

#[test]
fn every_key_in_a_message_is_one_of_the_configuration() {
    // Of AWS, of mounts and exports, and of the kernel.
    let others = [
        "credential_process",
        "nfs4_disable_idmapping",
        "local_lock",
        "no_root_squash",
        "max_user_instances",
        "max_user_watches",
    ];
    let example = read("config.example.toml");
    let is_key = |word: &str| example.lines().any(|line| line.trim_start_matches(['#', ' ']).starts_with(word));
    let (mut seen, mut wrong) = (0, Vec::new());
    for (path, text) in messages() {
        for word in keys(&text).into_iter().filter(|word| !others.contains(word)) {
            seen += 1;
            if !is_key(word) {
                wrong.push(format!("{}: there is no key {word}: {text}", path.display()));
            }
        }
    }
    assert!(seen >= 5, "keys are named: {seen}");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(keys("set state_folder in {some_place} or state_dir"), ["state_folder", "state_dir"]);
    assert!(!is_key("state_folder"));
}
