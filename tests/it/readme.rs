//! What README says to type, typed: from nothing to a protected share, a look, and having things back.
//!
//! The words are README's own. Only places and times are others here, and the service is left alone: `tests/lab/run package`
//! types the same on a machine with a systemd.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::documents::{commands, typed};
use crate::office::{Agent, Office, PATIENCE, Said, hear, wait};

/// README's commands that stand on lines of their own, and what of them was typed.
struct Readme {
    office: Office,
    lines: Vec<String>,
    used: BTreeSet<String>,
    /// A word of README, and what stands for it here.
    places: Vec<(String, String)>,
}

impl Readme {
    fn new() -> Self {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
        let indented = text.lines().filter(|line| line.starts_with("    ")).map(|line| format!("{line}\n"));
        let lines = commands(&indented.collect::<String>());
        let office = Office::new();
        let at = |name: &str| office.path(name).to_string_lossy().into_owned();
        let places = [
            ("/srv/projects.new", at("new")),
            ("/srv/projects", at("share")),
            ("/mnt/efs/projects", at("target")),
            ("/mnt/backup/work", at("backup")),
            ("/tmp/letters", at("letters")),
            ("~/work", at("home/work")),
            ("cloud", "target".to_owned()),
        ];
        let places = places.map(|(from, to)| (from.to_owned(), to)).into();
        Self { office, lines, used: BTreeSet::new(), places }
    }

    /// The words of the one line that begins so.
    fn words(&mut self, begin: &str) -> Vec<String> {
        let found: Vec<_> = self.lines.iter().filter(|line| line.starts_with(begin)).collect();
        let [line] = found[..] else { panic!("README has not one command that begins with {begin:?}: {found:?}") };
        self.used.insert(line.clone());
        let here = |word: String| self.places.iter().find(|(from, _)| *from == word).map_or(word, |(_, to)| to.clone());
        typed(line).into_iter().skip(1).map(here).collect()
    }

    /// Types the one line that begins so, with these words behind it.
    fn types(&mut self, begin: &str, more: &[&str]) -> Said {
        let words: Vec<_> = self.words(begin).into_iter().chain(more.iter().map(ToString::to_string)).collect();
        hear(&mut self.office.bare(&words))
    }

    /// The same, at another time than the one that README names.
    fn types_as_of(&mut self, begin: &str, time: &str, more: &[&str]) -> Said {
        let words = self.words(begin);
        let at = 1 + words.iter().position(|word| word == "--as-of").expect("a time");
        let words = words.iter().enumerate().map(|(place, word)| if place == at { time } else { word });
        let words: Vec<_> = words.chain(more.iter().copied()).map(str::to_owned).collect();
        hear(&mut self.office.bare(&words))
    }
}

/// The words that a line tells to type, after `driftline`.
fn told(line: &str) -> Vec<String> {
    typed(&line[line.find("driftline ").expect("a command")..]).into_iter().skip(1).collect()
}

