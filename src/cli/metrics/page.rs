//! A status in the text format of Prometheus, version 0.0.4. Pure.
//!
//! What is not known is left out: no figure stands for it.

use std::fmt::Write as _;

use crate::cli::report::{
    AgentState, AgentStatus, ShareState, ShareStatus, Status, TargetState, TargetStatus, Verdict, When,
};

const VERDICTS: [(Verdict, &str); 5] = [
    (Verdict::Safe, "safe"),
    (Verdict::Syncing, "syncing"),
    (Verdict::Attention, "attention"),
    (Verdict::Halted, "halted"),
    (Verdict::Unknown, "unknown"),
];

const TARGET_STATES: [TargetState; 6] = [
    TargetState::Ok,
    TargetState::Resting,
    TargetState::Unresponsive,
    TargetState::Unreachable,
    TargetState::Halted,
    TargetState::Paused,
];

/// All that `status` says in figures.
pub(super) fn page(status: &Status) -> String {
    let mut page = Page::default();
    whole(&mut page, status);
    let shares: Vec<_> = status.shares.iter().map(|share| (labels(&[("share", share.name.as_str())]), share)).collect();
    for (name, help, value) in OF_SHARES {
        page.family(name, help, shares.iter().map(|(labels, share)| (labels.clone(), value(share))));
    }
    let lanes: Vec<_> = status.lanes().map(|(share, target)| (of_lane(share, target, &[]), target)).collect();
    for (name, help, value) in OF_TARGETS {
        page.family(name, help, lanes.iter().map(|(labels, target)| (labels.clone(), value(target))));
    }
    states(&mut page, status);
    buckets(&mut page, status);
    page.0
}

fn whole(page: &mut Page, status: &Status) {
    let AgentStatus { name, version, heartbeat, state, .. } = &status.agent;
    let info = labels(&[("agent", name.as_str()), ("version", version.as_str())]);
    page.family("info", "The agent and its version.", [(info, Some(1.0))]);
    let verdict = |(verdict, word): (Verdict, &str)| (labels(&[("verdict", word)]), flag(status.verdict == verdict));
    page.family("verdict", "1 for the verdict of `driftline status`, 0 for the others.", VERDICTS.map(verdict));
    let one = |value| [(String::new(), value)];
    page.family("verdict_timestamp_seconds", "The time that the verdict is about.", one(seconds(Some(status.as_of))));
    page.family("heartbeat_timestamp_seconds", "When the agent last said that it works.", one(seconds(*heartbeat)));
    page.family("running", "Whether the agent works, and does not hang.", one(flag(*state == AgentState::Running)));
    let asks = status.config.as_ref().is_some_and(|config| config.needs_a_person());
    page.family("config_needs_person", "Whether the configuration file waits for a person.", one(flag(asks)));
}

type Of<T> = (&'static str, &'static str, fn(&T) -> Option<f64>);

const OF_SHARES: [Of<ShareStatus>; 8] = [
    ("share_up", "Whether the share is there.", |share| flag(share.state != ShareState::Offline)),
    ("share_files", "Files that are known.", |share| count(share.files)),
    ("share_bytes", "Their bytes.", |share| count(share.bytes)),
    ("share_problems", "Paths that cannot be read.", |share| count(share.problems)),
    ("share_scanned_timestamp_seconds", "When the last full scan ended.", |share| seconds(share.scanned)),
    ("share_watched_ratio", "The part of its folders that is watched.", |share| Some(share.watch.coverage)),
    ("share_late_seconds", "Where it is polled: how late a change is found.", |share| {
        share.watch.late_s.and_then(count)
    }),
    ("share_missed_changes", "Changes that a scan found and no event had told.", |share| count(share.missed)),
];

