//! How far a pass has come, on a terminal; nothing at all elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::text::{bytes, counted, grouped};

/// How far a pass has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Changes that are done.
    pub done_files: u64,
    /// Changes that are known.
    pub total_files: u64,
    /// Bytes that are sent.
    pub done_bytes: u64,
    /// Bytes that are known.
    pub total_bytes: u64,
    /// Whether the share is still being read, so that totals still grow.
    pub scanning: bool,
    /// Files found so far.
    pub found: u64,
    /// Files are read back: nothing is sent.
    pub reads_back: bool,
}

/// The line on the terminal. It goes when this is dropped.
#[derive(Debug)]
pub struct ProgressLine {
    bar: ProgressBar,
}

impl ProgressLine {
    /// On standard error if that is a terminal; else it stays silent.
    pub fn on_terminal() -> Self {
        let seen = std::io::stderr().is_terminal();
        Self::on(if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() })
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style(Progress { scanning: true, ..Progress::default() }));
        if !bar.is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self { bar }
    }

    /// Shows this. Cheap enough to be called for every change.
    pub fn show(&self, progress: Progress) {
        self.bar.set_style(style(progress));
        self.bar.set_message(message(progress));
        self.bar.set_length(progress.total_bytes);
        self.bar.set_position(progress.done_bytes);
    }

    /// Shows that a share is read, and what was found so far.
    pub fn found(&self, files: u64) {
        self.bar.set_message(format!("reading the share: {} found", counted(files, "file")));
    }

    /// Takes the line away, so that other text can follow.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Rate and time left come from the progress library, which has a clock of its own.
fn style(progress: Progress) -> ProgressStyle {
    let template = match (progress.scanning, progress.done_bytes, progress.total_bytes) {
        (true, _, _) | (false, _, 0) => "{spinner} {wide_msg}",
        // Before anything is sent nothing is known of its rate.
        (false, 0, _) => "{spinner} {msg}  {bar:20}",
        (false, _, _) => "{spinner} {msg}  {bar:20}  {binary_bytes_per_sec}, {eta} left",
    };
    ProgressStyle::with_template(template).expect("the template is a constant that a test renders")
}

fn message(progress: Progress) -> String {
    let Progress { done_files, total_files, done_bytes, total_bytes, scanning, found, reads_back: _ } = progress;
    let thing = if progress.reads_back { "file" } else { "change" };
    let counts = format!("{} of {}", grouped(done_files), counted(total_files, thing));
    let sizes = format!("{} of {}", bytes(done_bytes), bytes(total_bytes));
    if scanning && progress.reads_back {
        return format!("reading what lies on the target: {} found", counted(found, "thing"));
    }
    if scanning {
        return format!("reading the share: {} found; {counts}, {sizes}", counted(found, "file"));
    }
    format!("{counts}, {sizes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Progress = Progress {
        done_files: 600,
        total_files: 1200,
        done_bytes: 1 << 20,
        total_bytes: 2 << 20,
        scanning: false,
        found: 1200,
        reads_back: false,
    };

    #[test]
    fn the_message_counts_and_sizes() {
        assert_eq!(message(HALF), "600 of 1,200 changes, 1.0 MiB of 2.0 MiB");
        let scanning = Progress { scanning: true, ..HALF };
        assert_eq!(message(scanning), "reading the share: 1,200 files found; 600 of 1,200 changes, 1.0 MiB of 2.0 MiB");
        let recalling = Progress { reads_back: true, ..scanning };
        assert_eq!(message(recalling), "reading what lies on the target: 1,200 things found");
        let restoring = Progress { reads_back: true, ..HALF };
        assert_eq!(message(restoring), "600 of 1,200 files, 1.0 MiB of 2.0 MiB");
    }

    #[test]
    fn every_template_can_be_shown() {
        let line = ProgressLine::on(ProgressDrawTarget::hidden());
        for scanning in [true, false] {
            for total_bytes in [0, 2 << 20] {
                line.show(Progress { scanning, total_bytes, ..HALF });
            }
        }
        assert_eq!(line.bar.message(), "600 of 1,200 changes, 1.0 MiB of 2.0 MiB");
    }
}
