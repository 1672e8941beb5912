//! The administrator's guide as a page of the manual, driftline-guide(7): what is read on a machine without a network.
//!
//! Understands the Markdown that the guide is written in, and no more: headings, paragraphs, lists, code, tables.

use std::fmt::Write as _;

/// The guide, as it lies in the package too.
pub(super) const GUIDE: &str = include_str!("../../docs/guide.md");
/// Its name as a page.
pub(super) const NAME: &str = "driftline-guide";
/// Its section: what is neither a command nor a file.
pub(super) const SECTION: &str = "7";

/// Spaces that make a line code.
const CODE: &str = "    ";

/// What a line continues.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A paragraph, or an entry of a list.
    Text,
    /// Lines that are indented as code, or fenced.
    Code,
    /// A table, whose headings are known.
    Table,
    /// Nothing: an empty line was the last.
    Nothing,
}

/// The page.
pub(super) fn page(markdown: &str, version: &str) -> String {
    let mut page = Page { roff: String::new(), within: Within::Nothing, headings: Vec::new() };
    page.line(&format!(".TH {} {SECTION} \"\" \"driftline {version}\"", NAME.to_uppercase()));
    page.line(".SH NAME");
    let mut fenced = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            page.enter(Within::Nothing);
            if fenced {
                page.enter(Within::Code);
            }
        } else if fenced {
            page.line(&literal(line));
        } else {
            page.take(line);
        }
    }
    page.enter(Within::Nothing);
    page.roff
}

struct Page {
    roff: String,
    within: Within,
    headings: Vec<String>,
}

impl Page {
    fn line(&mut self, line: &str) {
        writeln!(self.roff, "{line}").expect("writing to memory does not fail");
    }

    /// Code is set as it stands: it begins and ends with a request.
    fn enter(&mut self, within: Within) {
        if within != self.within && self.within == Within::Code {
            self.line(".fi\n.RE");
        }
        if within != self.within && within == Within::Code {
            self.line(".PP\n.RS 4\n.nf");
        }
        self.within = within;
    }

    fn take(&mut self, line: &str) {
        let text = line.trim_start();
        let is_code = line.starts_with(CODE) && self.within != Within::Text;
        match text {
            "" if self.within == Within::Code => self.line(""),
            "" => self.enter(Within::Nothing),
            _ if is_code => {
                self.enter(Within::Code);
                self.line(&literal(&line[CODE.len()..]));
            }
            _ if line.starts_with('|') => self.row(line),
            _ => self.text(line, text),
        }
    }

    fn text(&mut self, line: &str, text: &str) {
        if let Some(title) = line.strip_prefix("# ") {
            // The title is all that the name of the page says.
            self.line(&format!("{NAME} \\- {}", inline(title.to_lowercase().trim_end_matches('.'))));
        } else if let Some(title) = line.strip_prefix("## ") {
            self.enter(Within::Nothing);
            self.line(&format!(".SH {}", inline(title)));
        } else if let Some(title) = line.strip_prefix("### ") {
            self.enter(Within::Nothing);
            self.line(&format!(".SS {}", inline(title)));
        } else if let Some(entry) = line.strip_prefix("- ") {
            self.enter(Within::Text);
            self.line(&format!(".IP \\(bu 2\n{}", inline(entry)));
        } else if let Some((number, entry)) = numbered(line) {
            self.enter(Within::Text);
            self.line(&format!(".IP {number}. 4\n{}", inline(entry)));
        } else {
            if self.within != Within::Text {
                self.enter(Within::Text);
                // What is indented goes on with the entry of a list.
                self.line(if line.starts_with(' ') { ".IP \"\" 2" } else { ".PP" });
            }
            self.line(&inline(text));
        }
    }

