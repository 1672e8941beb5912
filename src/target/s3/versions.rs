//! The requests that ask for more than what lies in a bucket now: its versions, listed and read.

use std::cmp::Reverse;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;

use super::connection::Sort;
use super::fault::Outcome;
use super::object::Head;
use super::past::Source;
use super::wire::{Wire, begun, decoded, garbled, length, time, version};
use crate::model::Wall;

/// One version of a key, or its removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) len: u64,
    pub(super) etag: String,
    /// When it came to be, by the server's clock.
    pub(super) modified: Wall,
    /// It hides the versions before it.
    pub(super) is_removal: bool,
    is_latest: bool,
}

/// Where a listing of versions goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    key: String,
    id: Option<String>,
}

/// One page of a listing of versions: by key, and of each key the newest first.
pub(super) struct Versions {
    pub(super) versions: Vec<Version>,
    pub(super) next: Option<Next>,
}

impl Wire<'_> {
    /// The next versions of keys that begin with `prefix`.
    pub(super) async fn list_versions(&self, prefix: &str, after: Option<&Next>) -> Outcome<Versions> {
        let client = &self.line().await.client;
        self.call(Sort::List, 0, || async {
            let request = client.list_object_versions().bucket(self.bucket()).prefix(prefix);
            let request = request.encoding_type(EncodingType::Url);
            let request = request.set_key_marker(after.map(|next| next.key.clone()));
            let request = request.set_version_id_marker(after.and_then(|next| next.id.clone()));
            let out = begun(request.send()).await?;
            let kept = out.versions.unwrap_or_default().into_iter().map(|one| {
                Ok(Version {
                    key: decoded(one.key.as_deref().unwrap_or_default())?,
                    id: one.version_id.unwrap_or_default(),
                    len: length(one.size),
                    etag: one.e_tag.unwrap_or_default(),
                    modified: time(one.last_modified.as_ref()),
                    is_removal: false,
                    is_latest: one.is_latest.unwrap_or(false),
                })
            });
            let removals = out.delete_markers.unwrap_or_default().into_iter().map(|one| {
                Ok(Version {
                    key: decoded(one.key.as_deref().unwrap_or_default())?,
                    id: one.version_id.unwrap_or_default(),
                    len: 0,
                    etag: String::new(),
                    modified: time(one.last_modified.as_ref()),
                    is_removal: true,
                    is_latest: one.is_latest.unwrap_or(false),
                })
            });
            let versions = in_order(kept.chain(removals).collect::<Outcome<_>>()?);
            let key = out.next_key_marker.as_deref().map(decoded).transpose()?.unwrap_or_default();
            let next = out.is_truncated.unwrap_or(false).then_some(Next { key, id: out.next_version_id_marker });
            if next.as_ref().is_some_and(|next| next.key.is_empty() || Some(next) == after) {
                return Err(garbled("a listing of versions says that it goes on, and not where"));
            }
            Ok(Versions { versions, next })
        })
        .await
    }

    /// What an object is and its bytes from `from` on, if it is the one that is meant.
    pub(super) async fn get_version(&self, source: &Source, from: u64) -> Outcome<(Head, ByteStream)> {
        let client = &self.line().await.client;
        let range = (from > 0).then(|| format!("bytes={from}-"));
        self.call(Sort::Get, 0, || async {
            let request = client.get_object().bucket(self.bucket()).key(&source.key).set_range(range.clone());
            let request = request.set_if_match(source.etag.clone()).set_version_id(source.version.clone());
            let out = begun(request.send()).await?;
            let head = Head {
                etag: out.e_tag.unwrap_or_default(),
                len: length(out.content_length),
                modified: time(out.last_modified.as_ref()),
                metadata: out.metadata.unwrap_or_default(),
                version: version(out.version_id),
            };
            Ok((head, out.body))
        })
        .await
    }
}

/// Sorted by key, the newest first. The two lists in an answer are each in that order; of what bears one time, what is
/// there now is the newest, and a removal newer than what it removed.
fn in_order(mut versions: Vec<Version>) -> Vec<Version> {
    let order = |one: &Version| (one.key.clone(), Reverse((one.is_latest, one.modified, one.is_removal)));
    versions.sort_by_cached_key(order);
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_removals_come_in_the_order_of_their_times() {
        let one = |key: &str, id: &str, at, is_removal, is_latest| Version {
            key: key.to_owned(),
            id: id.to_owned(),
            len: 0,
            etag: String::new(),
            modified: Wall(at),
            is_removal,
            is_latest,
        };
        let versions = vec![
            one("a", "4", 30, false, true),
            one("a", "2", 20, false, false),
            one("a", "1", 10, false, false),
            one("b", "7", 5, false, false),
            one("a", "3", 20, true, false),
            one("b", "8", 5, true, true),
        ];
        let ids: Vec<_> = in_order(versions).into_iter().map(|version| version.id).collect();
        assert_eq!(ids, ["4", "3", "2", "1", "8", "7"]);
    }
}
