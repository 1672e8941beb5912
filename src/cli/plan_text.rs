//! A plan that is only shown: what `sync --dry-run` prints.

use serde::Serialize;

use crate::cli::text::{Screen, Set, bytes, counted, cut, grouped, harmless, table};

/// What would be done on one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanSummary {
    /// Which share.
    pub share: String,
    /// Which target.
    pub target: String,
    /// What would be done, folder by folder.
    pub groups: Vec<PlanGroup>,
}

/// One kind of change in one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanGroup {
    /// `put new`, `replace`, `set meta`, `move`, `remove`, `adopt`, `compare` or `hold`.
    pub action: &'static str,
    /// The top-level folder; empty for the root itself.
    pub folder: String,
    /// How many paths.
    pub count: u64,
    /// How many bytes they hold.
    pub bytes: u64,
    /// A few of the paths.
    pub samples: Vec<String>,
}

/// The plans for people, and that nothing was changed.
pub fn render_plans(plans: &[PlanSummary], screen: &Screen) -> String {
    let text: String = plans.iter().map(|plan| render_plan(plan, screen)).collect();
    text + "Dry run: nothing was changed.\n"
}

fn render_plan(plan: &PlanSummary, screen: &Screen) -> String {
    let title = format!("{} -> {}", harmless(&plan.share), harmless(&plan.target));
    if plan.groups.is_empty() {
        return format!("{title}: nothing to do\n\n");
    }
    let (count, size) = plan.groups.iter().fold((0, 0), |(n, b), group| (n + group.count, b + group.bytes));
    let head = format!("{title}: {}, {}", counted(count, "path"), bytes(size));
    let rows: Vec<_> = plan.groups.iter().map(row).collect();
    let body = table([Set::Left, Set::Right, Set::Right, Set::Left, Set::Left], &rows, screen.width);
    format!("{}\n{body}\n", cut(&head, screen.width))
}

fn row(group: &PlanGroup) -> [String; 5] {
    let folder = if group.folder.is_empty() { "./".to_owned() } else { format!("{}/", harmless(&group.folder)) };
    [format!("  {}", group.action), grouped(group.count), bytes(group.bytes), folder, samples(group)]
}

fn samples(group: &PlanGroup) -> String {
    let mut names: Vec<_> = group.samples.iter().map(|name| harmless(name)).collect();
    if (names.len() as u64) < group.count && !names.is_empty() {
        names.push("…".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::cli::report::tests::at;

    fn plan(groups: Vec<PlanGroup>) -> PlanSummary {
        PlanSummary { share: "projects".into(), target: "efs".into(), groups }
    }

    fn group(action: &'static str, folder: &str, count: u64, bytes: u64, samples: &[&str]) -> PlanGroup {
        let samples = samples.iter().map(|&name| name.to_owned()).collect();
        PlanGroup { action, folder: folder.into(), count, bytes, samples }
    }

    fn screen() -> Screen {
        Screen { width: 100, zone: TimeZone::UTC, now: at(0) }
    }

    #[test]
    fn a_plan_is_grouped_counted_and_sized() {
        let groups = vec![
            group("put new", "reports", 1_200, 3 << 20, &["reports/a.odt", "reports/b.odt"]),
            group("replace", "", 1, 512, &["notes.txt"]),
            group("remove", "old", 2, 0, &["old/x\n", "old/y"]),
        ];
        let wanted = "\
projects -> efs: 1,203 paths, 3.0 MiB
  put new  1,200  3.0 MiB  reports/  reports/a.odt, reports/b.odt, …
  replace      1    512 B  ./        notes.txt
  remove       2      0 B  old/      old/x\\n, old/y

Dry run: nothing was changed.
";
        assert_eq!(render_plans(&[plan(groups)], &screen()), wanted);
    }

    #[test]
    fn nothing_to_do_is_said() {
        let wanted = "projects -> efs: nothing to do\n\nDry run: nothing was changed.\n";
        assert_eq!(render_plans(&[plan(vec![])], &screen()), wanted);
    }

    #[test]
    fn the_json_has_every_group() {
        let json = serde_json::to_value(plan(vec![group("hold", "a", 1, 2, &["a/b"])])).expect("plain values");
        let group = serde_json::json!({ "action": "hold", "folder": "a", "count": 1, "bytes": 2, "samples": ["a/b"] });
        assert_eq!(json, serde_json::json!({ "share": "projects", "target": "efs", "groups": [group] }));
    }
}
