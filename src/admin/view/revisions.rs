//! `/api/v1/ha/config` and below: configurations that came into force.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use similar::TextDiff;

use crate::config;
use crate::control::{Ledger, Probation, Revision};
use crate::effect::Change;
use crate::telemetry::at_utc;

/// `/api/v1/ha/config/revisions`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct RevisionList<'a> {
    /// The number of the one in force; `null`: none yet.
    running: Option<u64>,
    /// Whether they are known after a restart too.
    kept: bool,
    /// What the one in force has to prove; `null`: nothing.
    pub(in crate::admin) probation: Option<ProbationView<'a>>,
    /// The latest first.
    revisions: Vec<RevisionHead<'a>>,
}

#[derive(Debug, Serialize)]
struct RevisionHead<'a> {
    revision: u64,
    at: String,
    origin: &'a str,
    author: &'a str,
    reason: &'a str,
    hash: &'a str,
}

/// What a configuration has to prove.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct ProbationView<'a> {
    revision: u64,
    /// The revision that it goes back to.
    back_to: u64,
    /// `null`: it need not be confirmed.
    confirm_until: Option<String>,
    /// `null`: it is not watched.
    guard_until: Option<String>,
    /// Why it should have gone back and cannot; `null`: nothing keeps it from that.
    not_reverted: Option<&'a str>,
    author: &'a str,
}

/// A revision with its texts.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct RevisionView<'a> {
    #[serde(flatten)]
    head: RevisionHead<'a>,
    /// Of the one in force, what it has to prove; `null`: nothing.
    probation: Option<ProbationView<'a>>,
    /// The main file first.
    files: Vec<FileView>,
}

#[derive(Debug, Serialize)]
struct FileView {
    path: String,
    /// Its text, without comments, secrets masked.
    text: String,
}

/// What differs between two revisions.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Difference {
    from: u64,
    to: u64,
    /// By meaning, as a plan tells it; `null`: that cannot be told.
    changes: Option<Vec<Change>>,
    /// Why not.
    not_compared: Option<String>,
    /// As `diff -u` shows it, secrets masked; empty: nothing, or secrets only.
    diff: String,
}

/// A text without its secrets.
fn shown(text: &str) -> String {
    config::masked(text).unwrap_or_else(|why| format!("# {why}\n"))
}

/// A moment in milliseconds of Unix time.
fn at(ms: u64) -> String {
    at_utc(UNIX_EPOCH + Duration::from_millis(ms))
}

impl<'a> RevisionList<'a> {
    pub(in crate::admin) fn of(ledger: &'a Ledger) -> Self {
        Self {
            running: ledger.running().map(|one| one.number),
            kept: ledger.is_kept,
            probation: ProbationView::of(ledger),
            revisions: ledger.revisions.iter().rev().map(|one| RevisionHead::of(one)).collect(),
        }
    }
}

impl<'a> RevisionHead<'a> {
    fn of(one: &'a Revision) -> Self {
        let Revision { number, at: since, origin, author, reason, hash, .. } = one;
        Self { revision: *number, at: at(*since), origin, author, reason, hash }
    }
}

impl<'a> ProbationView<'a> {
    pub(super) fn of(ledger: &'a Ledger) -> Option<Self> {
        let probation: &Probation = ledger.probation.as_deref()?;
        Some(Self {
            revision: probation.revision,
            back_to: probation.back_to,
            confirm_until: probation.confirm_until.map(at),
            guard_until: probation.guard_until.map(at),
            not_reverted: ledger.not_reverted.as_deref(),
            author: &probation.by.actor,
        })
    }
}

impl<'a> RevisionView<'a> {
    pub(in crate::admin) fn of(ledger: &'a Ledger, one: &'a Revision) -> Self {
        let probation = ProbationView::of(ledger).filter(|of_it| of_it.revision == one.number);
        let files = one.files.iter().map(|file| FileView {
            path: file.path.display().to_string(),
            text: shown(&file.text),
        });
        Self { head: RevisionHead::of(one), probation, files: files.collect() }
    }
}

impl Difference {
    pub(in crate::admin) fn of(
        one: &Revision,
        two: &Revision,
        changes: Result<Vec<Change>, String>,
    ) -> Self {
        let (changes, not_compared) = match changes {
            Ok(changes) => (Some(changes), None),
            Err(why) => (None, Some(why)),
        };
        let mut seen = BTreeSet::new();
        let paths = one.files.iter().chain(&two.files).map(|file| &file.path);
        let paths = paths.filter(|path| seen.insert(*path));
        let text = |of: &Revision, path: &PathBuf| {
            let file = of.files.iter().find(|file| file.path == *path);
            file.map(|file| shown(&file.text)).unwrap_or_default()
        };
        let mut diff = String::new();
        for path in paths {
            let (old, new) = (text(one, path), text(two, path));
            if old != new {
                let name = |number| format!("{} (revision {number})", path.display());
                let lines = TextDiff::from_lines(&old, &new);
                let mut lines = lines.unified_diff();
                let shown = lines.context_radius(3).header(&name(one.number), &name(two.number));
                diff.push_str(&shown.to_string());
            }
        }
        Self { from: one.number, to: two.number, changes, not_compared, diff }
    }
}
