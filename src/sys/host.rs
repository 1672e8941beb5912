//! What this machine calls itself.

/// The host's name, as `uname` gives it.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
