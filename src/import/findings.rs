//! What became of each directive, and traps met on the way.

use super::tree::Directive;
use crate::config::{Faults, Place};

/// What became of a directive; the worst of what was found counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It means the same in the imported file.
    Carried,
    /// It is in the imported file, and means something else in some respect.
    Difference,
    /// It is not in the imported file.
    NotCarried,
}

impl Verdict {
    /// The words in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Difference => "carried with a difference",
            Self::NotCarried => "not carried",
        }
    }
}

/// What is known about one directive.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub verdict: Verdict,
    /// What is said, each once, in the order of finding.
    pub notes: Vec<String>,
    /// What to do in its place.
    pub instead: Vec<String>,
    /// Whether it is told at its block already, and not warned of again.
    pub quiet: bool,
}

impl Finding {
    fn carried() -> Self {
        Self { verdict: Verdict::Carried, notes: Vec::new(), instead: Vec::new(), quiet: false }
    }
}

/// Everything found, by the directives' ids.
pub(super) struct Findings<'f> {
    /// Where warnings go.
    pub faults: &'f mut Faults,
    all: Vec<Option<Finding>>,
    lints: Vec<(Place, String, String)>,
}

impl<'f> Findings<'f> {
    /// Room for so many directives.
    pub(super) fn new(count: usize, faults: &'f mut Faults) -> Self {
        Self { faults, all: vec![None; count], lints: Vec::new() }
    }

    /// What is known of a directive so far.
    pub(super) fn of(&self, directive: &Directive) -> Option<&Finding> {
        self.all.get(directive.id)?.as_ref()
    }

    fn add(&mut self, id: usize, verdict: Verdict, note: &str, instead: &str) {
        let Some(slot) = self.all.get_mut(id) else {
            return;
        };
        let finding = slot.get_or_insert_with(Finding::carried);
        finding.verdict = finding.verdict.max(verdict);
        for (list, text) in [(&mut finding.notes, note), (&mut finding.instead, instead)] {
            if !text.is_empty() && !list.iter().any(|one| one == text) {
                list.push(text.to_owned());
            }
        }
    }

    /// It means the same.
    pub(super) fn carried(&mut self, directive: &Directive) {
        self.add(directive.id, Verdict::Carried, "", "");
    }

    /// The same of the directive with this id.
    pub(super) fn carried_at(&mut self, id: usize) {
        self.add(id, Verdict::Carried, "", "");
    }

    /// It means the same, in a way that is worth a word.
    pub(super) fn carried_as(&mut self, directive: &Directive, note: &str) {
        self.add(directive.id, Verdict::Carried, note, "");
    }

    /// The same of a block and all within it.
    pub(super) fn carried_whole(&mut self, block: &Directive, note: &str) {
        self.carried_as(block, note);
        block.inner().iter().for_each(|one| self.carried_whole(one, ""));
    }

    /// It means something else in this respect.
    pub(super) fn differs(&mut self, directive: &Directive, note: &str) {
        self.add(directive.id, Verdict::Difference, note, "");
    }

    /// The same of the directive with this number.
    pub(super) fn differs_at(&mut self, id: usize, note: &str) {
        self.add(id, Verdict::Difference, note, "");
    }

    /// It, or this of it, is not in the imported file.
    pub(super) fn missing(&mut self, directive: &Directive, why: &str, instead: &str) {
        self.add(directive.id, Verdict::NotCarried, why, instead);
    }

    /// The same of the directive with this number.
    pub(super) fn missing_at(&mut self, id: usize, why: &str, instead: &str) {
        self.add(id, Verdict::NotCarried, why, instead);
    }

    /// A block and all within it are not in the imported file.
    pub(super) fn missing_whole(&mut self, block: &Directive, why: &str, instead: &str) {
        self.missing(block, why, instead);
        self.silence(block.inner(), why);
    }

    fn silence(&mut self, directives: &[Directive], why: &str) {
        for one in directives {
            self.add(one.id, Verdict::NotCarried, why, "");
            if let Some(Some(finding)) = self.all.get_mut(one.id) {
                finding.quiet = true;
            }
            self.silence(one.inner(), why);
        }
    }

    /// A trap: it works in nginx, perhaps otherwise than was meant.
    pub(super) fn lint(&mut self, at: Place, what: &str, help: &str) {
        if !self.lints.iter().any(|(place, message, _)| *place == at && message == what) {
            self.lints.push((at, what.to_owned(), help.to_owned()));
        }
    }

    /// The traps.
    pub(super) fn lints(&self) -> &[(Place, String, String)] {
        &self.lints
    }
}
