//! What is wrong with a configuration, in the operator's terms.
//!
//! A [`Diagnostic`] carries its own excerpt, so that it can be shown, logged or sent on after the
//! files are gone. A [`Report`] is every diagnostic of one load, in the order of the files. Made
//! by `faults`, shown by `plimsoll check`, the control loop and the admin API.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is good, but probably not what was meant.
    Warning,
}

impl Severity {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One finding, with its place and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named to [`load`](super::load()) or found by `include`.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The line's text, or of a long line what is around the place; empty when the finding is
    /// about a file as a whole.
    pub(super) excerpt: String,
    /// How many characters of the excerpt stand before what is meant.
    pub(super) before: usize,
    /// How many characters are meant; at least one.
    pub(super) width: usize,
}

impl Diagnostic {
    /// The finding as text of a few lines, each ended; `color` adds ANSI colours.
    pub fn render(&self, color: bool) -> String {
        let paint = |code: &str, text: &str| {
            if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let tint = match self.severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
        };
        let head = paint(tint, self.severity.name());
        let message = paint("1", &self.message);
        let place = format!("{}:{}:{}", self.file, self.line, self.column);
        let help = self.help.as_deref().unwrap_or_default();
        if self.excerpt.is_empty() {
            let help = if help.is_empty() { String::new() } else { format!("   = {help}\n") };
            return format!("{head}: {message}\n  --> {place}\n{help}");
        }
        let Self { excerpt, before, width, .. } = self;
        let caret = paint(tint, &"^".repeat(*width));
        let marks = format!("{}{caret} {help}", " ".repeat(*before));
        let line = self.line.to_string();
        let gutter = paint("34", &format!("{line} |"));
        let margin = paint("34", &format!("{} |", " ".repeat(line.len())));
        let marks = marks.trim_end();
        format!("{head}: {message}\n  --> {place}\n{gutter} {excerpt}\n{margin} {marks}\n")
    }

    /// The finding as JSON: `severity`, `file`, `line`, `column`, `message`, `help`.
    pub fn to_json(&self) -> Value {
        json!({
            "severity": self.severity.name(),
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "message": self.message,
            "help": self.help,
        })
    }
}

/// Every finding of one refused load, errors and warnings, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) watched: Vec<PathBuf>,
}

impl Report {
    /// The findings; at least one is an error.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Files and directories whose change may mend the fault, as [`Loaded::watched`].
    ///
    /// [`Loaded::watched`]: super::Loaded::watched
    pub fn watched(&self) -> impl Iterator<Item = &Path> {
        self.watched.iter().map(PathBuf::as_path)
    }

    /// All findings as text, an empty line between two; `color` adds ANSI colours.
    pub fn render(&self, color: bool) -> String {
        render(&self.diagnostics, color)
    }

    /// All findings as a JSON array of [`Diagnostic::to_json`].
    pub fn to_json(&self) -> Value {
        self.diagnostics.iter().map(Diagnostic::to_json).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}

/// Findings as text, an empty line between two.
pub fn render(diagnostics: &[Diagnostic], color: bool) -> String {
    let texts: Vec<_> = diagnostics.iter().map(|one| one.render(color)).collect();
    texts.join("\n")
}
