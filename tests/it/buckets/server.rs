//! Servers that run for all tests, and a bucket of its own for each.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::buckets::{Outsider, Proxy};
use crate::office::must;

/// Whoever holds these may do all; SeaweedFS lets nobody else in. They are written in `tests/s3-server` too.
pub(super) const KEY: &str = "driftline";
pub(super) const SECRET: &str = "driftline-secret";
pub(super) const REGION: &str = "us-east-1";

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Make {
    /// Checks signatures, conditions and checksums.
    SeaweedFs,
    /// Checks few conditions, and neither signatures nor checksums.
    Moto,
}

impl Make {
    fn name(self) -> &'static str {
        match self {
            Self::SeaweedFs => "seaweedfs",
            Self::Moto => "moto",
        }
    }
}

/// A running server. It may end when nobody holds one of these any more.
struct Server {
    address: String,
    _in_use: File,
}

impl Server {
    fn of(make: Make) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("s3");
        let in_use = in_use(&folder.join(make.name()));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3-server");
        let said = must(Command::new(script).args(["start", make.name()]).arg(&folder));
        Self { address: said.out.trim().to_owned(), _in_use: in_use }
    }
}

/// The lock that keeps a server from ending; it is released when this process ends, however it does.
fn in_use(folder: &Path) -> File {
    std::fs::create_dir_all(folder).expect("a folder for the server");
    let lock = File::options().create(true).truncate(false).write(true).open(folder.join("use")).expect("a lock file");
    lock.lock_shared().expect("a lock");
    lock
}

/// An empty bucket that vanishes with the test.
pub(crate) struct Bucket {
    name: String,
    server: Server,
    outsider: Outsider,
}

impl Bucket {
    /// A bucket that keeps the last version of each object only.
    pub(crate) fn new(make: Make) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        be_admitted();
        let name = format!("t-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let server = Server::of(make);
        let outsider = Outsider::new(&format!("http://{}", server.address), &name);
        // A process id comes back, and the bucket of a killed test may still be there.
        outsider.remove_bucket();
        outsider.make_bucket();
        if make == Make::Moto {
            // Before that is said, moto's answer to whether versions are kept is not one that the SDK understands.
            outsider.keep_versions(false);
        }
        Self { name, server, outsider }
    }

    /// A bucket that keeps all versions.
    pub(crate) fn versioned(make: Make) -> Self {
        let bucket = Self::new(make);
        bucket.outsider.keep_versions(true);
        bucket
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where its server is reached.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.server.address)
    }

    /// A target below `prefix`, as it is written in a configuration.
    pub(crate) fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.name)
    }

    /// Another program that uses it.
    pub(crate) fn outsider(&self) -> &Outsider {
        &self.outsider
    }

    /// A proxy before its server.
    pub(crate) fn proxy(&self) -> Proxy {
        Proxy::before(&self.server.address)
    }

    /// What gives a program the right to use it, and nothing else of AWS.
    pub(crate) fn admit(command: &mut Command) -> &mut Command {
        let foreign = |name: &OsString| name.to_string_lossy().starts_with("AWS_");
        let set: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for name in std::env::vars_os().map(|(name, _)| name).chain(set).filter(foreign) {
            command.env_remove(name);
        }
        // A proxy of the machine is not for what runs on it.
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", REGION);
        command.env("AWS_EC2_METADATA_DISABLED", "true")
    }
}

/// Gives this process what [`Bucket::admit`] gives another: a target that is opened here finds it in the environment.
#[expect(unsafe_code, reason = "there is no safe way to set the environment of one's own process")]
fn be_admitted() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let mut command = Command::new("true");
        for (name, value) in Bucket::admit(&mut command).get_envs() {
            // SAFETY: code in Rust reads the environment under a lock of std's. Code in C (SQLite, for the name of a
            // temporary folder) could read it in another thread at this instant, but only where tests share a process.
            match value {
                Some(value) => unsafe { std::env::set_var(name, value) },
                None => unsafe { std::env::remove_var(name) },
            }
        }
    });
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.outsider.remove_bucket();
    }
}
