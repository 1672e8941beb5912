//! What lies on a target under names that no file of the share can have, or is no file: kept, never touched, and told.
//!
//! A lane gathers it while the target is listed; people's commands read it from the index.

use serde::{Deserialize, Serialize};

use crate::model::Wall;

/// Names that are kept (count). Of more only the number is known.
const NAMED_MAX: usize = 100;

/// What one listing of a target showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strange {
    /// All of them (count).
    pub count: u64,
    /// The first of them, as the target calls them.
    pub names: Vec<String>,
    /// When the listing ended (nanoseconds since 1970).
    pub seen: i64,
}

impl Strange {
    /// Under this name it is a fact of the index; `target` is `share/target`.
    pub fn fact(target: &str) -> String {
        format!("strange {target}")
    }

    /// What an agent wrote down; nothing if it cannot be understood.
    pub fn parse(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// As it goes into the index, at the end of a listing.
    pub fn to_json(&self, seen: Wall) -> String {
        serde_json::to_string(&Self { seen: seen.0, ..self.clone() }).expect("numbers and text are always JSON")
    }

    /// Adds what a page shows.
    pub(super) fn add(&mut self, names: &[String]) {
        self.count += names.len() as u64;
        let room = NAMED_MAX - self.names.len();
        self.names.extend(names.iter().take(room).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_named_as_there_is_room_for_and_all_are_counted() {
        let mut strange = Strange::default();
        for page in 0..3 {
            let names: Vec<_> = (0..60).map(|n| format!("{page}//{n}")).collect();
            strange.add(&names);
        }
        assert_eq!((strange.count, strange.names.len()), (180, NAMED_MAX));
        assert_eq!(strange.names[60], "1//0");
        let read = Strange::parse(&strange.to_json(Wall(7)));
        assert_eq!(read, Strange { seen: 7, ..strange });
        assert_eq!(Strange::parse("what?"), Strange::default());
    }
}
