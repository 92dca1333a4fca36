//! Collects findings while the files are read and checked.
//!
//! Everything that reads or checks reports here and goes on, so that one pass finds all there is.
//! A [`Place`] is a range of bytes in one source; it becomes line and column only when reported.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Severity};

/// A range of bytes in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The file's number, in the order of reading.
    pub(crate) file: usize,
    /// First byte.
    pub(crate) start: usize,
    /// Byte after the last.
    pub(crate) end: usize,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn top(file: usize) -> Self {
        Self { file, start: 0, end: 0 }
    }

    /// A range as the parser gives it.
    pub(crate) fn of(file: usize, span: std::ops::Range<usize>) -> Self {
        Self { file, start: span.start, end: span.end }
    }
}

/// One text that is read.
struct Source {
    name: String,
    text: Arc<str>,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// The sources, and what was found in them so far.
#[derive(Default)]
pub(crate) struct Faults {
    sources: Vec<Source>,
    found: Vec<(Place, Diagnostic)>,
}

impl Faults {
    /// Takes in a source and gives its number.
    pub(crate) fn add_source(&mut self, name: String, text: Arc<str>) -> usize {
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes()).map(|end| end + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        self.sources.push(Source { name, text, lines });
        self.sources.len() - 1
    }

    /// Reports what makes the configuration unusable, and its remedy.
    pub(crate) fn error(
        &mut self,
        at: Place,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.report(Severity::Error, at, &message.into(), help.into().as_deref());
    }

    /// Reports what is allowed but hardly meant, and its remedy.
    pub(crate) fn warning(
        &mut self,
        at: Place,
        message: impl Into<String>,
        help: impl Into<Option<String>>,
    ) {
        self.report(Severity::Warning, at, &message.into(), help.into().as_deref());
    }

    /// `file:line:column` of a place, to name a second one in a remedy.
    pub(crate) fn locate(&self, at: Place) -> String {
        let (name, line, column) = self.position(at);
        format!("{name}:{line}:{column}")
    }

    /// File, line and column of a place.
    pub(crate) fn position(&self, at: Place) -> (&str, usize, usize) {
        let source = &self.sources[at.file];
        let (line, column) = source.position(at.start);
        (&source.name, line, column)
    }

    /// The place of the bytes `range` of a string value `text` written at `at`; the whole value
    /// when it was written with escapes.
    pub(crate) fn within(&self, at: Place, text: &str, range: std::ops::Range<usize>) -> Place {
        let written = self.sources[at.file].text.get(at.start..at.end).unwrap_or_default();
        match written.len().checked_sub(2) {
            Some(inner) if inner == text.len() && written[1..].starts_with(text) => {
                let start = at.start + 1;
                Place { file: at.file, start: start + range.start, end: start + range.end }
            }
            _ => at,
        }
    }

    /// Whether an error (not only warnings) was reported.
    pub(crate) fn any_error(&self) -> bool {
        self.found.iter().any(|(_, one)| one.severity == Severity::Error)
    }

    /// How much was found so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// Forgets what was found after the first `count`.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.found.truncate(count);
    }

    /// Everything found, in the order of the files.
    pub(crate) fn into_diagnostics(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|(place, _)| *place);
        self.found.into_iter().map(|(_, one)| one).collect()
    }

    fn report(&mut self, severity: Severity, at: Place, message: &str, help: Option<&str>) {
        let source = &self.sources[at.file];
        let (line, column) = source.position(at.start);
        let (excerpt, before, width) =
            if at.end == 0 { (String::new(), 0, 1) } else { source.excerpt(line, at) };
        let diagnostic = Diagnostic {
            severity,
            file: source.name.clone(),
            line,
            column,
            message: printable(message),
            help: help.map(printable),
            excerpt,
            before,
            width,
        };
        self.found.push((at, diagnostic));
    }
}

/// Characters of a long line that are shown before and after the place where the fault begins.
/// Also keeps a file of one long line with many faults from taking its length times their number.
const SHOWN_BEFORE: usize = 100;
const SHOWN_AFTER: usize = 100;

impl Source {
    /// Line and column, both from 1.
    fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= offset);
        let before = &self.text[self.lines[line - 1]..self.text.floor_char_boundary(offset)];
        (line, before.chars().count() + 1)
    }

    /// What is shown of a line, the characters of it before the place, and the width of the place.
    fn excerpt(&self, line: usize, at: Place) -> (String, usize, usize) {
        let rest = &self.text[self.lines[line - 1]..];
        let text = rest.lines().next().unwrap_or_default();
        // A place that the parser gives may lie within a character.
        let start = text.floor_char_boundary(at.start - self.lines[line - 1]);
        let (left, right) = text.split_at(start);
        let from = left.char_indices().rev().take(SHOWN_BEFORE).last().map_or(start, |(at, _)| at);
        let to = right.char_indices().nth(SHOWN_AFTER).map_or(right.len(), |(at, _)| at);
        let cut_left = if from > 0 { "…" } else { "" };
        let cut_right = if to < right.len() { "…" } else { "" };
        let before = cut_left.chars().count() + left[from..].chars().count();
        let meant = right.floor_char_boundary(at.end.saturating_sub(at.start).min(to));
        let width = right[..meant].chars().count().max(1);
        let excerpt = format!("{cut_left}{}{}{cut_right}", &left[from..], &right[..to]);
        (printable(&excerpt), before, width)
    }
}

/// A text without characters that could move a terminal's cursor; one character stays one.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
