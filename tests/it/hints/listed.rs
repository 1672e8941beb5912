//! Every hint of the program stands in `table.txt`, with what shows that it is true.
//!
//! A hint is found by where it stands in the sources: as the last word of what makes an error, in a function or a constant that
//! is there for hints, or behind `hint`. What is found and not in the table fails, and so does what is in the table and no more
//! in the sources, or names a test or a scenario that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::documents::{root, sources};
use crate::stories::tests_below;

/// What makes an error of its words, the last of which is its hint.
const MAKERS: [&str; 17] = [
    "Refusal::own(",
    "Refusal::unfit(",
    "Refusal::fault(",
    "Refusal::new(",
    "ConfigError::new(",
    "Trouble::new(",
    "Self::own(",
    "Self::fault(",
    " unfit(",
    "(unfit(",
    " offline(",
    "(offline(",
    " refusal(",
    " fault(",
    " wrong(",
    " refused(",
    "Self::unfit(",
];
/// Constants and functions that are there for hints.
const HOMES: [&str; 15] = [
    "const LOOK_AGAIN",
    "const BY_ITSELF",
    "const RIGHTS",
    "const EXAMPLES",
    "const START",
    "const RELOAD",
    "const REPORT",
    "const ANSWERS",
    "const TOO_MANY_FILES",
    "fn about_ours(",
    "fn fault_of(",
    "fn hint(",
    "fn offline_hint(",
    "fn next_step(",
    "fn advice(",
];
/// The shortest (bytes): what is shorter is glue.
const SHORTEST: usize = 9;

/// A source without comments and tests, its literals taken out and each replaced by a mark with its number.
struct Source {
    code: Vec<char>,
    literals: Vec<String>,
}

/// Stands in the code where a literal was, with its number behind it.
const MARK: char = '\u{1}';

impl Source {
    fn of(text: &str) -> Self {
        let text = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let text = lines.collect::<Vec<_>>().join("\n").replace("'\"'", "' '").replace("'\\\"'", "' '");
        let (mut code, mut literals, mut chars) = (Vec::new(), Vec::new(), text.chars().peekable());
        while let Some(c) = chars.next() {
            if c != '"' {
                code.push(c);
                continue;
            }
            let mut literal = String::new();
            while let Some(c) = chars.next().filter(|c| *c != '"') {
                match (c, chars.peek()) {
                    ('\\', Some('\n')) => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                    ('\\', Some('n')) => literal.extend(chars.next().map(|_| '\n')),
                    ('\\', Some(_)) => literal.extend(chars.next()),
                    _ => literal.push(c),
                }
            }
            code.extend([MARK, char::from_u32(0xE000 + u32::try_from(literals.len()).unwrap()).unwrap()]);
            literals.push(literal);
        }
        Self { code, literals }
    }

    /// Where each of these begins, with the place behind it.
    fn places(&self, word: &str) -> Vec<usize> {
        let word: Vec<char> = word.chars().collect();
        let found = self.code.windows(word.len()).enumerate().filter(|(_, part)| **part == word[..]);
        found.map(|(at, _)| at + word.len()).collect()
    }

    /// The end of what begins there: where a bracket closes that was open before, or one of these stands outside of brackets.
    fn end(&self, from: usize, ends: &[char]) -> usize {
        let mut depth = 0_i32;
        for (at, c) in self.code.iter().enumerate().skip(from) {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' if depth == 0 => return at,
                ')' | ']' | '}' => depth -= 1,
                c if depth == 0 && ends.contains(c) => return at,
                _ => {}
            }
        }
        self.code.len()
    }

    /// The literals between two places.
    fn within(&self, from: usize, to: usize) -> impl Iterator<Item = &String> {
        let pairs = self.code[from..to].windows(2).filter(|pair| pair[0] == MARK);
        pairs.map(|pair| &self.literals[usize::try_from(u32::from(pair[1]) - 0xE000).unwrap()])
    }

    /// The last word of a call whose words begin there.
    fn last_word(&self, from: usize) -> (usize, usize) {
        let (mut begin, mut end) = (from, self.end(from, &[',']));
        let mut words = vec![(begin, end)];
        while self.code.get(end) == Some(&',') {
            begin = end + 1;
            end = self.end(begin, &[',']);
            words.push((begin, end));
        }
        let is_word = |(from, to): &(usize, usize)| self.code[*from..*to].iter().any(|c| !c.is_whitespace());
        words.into_iter().rfind(is_word).unwrap_or((from, from))
    }

    fn hints(&self) -> BTreeSet<String> {
        let mut spans = Vec::new();
        spans.extend(self.places(".hint(").into_iter().map(|at| (at, self.end(at, &[]))));
        for behind in ["hint: ", "hint = ", "hint =\n", "hint) = "] {
            let ends: &[char] = if behind.starts_with("hint)") { &[';'] } else { &[';', ','] };
            spans.extend(self.places(behind).into_iter().map(|at| (at, self.end(at, ends))));
        }
        for maker in MAKERS {
            spans.extend(self.places(maker).into_iter().map(|at| self.last_word(at)));
        }
        for home in HOMES {
            for at in self.places(home) {
                let begin = (at..self.code.len()).find(|at| ['=', '{'].contains(&self.code[*at])).unwrap_or(at);
                let ends: &[char] = if home.starts_with("fn ") { &[] } else { &[';'] };
                spans.push((begin, self.end(begin + 1, ends)));
            }
        }
        let told = spans.into_iter().flat_map(|(from, to)| self.within(from, to));
        told.map(|text| text.trim().replace('\n', " "))
            .filter(|text| text.len() >= SHORTEST && text.contains(' '))
            .collect()
    }
}

