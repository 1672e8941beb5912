//! Help for tests.

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// Runs `work` on a thread that may read only what its user may, also when tests run as root.
pub(crate) fn without_privileges<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let drop_and_work = || {
        let mut mine = capabilities(None).expect("told");
        mine.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
        set_capabilities(None, mine).expect("dropped");
        work()
    };
    std::thread::scope(|scope| scope.spawn(drop_and_work).join().expect("it ran"))
}
