//! What became of each directive, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::findings::{Findings, Verdict};
use super::table::{self, Rule};
use super::tree::Directive;

/// What holds for every imported file.
const ALWAYS: &[&str] = &[
    "Backends are spoken to in HTTP/1.1 where nginx speaks 1.0; connections are then not kept, as with nginx.",
    "Errors that the balancer answers itself have a line of text, where nginx has a page of HTML. It does not \
     name itself in `Server`.",
    "Responses are read ahead of slow clients in memory only, at most 1 MiB of each where nginx would go on \
     in a file.",
    "Backends given by name are resolved again by TTL; nginx asks once, at start, unless told otherwise.",
    "Requests of HTTP/0.9 (a line without a version) are answered with 400, where nginx answers with a bare \
     body.",
];

/// One directive, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The directive with its arguments.
    pub directive: String,
    /// Where it stands: file, line, column.
    pub place: (String, usize, usize),
    /// What became of it.
    pub verdict: Verdict,
    /// Why, or in what it differs.
    pub notes: Vec<String>,
    /// What to do in its place.
    pub instead: Vec<String>,
}

/// A trap: it works, perhaps otherwise than was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// Where it stands: file, line, column.
    pub place: (String, usize, usize),
    /// What it does.
    pub what: String,
    /// What would be better.
    pub help: String,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The main file.
    pub file: String,
    /// Every directive, in the order of reading.
    pub rows: Vec<Row>,
    /// The traps.
    pub lints: Vec<Lint>,
}

/// A directive that was not looked at, because nothing that is carried depends on it.
fn untouched(d: &Directive) -> (Verdict, &'static str, &'static str) {
    let Some(row) = table::find(&d.name.text) else {
        return (Verdict::NotCarried, "the importer does not know this directive", "");
    };
    match row.rule {
        Rule::Shape if d.name.text == "location" => {
            (Verdict::NotCarried, "nothing that is carried leads to it", "")
        }
        Rule::Shape | Rule::Needless => (Verdict::Carried, row.doc, ""),
        Rule::Listener(_) => {
            (Verdict::NotCarried, "a listener takes it from its default server", "set it there")
        }
        Rule::Missing | Rule::Guard => (Verdict::NotCarried, row.doc, row.instead),
        Rule::Content => (Verdict::Carried, "nothing here needs it", ""),
        Rule::Process(_) | Rule::Route(_) | Rule::Upstream(_) => {
            (Verdict::Carried, "nothing that is carried needs it", "")
        }
    }
}

/// A text as a list, which is empty for none.
fn listed(text: &str) -> Vec<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty()).into_iter().collect()
}

/// Blocks whose lines are directives.
fn holds_directives(d: &Directive) -> bool {
    ["http", "stream", "events", "server", "location", "upstream", "if", "limit_except"]
        .contains(&&*d.name.text)
}

impl Report {
    /// The report over a tree.
    pub(super) fn of(file: String, tree: &[Directive], found: &Findings<'_>) -> Self {
        let mut report = Self { file, rows: Vec::new(), lints: Vec::new() };
        report.add(tree, found);
        for (place, what, help) in found.lints() {
            let (file, line, column) = found.faults.position(*place);
            let place = (file.to_owned(), line, column);
            report.lints.push(Lint { place, what: what.clone(), help: help.clone() });
        }
        report.lints.sort_by(|a, b| a.place.cmp(&b.place));
        report
    }

    fn add(&mut self, directives: &[Directive], found: &Findings<'_>) {
        for d in directives {
            let (verdict, notes, instead) = if let Some(one) = found.of(d) {
                (one.verdict, one.notes.clone(), one.instead.clone())
            } else {
                let (verdict, note, instead) = untouched(d);
                (verdict, listed(note), listed(instead))
            };
            let (file, line, column) = found.faults.position(d.name.place);
            let place = (file.to_owned(), line, column);
            let directive = shortened(&d.head());
            self.rows.push(Row { directive, place, verdict, notes, instead });
            if holds_directives(d) {
                self.add(d.inner(), found);
            }
        }
    }

