//! `pending` and `problems` for people: what, why, since when, what to do.

use crate::cli::report::{Item, ItemKind};
use crate::cli::text::{Screen, harmless};

/// Each with its place and path first; `nothing` if there are none.
pub fn render_items(items: &[Item], nothing: &str, screen: &Screen) -> String {
    if items.is_empty() {
        return format!("{nothing}\n");
    }
    items.iter().map(|item| render_item(item, screen)).collect()
}

fn render_item(item: &Item, screen: &Screen) -> String {
    let place = item.target.as_ref().map_or_else(|| item.share.clone(), |target| format!("{}/{target}", item.share));
    let what = if item.path.is_empty() { place } else { format!("{place}: {}", harmless(&item.path)) };
    let what = if item.kind == ItemKind::Note { format!("{what} (only told, no problem)") } else { what };
    let (message, since) = (harmless(&item.message), screen.since(item.since));
    let since = match &item.by {
        Some(by) => format!("{message} since {since} ({})", harmless(by)),
        None => format!("{message}, since {since}"),
    };
    let hint = Some(format!("  hint: {}", harmless(&item.hint))).filter(|_| !item.hint.is_empty());
    let lines = [format!("  {since}")].into_iter().chain(hint);
    what + "\n" + &lines.map(|line| screen.lines(&line)).collect::<String>()
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::cli::report::tests::at;

    fn screen() -> Screen {
        Screen { width: 100, zone: TimeZone::UTC, now: at(0) }
    }

    #[test]
    fn a_list_says_what_why_and_what_to_do() {
        let item = Item {
            kind: ItemKind::Hold,
            share: "projects".into(),
            target: Some("efs".into()),
            path: "a/b\n.txt".into(),
            message: "someone else changed the copy".into(),
            by: None,
            hint: "look at both".into(),
            since: at(-86_400),
        };
        let whole = Item { target: None, path: String::new(), hint: String::new(), ..item.clone() };
        let wanted = "\
projects/efs: a/b\\n.txt
  someone else changed the copy, since 2026-11-22 14:03
  hint: look at both
projects
  someone else changed the copy, since 2026-11-22 14:03
";
        assert_eq!(render_items(&[item.clone(), whole.clone()], "Nothing waits.", &screen()), wanted);
        let note = Item { kind: ItemKind::Note, ..whole };
        assert!(render_items(&[note], "", &screen()).starts_with("projects (only told, no problem)\n"));
        assert_eq!(render_items(&[], "Nothing waits.", &screen()), "Nothing waits.\n");
        let message = "held: open for writing on the share".to_owned();
        let busy = Item { message, by: Some("smbd, pid 812".into()), since: at(-60), ..item };
        let text = render_items(&[busy], "", &screen());
        assert!(text.contains("\n  held: open for writing on the share since 14:02 (smbd, pid 812)\n"), "{text}");
    }
}
