//! The program as it is typed: how it ends, and what it says on which stream.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use driftline::cli::Exit;

fn driftline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_driftline")).args(args).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("plain text")
}

#[test]
fn wrong_usage_ends_with_2_and_help_with_0() {
    for (args, code) in [(&[][..], 2), (&["frobnicate"], 2), (&["run", "--share", "/x"], 2), (&["--help"], 0)] {
        let output = driftline(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{args:?}");
    }
}

#[test]
fn a_missing_configuration_ends_with_78_where_one_is_needed() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = dir.path().join("none.toml");
    let output = driftline(&["run", "--config", &config.to_string_lossy()]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.starts_with(&format!("error: cannot read {}: ", config.display())), "{told}");
    assert!(told.lines().nth(1).is_some_and(|line| line.starts_with("hint: ")), "{told}");
}

#[test]
fn nobody_reading_is_a_normal_end() {
    for args in [&["--help"][..], &["--version"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
        let output = command.args(args).stdout(writer).stderr(Stdio::piped()).spawn().expect("started");
        let output = output.wait_with_output().expect("ended");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn the_readme_tells_every_exit_code() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    for exit in Exit::ALL {
        assert!(readme.contains(&format!("\n| {} | ", u8::from(exit))), "{exit:?}");
    }
}