#[test]
fn what_readme_says_to_type_does_what_it_says() {
    let mut readme = Readme::new();
    let at = |name: &str| readme.office.path(name).to_string_lossy().into_owned();
    let (file, state) = (at("config.toml"), at("state"));
    let config = ["--config", file.as_str()];
    fs::create_dir_all(readme.office.share("letters")).unwrap();
    fs::write(readme.office.share("letters/offer.docx"), "an offer").unwrap();

    // Three commands to a protected share.
    let more = ["--config", &file, "--state-dir", &state, "--no-service"];
    let said = readme.types("driftline init --share", &more);
    assert_eq!(said.code, Some(0), "{said}");
    let start = said.out.lines().find(|line| line.starts_with("Start the agent with: ")).expect("it says how");
    let _agent = Agent::start(readme.office.bare(&told(start)), &readme.office.path(""));
    let is_safe = |readme: &mut Readme| {
        let said = readme.types("driftline status", &config);
        said.code == Some(0) && said.out.starts_with("SAFE as of ")
    };
    assert!(wait(PATIENCE, || is_safe(&mut readme)), "{}", readme.types("driftline status", &config));
    assert_eq!(fs::read(readme.office.target("letters/offer.docx")).unwrap(), b"an offer");
    let said = readme.types("driftline check", &config);
    assert!(said.code == Some(0) && said.out.contains("no problem"), "{said}");

    // A mistake, and its end: by README's words, and by those that `history` ends with.
    let before = jiff::Timestamp::now().to_string();
    fs::write(readme.office.share("letters/offer.docx"), "spoiled").unwrap();
    let is = |readme: &Readme, name: &str, text: &str| {
        wait(PATIENCE, || fs::read(readme.office.target(name)).is_ok_and(|bytes| bytes == text.as_bytes()))
    };
    assert!(is(&readme, "letters/offer.docx", "spoiled"));
    let history = readme.types("driftline history", &config);
    assert_eq!(history.code, Some(0), "{history}");
    assert!(history.out.contains("  replaced\n") && history.out.contains("  current\n"), "{history}");
    let back = history.out.lines().find(|line| line.contains(" back: driftline restore ")).expect("what to type");
    let words: Vec<_> = told(back).into_iter().chain(config.map(str::to_owned)).collect();
    let said = hear(&mut readme.office.bare(&words));
    assert_eq!(said.code, Some(0), "{words:?}: {said}");
    assert_eq!(fs::read(readme.office.share("letters/offer.docx")).unwrap(), b"an offer", "{words:?}: {said}");
    assert!(is(&readme, "letters/offer.docx", "an offer"));

    fs::write(readme.office.share("letters/offer.docx"), "spoiled again").unwrap();
    assert!(is(&readme, "letters/offer.docx", "spoiled again"));
    let said = readme.types_as_of("driftline restore letters/offer.docx", &before, &config);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(readme.office.share("letters/offer.docx")).unwrap(), b"an offer", "{said}");
    let said = readme.types_as_of("driftline restore letters --as-of", &before, &config);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(readme.office.path("letters/letters/offer.docx")).unwrap(), b"an offer", "{said}");
    fs::write(readme.office.share("ransom note"), "pay").unwrap();
    assert!(is(&readme, "ransom note", "pay"));
    let said = readme.types_as_of("driftline restore --all --as-of", &before, &config);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(!readme.office.share("ransom note").exists(), "{said}");
    assert!(wait(PATIENCE, || !readme.office.target("ransom note").exists()));
    let said = readme.types("driftline restore --all --from", &config);
    assert_eq!(said.code, Some(0), "{said}");
    assert_eq!(fs::read(readme.office.path("new/letters/offer.docx")).unwrap(), b"an offer", "{said}");

    // Without a configuration file; its index lies where README says.
    for folder in ["home/work", "backup"] {
        fs::create_dir_all(readme.office.path(folder)).unwrap();
    }
    fs::write(readme.office.path("home/work").join("note"), "a note").unwrap();
    let words = readme.words("driftline run --share");
    let mut command = readme.office.bare(&words);
    command.env_remove("XDG_STATE_HOME");
    let _quick = Agent::start(command, &readme.office.path(""));
    assert!(wait(PATIENCE, || readme.office.path("backup/note").exists()));
    assert!(
        wait(PATIENCE, || !crate::office::files_below(&readme.office.path("home/.local/state/driftline")).is_empty())
    );

    let untyped: Vec<_> = readme.lines.iter().filter(|line| !readme.used.contains(*line)).collect();
    assert!(untyped.is_empty(), "README says to type these too: {untyped:#?}");
}

#[test]
fn what_readme_names_in_passing_can_be_typed() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let office = Office::configured("", "");
    office.save("plan.txt", "a plan");
    office.sync_well();
    let (mut typed_out, mut data) = (0, 0);
    for line in commands(&text) {
        let words = typed(&line);
        let words: Vec<_> = words.iter().skip(1).map(String::as_str).collect();
        match words[..] {
            // What is printed for others: a shell, and man.
            ["man" | "completions", _] => {
                let words: Vec<_> = words.iter().map(ToString::to_string).collect();
                let said = hear(&mut office.bare(&words));
                assert!(said.code == Some(0) && said.out.lines().count() > 10, "{line}: {said}");
                typed_out += 1;
            }
            ["status", "--query", ..] => {
                let said = office.tell(&words);
                assert!(said.out.contains("backup"), "{line}: {said}");
                data += 1;
            }
            _ => {}
        }
    }
    assert!(typed_out >= 2 && data >= 2, "{typed_out} {data}");
}