const OF_TARGETS: [Of<TargetStatus>; 13] = [
    ("target_files", "Files that are durable there.", |target| count(target.files)),
    ("target_bytes", "Their bytes.", |target| count(target.bytes)),
    ("target_pending_changes", "Changes that wait.", |target| count(target.pending)),
    ("target_pending_bytes", "The bytes that they will send.", |target| count(target.pending_bytes)),
    ("target_oldest_pending_seconds", "For how long the oldest of them has waited.", |target| {
        count(target.oldest_pending_s.unwrap_or(0))
    }),
    ("target_protected_timestamp_seconds", "Every change that had settled before is durable there.", |target| {
        seconds(target.protected_as_of)
    }),
    ("target_problems", "Faults of the target, and paths that are not as they were left.", |target| {
        count(target.problems)
    }),
    ("target_holds", "Paths that wait for a person.", |target| count(target.holds)),
    ("target_conflicts", "Paths that both sides had changed, of which a person has to choose.", |target| {
        count(target.conflicts)
    }),
    ("target_foreign_files", "Files there that are not of the share.", |target| count(target.foreign)),
    ("target_verified_files", "Files that were read back and found equal.", |target| count(target.verified.files)),
    (
        "target_verified_oldest_timestamp_seconds",
        "When the one of them was read back that was longest ago.",
        |target| seconds(target.verified.oldest),
    ),
    ("target_sent_bytes_per_second", "What was sent there in a second, of late.", |target| {
        count(target.rate.unwrap_or(0))
    }),
];

fn states(page: &mut Page, status: &Status) {
    let samples = status.lanes().flat_map(|(share, target)| {
        TARGET_STATES.map(|state| {
            let word = state.to_string();
            (of_lane(share, target, &[("state", word.as_str())]), flag(target.state == state))
        })
    });
    page.family("target_state", "1 for the state that the target is in, 0 for the others.", samples);
}

fn buckets(page: &mut Page, status: &Status) {
    let costs = status.lanes().filter_map(|(share, target)| Some((share, target, target.cost.as_ref()?)));
    let costs = costs.flat_map(|(share, target, cost)| {
        let of = |what: &str, amount| {
            (of_lane(share, target, &[("of", what), ("currency", cost.currency.as_str())]), Some(amount))
        };
        [of("requests", cost.requests_month), of("storage", cost.storage_month)]
    });
    page.family("target_cost_per_month", "What a bucket costs in a month, as it is reckoned.", costs);
    let requests = status.lanes().filter(|(_, target)| target.cost.is_some()).flat_map(|(share, target)| {
        let made = &target.requests_today;
        let of = |kind: &str, made| (of_lane(share, target, &[("request", kind)]), count(made));
        [
            of("put", made.put),
            of("get", made.get),
            of("head", made.head),
            of("list", made.list),
            of("delete", made.delete),
            of("copy", made.copy),
            of("queue", made.queue),
        ]
    });
    page.family("target_requests_today", "Requests made since midnight in UTC.", requests);
}

fn of_lane(share: &ShareStatus, target: &TargetStatus, more: &[(&str, &str)]) -> String {
    let mut all = vec![("share", share.name.as_str()), ("target", target.name.as_str())];
    all.extend_from_slice(more);
    labels(&all)
}

fn flag(is_so: bool) -> Option<f64> {
    Some(f64::from(u8::from(is_so)))
}

fn count(count: u64) -> Option<f64> {
    // Exact up to 2^53, which is more than any of them will be.
    Some(count as f64)
}

fn seconds(time: Option<When>) -> Option<f64> {
    time.map(|When(wall)| wall.0 as f64 / 1e9)
}

/// Labels in braces, with what has a meaning there escaped.
fn labels(labels: &[(&str, &str)]) -> String {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let one = |(name, value): &(&str, &str)| format!("{name}=\"{}\"", escaped(value));
    format!("{{{}}}", labels.iter().map(one).collect::<Vec<_>>().join(","))
}

#[derive(Default)]
struct Page(String);