    /// A row as an entry: its first cell, and below it the others, each behind its heading.
    fn row(&mut self, line: &str) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        if self.within != Within::Table {
            self.enter(Within::Table);
            self.headings = cells;
        } else if cells.iter().any(|cell| !cell.starts_with("---")) {
            let rest: Vec<_> = match &self.headings[..] {
                [_, _] => cells[1..].to_vec(),
                headings => headings.iter().zip(&cells).skip(1).map(|(name, cell)| format!("{name}: {cell}")).collect(),
            };
            self.line(&format!(".TP\n{}\n{}", inline(&cells[0]), inline(&rest.join("; "))));
        }
    }
}

/// `1. text`, parted.
fn numbered(line: &str) -> Option<(&str, &str)> {
    let (number, text) = line.split_once(". ")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some((number, text))
}

/// Code and what is strong in bold, links by their words.
fn inline(text: &str) -> String {
    let mut done = String::new();
    for (at, part) in text.split('`').enumerate() {
        if at % 2 == 1 {
            done += &format!("\\fB{}\\fR", escaped(part));
            continue;
        }
        for (at, part) in unlinked(part).split("**").enumerate() {
            let part = escaped(part);
            done += &if at % 2 == 1 { format!("\\fB{part}\\fR") } else { part };
        }
    }
    guarded(done)
}

/// The words of links, without where they lead: there is no network.
fn unlinked(text: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, words, after)) = link(rest) {
        done += before;
        done += words;
        rest = after;
    }
    done + rest
}

fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (words, rest) = rest.split_once("](")?;
    let (_, after) = rest.split_once(')')?;
    Some((before, words, after))
}

fn literal(line: &str) -> String {
    guarded(escaped(line))
}

/// Backslashes and dashes as they are, not as roff takes them.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// A line that is text, also if it begins as a request does.
fn guarded(line: String) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: &str = "\
# The guide

Words, `code --with-dashes` and **strong**
ones; [README](README.md).

## First

- an entry that
  goes on

      a command

  and still does
- another

1. once

    .dots at the beginning
    and a \\ backslash

```json
{
}
```

| what | which | for |
|---|---|---|
| `this` | one | that |

| a | b |
|---|---|
| c | d |
";

    const SET: &str = "\
.TH DRIFTLINE-GUIDE 7 \"\" \"driftline 0.1.0\"
.SH NAME
driftline-guide \\- the guide
.PP
Words, \\fBcode \\-\\-with\\-dashes\\fR and \\fBstrong\\fR
ones; README.
.SH First
.IP \\(bu 2
an entry that
goes on
.PP
.RS 4
.nf
  a command

.fi
.RE
.IP \"\" 2
and still does
.IP \\(bu 2
another
.IP 1. 4
once
.PP
.RS 4
.nf
\\&.dots at the beginning
and a \\e backslash

.fi
.RE
.PP
.RS 4
.nf
{
}
.fi
.RE
.TP
\\fBthis\\fR
which: one; for: that
.TP
c
d
";

    #[test]
    fn each_kind_of_line_is_set_as_what_it_is() {
        let page = page(PIECE, "0.1.0");
        assert_eq!(page, SET, "{page}");
    }

    #[test]
    fn nothing_of_the_guide_is_lost() {
        let page = page(GUIDE, "0.1.0");
        let plain =
            page.replace("\\fB", "").replace("\\fR", "").replace("\\-", "-").replace("\\e", "\\").replace("\\&", "");
        for title in GUIDE.lines().filter_map(|line| line.strip_prefix("## ")) {
            assert!(plain.contains(&format!("\n.SH {title}\n")), "{title} is not in\n{page}");
        }
        let mut words = GUIDE.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 3);
        assert!(words.clone().count() > 1_000);
        assert_eq!(words.find(|word| !plain.to_lowercase().contains(&word.to_lowercase())), None);
        for line in page.lines().filter(|line| line.starts_with('.')) {
            let request = line.split(' ').next().unwrap_or_default();
            assert!(
                [".TH", ".SH", ".SS", ".PP", ".IP", ".TP", ".RS", ".RE", ".nf", ".fi"].contains(&request),
                "{line}"
            );
        }
    }
}