    /// How many directives had this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}, imported\n\n", self.file);
        for verdict in [Verdict::Carried, Verdict::Difference, Verdict::NotCarried] {
            let _ = writeln!(text, "- {}: {}", verdict.name(), self.count(verdict));
        }
        let _ = writeln!(text, "- worth a look: {}", self.lints.len());
        self.part(&mut text, "Not carried", Verdict::NotCarried);
        self.part(&mut text, "Carried with a difference", Verdict::Difference);
        if !self.lints.is_empty() {
            text.push_str("\n## Worth a look\n\n| where | what it does | what would be better |\n|---|---|---|\n");
            for lint in &self.lints {
                let place = place(&lint.place);
                let _ = writeln!(text, "| {place} | {} | {} |", cell(&lint.what), cell(&lint.help));
            }
        }
        self.part(&mut text, "Carried", Verdict::Carried);
        text.push_str("\n## What differs in every imported file\n\n");
        for line in ALWAYS {
            let _ = writeln!(text, "- {line}");
        }
        text
    }

    fn part(&self, text: &mut String, title: &str, verdict: Verdict) {
        if self.count(verdict) == 0 {
            return;
        }
        let head = match verdict {
            Verdict::NotCarried => "| where | directive | why | instead |\n|---|---|---|---|\n",
            Verdict::Difference => "| where | directive | difference |\n|---|---|---|\n",
            Verdict::Carried => "| where | directive | note |\n|---|---|---|\n",
        };
        let _ = write!(text, "\n## {title}\n\n{head}");
        for row in self.rows.iter().filter(|row| row.verdict == verdict) {
            let notes = cell(&row.notes.join("; "));
            let _ = write!(text, "| {} | {} | {notes} |", place(&row.place), code(&row.directive));
            if verdict == Verdict::NotCarried {
                let _ = write!(text, " {} |", cell(&row.instead.join("; ")));
            }
            text.push('\n');
        }
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({
                "directive": row.directive,
                "file": row.place.0,
                "line": row.place.1,
                "column": row.place.2,
                "verdict": row.verdict.name(),
                "notes": row.notes,
                "instead": row.instead,
            })
        });
        let lints = self.lints.iter().map(|lint| {
            json!({
                "file": lint.place.0,
                "line": lint.place.1,
                "column": lint.place.2,
                "what": lint.what,
                "help": lint.help,
            })
        });
        json!({
            "file": self.file,
            "carried": self.count(Verdict::Carried),
            "carried_with_a_difference": self.count(Verdict::Difference),
            "not_carried": self.count(Verdict::NotCarried),
            "directives": rows.collect::<Vec<_>>(),
            "lints": lints.collect::<Vec<_>>(),
            "always": ALWAYS,
        })
    }
}

fn place((file, line, _): &(String, usize, usize)) -> String {
    cell(&format!("{file}:{line}"))
}

/// A directive that fits into a line.
fn shortened(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((cut, _)) = line.char_indices().nth(100) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// A text in a table's cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A text as code in a table's cell; more backticks hold those within.
fn code(text: &str) -> String {
    let fence = if text.contains('`') { "``" } else { "`" };
    let space = if text.contains('`') { " " } else { "" };
    format!("{fence}{space}{}{space}{fence}", cell(text))
}

/// The chapter of the manual, from the table.
pub(super) fn manual() -> String {
    let mut text = include_str!("manual.md").to_owned();
    for part in &table::PARTS {
        let _ = write!(
            text,
            "\n## {}\n\n| directive | | what becomes of it |\n|---|---|---|\n",
            part.title
        );
        for row in part.rows {
            let doc = with_instead(row.doc, row.instead);
            let name = row.name.replace('*', "…");
            let _ = writeln!(text, "| `{name}` | {} | {doc} |", row.verdict.name());
        }
    }
    for (title, parameters) in [
        ("Parameters of `listen`", table::LISTEN),
        ("Parameters of `server` in an upstream", table::SERVER),
    ] {
        let _ =
            write!(text, "\n## {title}\n\n| parameter | | what becomes of it |\n|---|---|---|\n");
        for one in parameters {
            let doc = with_instead(one.doc, one.instead);
            let _ = writeln!(text, "| `{}` | {} | {doc} |", one.name, one.verdict.name());
        }
    }
    text.push_str("\n## What differs in every imported file\n\n");
    for line in ALWAYS {
        let _ = writeln!(text, "- {line}");
    }
    text
}

fn with_instead(doc: &str, instead: &str) -> String {
    if instead.is_empty() { cell(doc) } else { cell(&format!("{doc} Instead: {instead}.")) }
}
