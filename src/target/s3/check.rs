//! What `check` says of a bucket: whether it can be used, what it does not do, and what an administrator should set.

use super::Inner;
use super::abilities::{Abilities, Checksum};
use super::fault::{Kind, Outcome, Refusal};
use super::wire::Wire;
use crate::target::{Fault, Finding, Level};

/// After so many days the recommended rule ends an upload that nobody goes on with.
const STALE_DAYS: u32 = 7;
/// For so many days the recommended rule keeps versions that were replaced or deleted: the default of `history`.
const VERSION_DAYS: u32 = 30;

impl Inner {
    /// Everything that is to be said, the gravest where it was found.
    pub(super) async fn check_all(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        match self.check_identity().await {
            Err(refusal) => found.push(problem("reach", &refusal)),
            Ok((finding, is_bound)) => {
                found.push(finding);
                found.extend(self.check_bucket(is_bound).await);
            }
        }
        found
    }

    /// Whether it is the place that it has to be; and whether it bears an identity at all.
    async fn check_identity(&self) -> Outcome<(Finding, bool)> {
        let bound = self.known().bound.clone();
        let place = self.shown();
        let Some((identity, _)) = self.read_identity().await? else {
            if bound.is_some() {
                return Err(self.unbound());
            }
            let what = format!("{place} answers, and bears no identity yet");
            return Ok((
                Finding::new(Level::Note, what).hint("driftline binds it to the share at first contact"),
                false,
            ));
        };
        self.compare(&identity, bound.as_deref())?;
        Ok((Finding::new(Level::Fine, format!("{place} answers, and is the target {}", identity.target)), true))
    }

    async fn check_bucket(&self, is_bound: bool) -> Vec<Finding> {
        let wire = self.wire(Abilities::ALL);
        let mut found = Vec::new();
        match wire.list(self.prefix.as_str(), Some("/"), None, 1).await {
            Ok(_) => found.push(Finding::new(Level::Fine, "it can be listed")),
            Err(refusal) => found.push(problem("list", &refusal)),
        }
        found.push(self.check_versions(&wire).await);
        found.push(self.check_uploads(&wire).await);
        found.extend(self.check_queue().await);
        if is_bound {
            found.extend(self.check_abilities().await);
        } else {
            let what = "what its server can do is not tried before it is bound";
            found.push(Finding::new(Level::Note, what).hint("run this again after 'driftline init'"));
        }
        found
    }

    async fn check_versions(&self, wire: &Wire<'_>) -> Finding {
        match wire.is_versioned().await {
            Ok(Some(true)) => {
                Finding::new(Level::Fine, "it keeps versions: nothing that is replaced or deleted is lost")
            }
            Ok(Some(false)) => {
                let what = "it keeps no versions: what is replaced or deleted is copied to .driftline/history first";
                let hint =
                    "let the bucket keep versions: that is cheaper, and also saves what others replace or delete";
                let bucket = &self.setup.bucket;
                Finding::new(Level::Warning, what).hint(hint).command(self.aws(&format!(
                    "s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled"
                )))
            }
            Ok(None) => {
                let what = "whether it keeps versions cannot be asked: history is kept by copies, to be safe";
                Finding::new(Level::Warning, what).hint("allow the agent's user s3:GetBucketVersioning")
            }
            Err(refusal) => problem("ask for the versions of", &refusal),
        }
    }

    async fn check_uploads(&self, wire: &Wire<'_>) -> Finding {
        match wire.ends_uploads().await {
            Ok(Some(true)) => Finding::new(Level::Fine, "a rule of it ends stale uploads"),
            Ok(None) => Finding::new(Level::Note, "whether a rule of it ends stale uploads cannot be asked")
                .hint("allow the agent's user s3:GetLifecycleConfiguration"),
            Ok(Some(false)) => self.recommend_rules(),
            Err(refusal) if matches!(refusal.kind, Kind::Unknown | Kind::Garbled) => {
                Finding::new(Level::Note, "its server knows no rules that end stale uploads")
            }
            Err(refusal) => problem("ask for the rules of", &refusal),
        }
    }

    fn recommend_rules(&self) -> Finding {
        let (bucket, prefix) = (&self.setup.bucket, self.prefix.as_str());
        let rules = serde_json::json!({ "Rules": [{
            "ID": "driftline",
            "Status": "Enabled",
            "Filter": { "Prefix": prefix },
            "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": STALE_DAYS },
            "NoncurrentVersionExpiration": { "NoncurrentDays": VERSION_DAYS },
            "Expiration": { "ExpiredObjectDeleteMarker": true },
        }] });
        let what = "no rule of it ends stale uploads, nor versions that are older than they must be kept";
        let hint = "set such a rule; the command replaces all rules that the bucket has, so add others that it needs, and \
                    set NoncurrentDays to this target's history";
        Finding::new(Level::Warning, what).hint(hint).command(self.aws(&format!(
            "s3api put-bucket-lifecycle-configuration --bucket {bucket} --lifecycle-configuration '{rules}'"
        )))
    }

    /// Tries everything again: a server may have been replaced or updated since.
    async fn check_abilities(&self) -> Vec<Finding> {
        let abilities = match self.wire(Abilities::ALL).try_all(&self.scratch()).await {
            Ok(abilities) => abilities,
            Err(refusal) => return vec![problem("write to", &refusal)],
        };
        if let Err(refusal) = self.remember_abilities(abilities).await {
            return vec![problem("write the identity of", &refusal)];
        }
        let sum = match abilities.checksum {
            Checksum::Crc64Nvme => "CRC64NVME",
            Checksum::Sha256 => "SHA-256",
            Checksum::Crc32 => "CRC32",
            Checksum::None => "none",
        };
        let mut found = vec![Finding::new(Level::Fine, format!("it can be written; checksum that it verifies: {sum}"))];
        found.extend(abilities.lacks().into_iter().map(|what| {
            let hint =
                "driftline looks just before each such change; between the look and the change others could be quicker";
            Finding::new(Level::Warning, what).hint(hint)
        }));
        found
    }

    /// A command of aws-cli for this bucket's server.
    fn aws(&self, rest: &str) -> String {
        let option = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!(" --{name} {value}")).unwrap_or_default()
        };
        let setup = &self.setup;
        let (endpoint, region) = (option("endpoint-url", &setup.endpoint), option("region", &setup.region));
        format!("aws{endpoint}{region}{} {rest}", option("profile", &setup.profile))
    }
}

fn problem(verb: &str, refusal: &Refusal) -> Finding {
    let passes = matches!(refusal.kind, Kind::Fault(Fault::Throttled(_)) | Kind::Slow);
    let level = if passes { Level::Warning } else { Level::Problem };
    Finding::new(level, format!("cannot {verb} it: {}", refusal.cause)).hint(refusal.hint.clone())
}