/// All hints, with a file that has it.
fn hints() -> BTreeMap<String, String> {
    let mut found = Vec::new();
    sources(&root().join("src"), &mut found);
    let mut hints = BTreeMap::new();
    for (path, text) in found {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        // A fake, tests, and questions for the index.
        if !name.ends_with("memory.rs") && !name.ends_with("tests.rs") && !name.starts_with("src/index") {
            hints.extend(Source::of(&text).hints().into_iter().map(|hint| (hint, name.clone())));
        }
    }
    hints
}

/// The table: each hint, and what shows that it is true.
fn table() -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("tests/it/hints/table.txt")).unwrap();
    let mut table: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        match line.strip_prefix("    ") {
            Some(proof) => table.get_mut(&last).expect("a hint before it").push(proof.to_owned()),
            None => {
                last = line.to_owned();
                assert!(table.insert(last.clone(), Vec::new()).is_none(), "twice in the table: {line}");
            }
        }
    }
    table
}

/// Names of the scenarios in the lab.
fn scenarios() -> BTreeSet<String> {
    let read = |name: &str| fs::read_to_string(root().join("tests/lab").join(name)).unwrap();
    let singles = read("singles.py");
    let list = singles.split("\nNAMES = [").nth(1).and_then(|rest| rest.split(']').next()).expect("a list");
    let mut names: BTreeSet<_> = list.split(',').map(|name| name.trim().replace('_', "-")).collect();
    let matrix = read("scenarios.py");
    let faults = matrix.split("\nFAULTS = {").nth(1).and_then(|rest| rest.split("\n}").next()).expect("faults");
    let faults = faults.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next());
    names.extend(faults.map(|fault| format!("put/{fault}")));
    names.extend(["service", "service-user", "service-root", "package", "power-cut"].map(str::to_owned));
    names
}

/// What is wrong with a proof, if anything is.
fn fault(proof: &str, tests: &BTreeSet<String>, scenarios: &BTreeSet<String>) -> Option<String> {
    let (kind, rest) = proof.split_once(' ').unwrap_or((proof, ""));
    let names = || rest.split(' ');
    match kind {
        "test" | "fake" | "itself" | "unit" => {
            names().find(|name| !tests.contains(*name)).map(|name| format!("there is no test {name:?}"))
        }
        "lab" => names().find(|name| !scenarios.contains(*name)).map(|name| format!("there is no scenario {name:?}")),
        "leads" | "message" => (!rest.is_empty()).then(|| format!("{kind} has no words")),
        _ => Some(format!("there is no {kind:?}")),
    }
}

#[test]
fn every_hint_stands_in_the_table_with_what_shows_that_it_is_true() {
    let (hints, table, scenarios) = (hints(), table(), scenarios());
    assert!(hints.len() > 150, "hints are found: {}", hints.len());
    let mut tests = BTreeSet::new();
    for folder in ["tests", "src"] {
        tests_below(&root().join(folder), &mut tests);
    }
    let mut wrong = Vec::new();
    for (hint, file) in &hints {
        match table.get(hint).map(Vec::as_slice) {
            None => wrong.push(format!("{file}: not in the table: {hint}")),
            Some([]) => wrong.push(format!("{file}: nothing shows that it is true: {hint}")),
            Some(proofs) => wrong.extend(
                proofs.iter().filter_map(|proof| Some(format!("{hint}: {}", fault(proof, &tests, &scenarios)?))),
            ),
        }
    }
    wrong
        .extend(table.keys().filter(|hint| !hints.contains_key(*hint)).map(|hint| format!("no hint any more: {hint}")));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_no_proof_is_noticed() {
    let (tests, scenarios) = (BTreeSet::from(["a_test".to_owned()]), scenarios());
    assert!(scenarios.contains("quota") && scenarios.contains("put/stale") && !scenarios.contains("put/quota"));
    for proof in ["test a_test", "itself a_test", "lab quota put/stale", "leads"] {
        assert_eq!(fault(proof, &tests, &scenarios), None, "{proof}");
    }
    for proof in
        ["test another", "test a_test another", "lab a_test", "unseen it takes a tape", "seen a_test", "leads on"]
    {
        assert!(fault(proof, &tests, &scenarios).is_some(), "{proof}");
    }
}

#[test]
fn hints_are_found_wherever_they_stand() {
    let source = "
        // .hint(\"in a comment\")
        fn a() { Failure::cannot(\"no hint\", b).hint(format!(\"in a call \\\n            of {x}\")); }
        fn b() { offline(\"no hint, but a cause\", \"as the last word\") }
        fn b() { Err(ConfigError::new(message, None, \"as the last word but a comma\",)) }
        fn c() { let hint = match kind { A => \"in one arm\", B => \"in \\\"another\\\"\" }; say(\"no hint, behind it\"); }
        fn d() { Notice { message: \"no hint here\".into(), hint: \"in a field\".into() } }
        fn hint(x: X) -> &str { match x { X => \"in a function\" } }
        const RIGHTS: &str = \"in a constant\";

#[cfg(test)]
mod tests { fn x() { x.hint(\"in a test\") } }";
    let wanted = [
        "as the last word",
        "as the last word but a comma",
        "in \"another\"",
        "in a call of {x}",
        "in a constant",
        "in a field",
        "in a function",
        "in one arm",
    ];
    assert_eq!(Source::of(source).hints().into_iter().collect::<Vec<_>>(), wanted);
}