impl Page {
    /// One gauge, of which each sample has labels of its own; none of it where nothing is known.
    fn family(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (String, Option<f64>)>) {
        let known: Vec<_> = samples.into_iter().filter_map(|(labels, value)| Some((labels, value?))).collect();
        if known.is_empty() {
            return;
        }
        let mut told = write!(self.0, "# HELP driftline_{name} {help}\n# TYPE driftline_{name} gauge\n");
        for (labels, value) in known {
            told = told.and_then(|()| writeln!(self.0, "driftline_{name}{labels} {value}"));
        }
        told.expect("writing to memory does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::tests::{agent, at, bucket, share, target};

    #[test]
    fn what_has_a_meaning_in_a_label_is_escaped() {
        assert_eq!(labels(&[("share", "a\"b\\c\nd"), ("target", "x")]), r#"{share="a\"b\\c\nd",target="x"}"#);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut page = Page::default();
        page.family("one", "Of one.", [("{a=\"b\"}".to_owned(), Some(1.5)), (String::new(), None)]);
        page.family("none", "Of none.", [(String::new(), None)]);
        assert_eq!(page.0, "# HELP driftline_one Of one.\n# TYPE driftline_one gauge\ndriftline_one{a=\"b\"} 1.5\n");
    }

    #[test]
    fn every_figure_of_a_status_is_there_with_the_place_that_it_is_about() {
        let away = TargetStatus {
            state: TargetState::Unreachable,
            pending: 41,
            oldest_pending_s: Some(360),
            protected_as_of: Some(at(-360)),
            ..target("efs")
        };
        let shares = vec![share("projects", vec![away, bucket("cloud", 0.25, 1.5)])];
        let page = page(&Status::new(agent(AgentState::Running), None, shares, at(0)));
        for line in [
            "driftline_info{agent=\"office-01\",version=\"0.1.0\"} 1",
            "driftline_verdict{verdict=\"attention\"} 1",
            "driftline_verdict{verdict=\"safe\"} 0",
            "driftline_running 1",
            "driftline_share_files{share=\"projects\"} 12345",
            "driftline_target_pending_changes{share=\"projects\",target=\"efs\"} 41",
            "driftline_target_oldest_pending_seconds{share=\"projects\",target=\"efs\"} 360",
            "driftline_target_protected_timestamp_seconds{share=\"projects\",target=\"efs\"} 1795442241",
            "driftline_target_state{share=\"projects\",target=\"efs\",state=\"unreachable\"} 1",
            "driftline_target_state{share=\"projects\",target=\"cloud\",state=\"ok\"} 1",
            "driftline_target_cost_per_month{share=\"projects\",target=\"cloud\",of=\"storage\",currency=\"USD\"} 1.5",
            "driftline_target_requests_today{share=\"projects\",target=\"cloud\",request=\"put\"} 7",
            "driftline_target_requests_today{share=\"projects\",target=\"cloud\",request=\"queue\"} 9",
        ] {
            assert!(page.lines().any(|one| one == line), "{line} is not in\n{page}");
        }
        assert!(!page.contains("verified_oldest"), "nothing was read back: {page}");
        let typed = page.lines().filter(|line| line.starts_with("# TYPE ")).count();
        assert_eq!(typed, page.lines().filter(|line| line.starts_with("# HELP ")).count());
    }

    #[test]
    fn every_figure_of_the_guide_is_served() {
        let shares = vec![share("projects", vec![bucket("cloud", 0.25, 1.5)])];
        let page = page(&Status::new(agent(AgentState::Running), None, shares, at(0)));
        let of_status = page.lines().filter_map(|line| line.strip_prefix("# TYPE driftline_")?.split(' ').next());
        let of_tables = OF_SHARES.iter().map(|(name, ..)| *name).chain(OF_TARGETS.iter().map(|(name, ..)| *name));
        let served: Vec<_> = of_status.chain(of_tables).collect();
        let guide = include_str!("../../docs/guide.md");
        let part = guide.split("### Prometheus").nth(1).and_then(|part| part.split("\n## ").next()).expect("its part");
        let (mut named, mut of) = (0, "");
        for word in part.split(|char: char| !char.is_ascii_lowercase() && char != '_') {
            let name = match word.strip_prefix("driftline_") {
                Some(name) => {
                    of = name.split('_').next().unwrap_or_default();
                    name.to_owned()
                }
                // `_files` after `driftline_share_up` is `driftline_share_files`.
                None if word.starts_with('_') => format!("{of}{word}"),
                None => continue,
            };
            assert!(served.contains(&name.as_str()), "driftline_{name} is not served");
            named += 1;
        }
        assert!(named > 20, "{named} were looked at");
    }
}
