//! What each server of S3's kind cannot do is written in the documentation, and this holds it there.
//!
//! `DRIFTLINE_WRITE=1` writes the file anew.

use driftline::target::{Level, S3Setup, S3Target};

use super::*;
use crate::buckets::{Bucket, Make};

const FILE: &str = "src/target/s3/servers.md";

/// What `check` finds that a server does not do.
fn lacks(make: Make) -> Vec<String> {
    let bucket = Bucket::new(make);
    let mut setup: S3Setup = super::bucket::setup(bucket.name(), &bucket.endpoint(), "office");
    setup.target_id = Some(S3Target::new(setup.clone()).probe(Bind::IfUnbound).unwrap().id);
    let found = S3Target::new(setup).check();
    assert!(found.iter().all(|finding| finding.level != Level::Problem), "{found:#?}");
    // How a bucket is set is not what its server can do.
    let about_server = found.into_iter().filter(|finding| finding.commands.is_empty());
    about_server.filter(|finding| finding.level == Level::Warning).map(|finding| finding.what).collect()
}

fn section(name: &str, lacks: &[String]) -> String {
    if lacks.is_empty() {
        return format!("- {name}: nothing is missing.\n");
    }
    let lines: String = lacks.iter().map(|what| format!("  - {what};\n")).collect();
    format!("- {name}:\n{lines}")
}

#[test]
fn the_documentation_says_what_each_server_cannot_do() {
    let servers = [("SeaweedFS 4.48", Make::SeaweedFs), ("moto 5.2", Make::Moto)];
    let text: String = servers.iter().map(|(name, make)| section(name, &lacks(*make))).collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("DRIFTLINE_WRITE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap_or_default(), text, "{FILE} is out of date: DRIFTLINE_WRITE=1");
}
