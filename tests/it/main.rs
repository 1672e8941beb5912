//! One integration test binary: it is linked once.

mod contract;
