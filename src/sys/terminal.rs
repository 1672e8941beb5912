//! The terminal that people read on.

use std::os::fd::AsFd;

/// Columns of the terminal behind `fd`; `None` if it is no terminal or does not say.
pub fn width(fd: impl AsFd) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    (size.ws_col > 0).then_some(size.ws_col)
}

/// Rows of the terminal behind `fd`; `None` if it is no terminal or does not say.
pub fn rows(fd: impl AsFd) -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    (size.ws_row > 0).then_some(size.ws_row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_no_terminal() {
        let file = tempfile::tempfile().expect("a file");
        assert_eq!((width(&file), rows(&file)), (None, None));
    }
}
