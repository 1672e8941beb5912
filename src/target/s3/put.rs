//! The four changes that requests are: put, copy, delete, complete; each with its condition, and each looked after when
//! nobody says what came of it.

use super::connection::Sort;
use super::fault::{Kind, Outcome, Refusal};
use super::object::Head;
use super::wire::{Condition, Copy, Made, Put, Wire};
use super::{Inner, sums};
use crate::target::Fault;

impl Inner {
    /// Puts an object where the condition holds.
    pub(super) async fn put(&self, wire: &Wire<'_>, put: &Put, condition: &Condition) -> Outcome<Made> {
        let checked = match condition {
            Condition::Absent => wire.abilities.put_absent,
            Condition::Match(_) => wire.abilities.put_match,
        };
        if !checked {
            // RACE: between this look and the put someone else may change the object; theirs is then replaced.
            Box::pin(wire.hold(&put.key, condition)).await?;
        }
        match self.put_where(wire, put, checked.then_some(condition)).await {
            Err(refusal) if refusal.kind == Kind::Precondition && *condition == Condition::Absent => {
                Box::pin(self.put_where_nothing_is(wire, put, refusal)).await
            }
            Err(refusal) if refusal.kind == Kind::Broken => Err(Box::pin(self.whose_fault(wire, refusal)).await),
            made => made,
        }
    }

    /// Some servers that keep versions say that something is there where only older versions are: a look decides. Where no
    /// versions are kept the refusal stands: somebody else may be putting an object there just now.
    ///
    /// RACE: between this look and the put someone else may put an object there; theirs then stays as an earlier version.
    async fn put_where_nothing_is(&self, wire: &Wire<'_>, put: &Put, refusal: Refusal) -> Outcome<Made> {
        if !self.keeps_versions(wire).await? || wire.head(&put.key).await?.is_some() {
            return Err(refusal);
        }
        self.put_where(wire, put, None).await
    }

    /// A server that fails with one object again and again, and takes another one, will not take this one.
    async fn whose_fault(&self, wire: &Wire<'_>, refusal: Refusal) -> Refusal {
        let body = bytes::Bytes::from_static(b"driftline tries whether this server takes anything");
        let other = Put { key: self.scratch(), body, metadata: Default::default() };
        let Ok(made) = self.put_where(wire, &other, None).await else { return refusal };
        // What stays behind is in nobody's way: it lies in our staging.
        let _left = self.delete(wire, &other.key, &made.etag).await;
        let cause = format!("{}, with this object again and again, while it takes others", refusal.cause);
        Refusal::fault(Fault::Unfit, cause, "give it another name on the share, or see the server's own log")
    }

    /// Puts an object; without a condition, whatever is there.
    pub(super) async fn put_where(&self, wire: &Wire<'_>, put: &Put, condition: Option<&Condition>) -> Outcome<Made> {
        let checksum = sums::checked(wire.abilities.checksum, &put.body);
        let request = || wire.put_once(put, condition, &checksum);
        let made = || {
            Box::pin(async {
                let head = wire.head(&put.key).await?;
                Ok(head.filter(|head| is_this(head, put)).map(|head| Made { etag: head.etag, version: head.version }))
            })
        };
        let made = self.connection.change(&self.setup, (Sort::Put, put.body.len() as u64), request, made).await?;
        // Some servers that keep versions keep none of a folder's marker: it holds nothing.
        if made.version.is_none() && !put.key.ends_with('/') {
            self.no_version();
        }
        Ok(made)
    }

    /// Copies an object where the source is as it was seen, and nothing is in the way.
    pub(super) async fn copy(&self, wire: &Wire<'_>, copy: &Copy<'_>) -> Outcome<Made> {
        let is_onto_itself = copy.from == copy.to;
        if !wire.abilities.copy_match {
            // RACE: between this look and the copy someone else may change the source; theirs is then copied.
            wire.hold(copy.from, &Condition::Match(copy.etag.to_owned())).await?;
        }
        if copy.to_absent && !wire.abilities.copy_absent {
            // RACE: between this look and the copy someone else may put an object there; theirs is then replaced.
            wire.hold(copy.to, &Condition::Absent).await?;
        }
        let mut copy = copy.clone();
        if copy.len > self.setup.sizes.copy_max {
            return self.copy_large(wire, &copy).await;
        }
        copy.to_absent &= wire.abilities.copy_absent;
        let request = || wire.copy_once(&copy);
        let made = || async {
            if is_onto_itself {
                // Once more does no harm.
                return Ok(None);
            }
            let head = wire.head(copy.to).await?.filter(|head| head.len == copy.len);
            Ok(head.map(|head| Made { etag: head.etag, version: head.version }))
        };
        self.connection.change(&self.setup, (Sort::Copy, 0), request, made).await
    }

    async fn copy_large(&self, wire: &Wire<'_>, copy: &Copy<'_>) -> Outcome<Made> {
        let metadata = match &copy.metadata {
            Some(metadata) => metadata.clone(),
            None => {
                let head = wire.head(copy.from).await?.ok_or_else(|| gone(copy.from))?;
                head.metadata
            }
        };
        wire.copy_in_parts(copy, &metadata).await
    }

    /// Like [`Inner::delete`], and not again what is gone already. A bucket that keeps versions answers that with a marker of
    /// the removal, whatever the request is bound to (`If-Match` of DeleteObject, in S3's documentation): with an old index
    /// there would be one more for each file that went since. Where it keeps none it was looked when history was made.
    pub(super) async fn delete_if_there(&self, wire: &Wire<'_>, key: &str, etag: &str) -> Outcome<Made> {
        if wire.abilities.delete_match && self.keeps_versions(wire).await? {
            wire.hold(key, &Condition::Match(etag.to_owned())).await?;
        }
        self.delete(wire, key, etag).await
    }

    /// Deletes an object that bears the ETag.
    pub(super) async fn delete(&self, wire: &Wire<'_>, key: &str, etag: &str) -> Outcome<Made> {
        if !wire.abilities.delete_match {
            // RACE: between this look and the deletion someone else may change the object; theirs is then deleted, and can
            // be had back only where versions are kept.
            wire.hold(key, &Condition::Match(etag.to_owned())).await?;
        }
        let guard = wire.abilities.delete_match.then_some(etag);
        let request = || wire.delete_once(key, guard);
        let made = || async { Ok(wire.head(key).await?.is_none().then(Made::default)) };
        self.connection.change(&self.setup, (Sort::Delete, 0), request, made).await
    }
}

impl Wire<'_> {
    /// Fails unless the condition holds just now.
    pub(super) async fn hold(&self, key: &str, condition: &Condition) -> Outcome<()> {
        let found = self.head(key).await?;
        let holds = match condition {
            Condition::Absent => found.is_none(),
            Condition::Match(etag) => found.is_some_and(|head| head.etag == *etag),
        };
        if holds { Ok(()) } else { Err(Refusal::stale("it is not as it was")) }
    }
}

/// Whether an object is the one that was sent: the hash and all else that it carries are the same.
fn is_this(head: &Head, put: &Put) -> bool {
    let same = |(key, value): (&String, &String)| head.metadata.get(key) == Some(value);
    head.len == put.body.len() as u64 && put.metadata.iter().all(same)
}

fn gone(key: &str) -> Refusal {
    Refusal::new(Kind::NotThere, format!("{key} is not there any more"), "driftline looks at it again")
}
