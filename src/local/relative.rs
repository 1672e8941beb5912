//! From the paths of other crates to ours.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::model::RelPath;

/// The bytes of `path` below `root`; `None` if it is not at or below it.
pub(super) fn relative_bytes<'a>(root: &Path, path: &'a Path) -> Option<&'a [u8]> {
    let rest = path.as_os_str().as_bytes().strip_prefix(root.as_os_str().as_bytes())?;
    match rest {
        [] => Some(rest),
        [b'/', name @ ..] => Some(name),
        _ if root.as_os_str().as_bytes().ends_with(b"/") => Some(rest),
        _ => None,
    }
}

/// `path` below `root`.
pub(super) fn relative(root: &Path, path: &Path) -> Option<RelPath> {
    RelPath::new(relative_bytes(root, path)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_parts_below_the_root_count() {
        let told = |root: &str, path: &str| relative(Path::new(root), Path::new(path)).map(|path| path.to_string());
        assert_eq!(told("/s", "/s/a/b"), Some("a/b".into()));
        assert_eq!(told("/s", "/s"), Some(String::new()));
        assert_eq!(told("/", "/a"), Some("a".into()));
        assert_eq!(told("/s", "/sa/b"), None);
        assert_eq!(told("/s", "/t/s/a"), None);
    }
}
