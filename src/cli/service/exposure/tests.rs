//! What `systemd-analyze security` says of each kind of set-up is what the guide says.

use crate::cli::service::*;

const UNIT_FILE: &str = include_str!("../../../../systemd/driftline.service");
const GUIDE: &str = include_str!("../../../docs/guide.md");
/// Whose figures the guide has; others weigh otherwise.
const VERSION: &str = "systemd 252 ";

/// On a machine whose NFS mounts lie below /mnt.
fn service(targets: &[&str]) -> String {
    let targets: Vec<PathBuf> = targets.iter().map(PathBuf::from).collect();
    let mut config = Config::quick(&["/srv/projects".into()], &targets, STATE_DIR.into()).expect("fine");
    let is_nfs = |folder: &Path| folder.starts_with("/mnt");
    let is_remote = |folder: &Path| is_nfs(folder) || folder.starts_with("/smb");
    let is_users = |folder: &Path| folder.ends_with(USER);
    for target in &mut config.shares[0].targets {
        if target.place.folder().is_some_and(is_users) {
            target.ownership = Ownership::Ignore;
        }
    }
    let mount = |folder: &Path| if is_nfs(folder) { "/mnt/efs" } else { "/" }.into();
    let machine = Machine {
        mount: &mount,
        is_remote: &is_remote,
        is_nfs: &is_nfs,
        is_users: &is_users,
        has_user: true,
        has_credentials: true,
    };
    // As systemd reads them: the unit, then what is dropped in. Only the program has to be one of this machine.
    UNIT_FILE.replace("ExecStart=driftline", "ExecStart=/bin/true") + "\n" + &drop_in(&config, &machine)
}

/// The figure, as systemd-analyze says it of this unit; with what else it says, for whoever has to know why.
fn exposure(dir: &Path, unit: &str) -> String {
    let file = dir.join("driftline.service");
    fs::write(&file, unit).expect("written");
    let mut analyze = Command::new("systemd-analyze");
    let run = analyze.args(["security", "--offline=yes", "--no-pager"]).arg(&file).output().expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout);
    let line = said.lines().find(|line| line.contains("Overall exposure level"));
    let mut words = line.unwrap_or_else(|| panic!("{run:?}")).split_whitespace();
    words.rfind(|word| word.parse::<f64>().is_ok()).expect("a figure").to_owned()
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that does not run has to say so")]
fn the_guide_says_how_exposed_each_kind_of_service_is() {
    let version = Command::new("systemd-analyze").arg("--version").output().map(|run| run.stdout).unwrap_or_default();
    if !version.starts_with(VERSION.as_bytes()) {
        eprintln!("skipped: this machine has no {VERSION}to ask");
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let (efs, folder, bucket) = ("/mnt/efs/projects", "/backup/projects", "s3://acme/projects");
    let (smb, own) = ("/smb/projects", "/mnt/efs/driftline");
    // As the rows of the guide follow each other.
    let kinds: [&[&str]; 9] = [
        &[folder],
        &[folder, bucket],
        &[bucket],
        &[efs],
        &[efs, bucket],
        &[efs, folder],
        &[efs, folder, bucket],
        &[smb, bucket],
        &[own, folder, bucket],
    ];
    let told: Vec<_> = kinds.iter().map(|targets| exposure(dir.path(), &service(targets))).collect();
    let rows = GUIDE.lines().skip_while(|line| !line.contains("`systemd-analyze security`")).skip(2);
    let last = |row: &str| row.trim_end_matches(" |").rsplit("| ").next().unwrap_or_default().to_owned();
    let said: Vec<_> = rows.take_while(|row| row.starts_with('|')).map(last).collect();
    assert_eq!(told, said);
    // What could still be closed there without a loss is not enough.
    let most = service(kinds[6]);
    let more =
        exposure(dir.path(), &(most.clone() + "UMask=0077\nProcSubset=pid\nRootDirectory=/run/driftline-root\n"));
    assert!(GUIDE.contains(&format!("makes {more} of it")), "{more}");
    let metrics = exposure(dir.path(), &most.replace(&format!("IPAddressAllow={SINGLE}"), "IPAddressAllow=localhost"));
    assert!(
        GUIDE.replace('\n', " ").contains(&format!("with them instead of the bucket it is {metrics}.")),
        "{metrics}"
    );
    let less = exposure(dir.path(), &(most + NOT_FOR_NFS));
    assert!(GUIDE.contains(&format!("Without CAP_CHOWN it would be {less}")), "{less}");
}
