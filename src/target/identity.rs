//! What a target says of itself, in `.driftline/identity`.

use crate::model::Wall;
use crate::target::version_name::rfc3339;

/// Who a target is, whose copy it keeps, and who writes to it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub(super) struct Identity {
    pub(super) target: String,
    pub(super) share: String,
    pub(super) created: String,
    pub(super) writers: Vec<String>,
    /// What other versions wrote beside it stays.
    #[serde(flatten)]
    pub(super) more: serde_json::Map<String, serde_json::Value>,
}

impl Identity {
    /// A new one, with an id that no other target has.
    pub(super) fn new(share: &str, writer: &str, created: Wall) -> Self {
        Self {
            target: uuid::Uuid::now_v7().to_string(),
            share: share.to_owned(),
            created: rfc3339(created),
            writers: vec![writer.to_owned()],
            more: serde_json::Map::new(),
        }
    }

    /// As it lies on the target.
    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}
