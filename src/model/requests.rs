//! How often a target was asked, by kind: what a bucket's owner pays for.

use std::ops::{Add, Sub};

/// Requests, counted by kind. Tries count, answered or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// Objects and parts sent, uploads begun and ended.
    pub put: u64,
    /// Objects read, and questions about the bucket as a whole.
    pub get: u64,
    /// Looks at one object.
    pub head: u64,
    /// Pages of listings.
    pub list: u64,
    /// Objects deleted and uploads given up.
    pub delete: u64,
    /// Copies made on the server.
    pub copy: u64,
}

impl Requests {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.put + self.get + self.head + self.list + self.delete + self.copy
    }

    fn each(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            put: with(self.put, other.put),
            get: with(self.get, other.get),
            head: with(self.head, other.head),
            list: with(self.list, other.list),
            delete: with(self.delete, other.delete),
            copy: with(self.copy, other.copy),
        }
    }
}

impl Add for Requests {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }
}

impl Sub for Requests {
    type Output = Self;

    /// What came since; nothing below zero.
    fn sub(self, earlier: Self) -> Self {
        self.each(earlier, u64::saturating_sub)
    }
}
