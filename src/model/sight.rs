//! Not knowing is a value.

/// What is known of one path in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight<T> {
    /// Nobody has looked since it last mattered.
    Unseen,
    /// Looked at directly, or missing from a complete reading of its folder: nothing there.
    Absent,
    /// Looked at: this.
    Present(T),
    /// Looked at, and could not be read. Never the same as absent.
    Troubled,
}

impl<T> Sight<T> {
    /// The same sight of a reference.
    pub fn as_ref(&self) -> Sight<&T> {
        match self {
            Self::Unseen => Sight::Unseen,
            Self::Absent => Sight::Absent,
            Self::Present(value) => Sight::Present(value),
            Self::Troubled => Sight::Troubled,
        }
    }

    /// The same sight of something else.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Sight<U> {
        match self {
            Self::Unseen => Sight::Unseen,
            Self::Absent => Sight::Absent,
            Self::Present(value) => Sight::Present(f(value)),
            Self::Troubled => Sight::Troubled,
        }
    }
}
