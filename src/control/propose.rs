//! Configurations that an operator proposes: a text, or a revision of before.
//!
//! The loop says at once what speaks against one (`accept`); reading, checking and writing beside the file
//! is done beside the loop ([`draft()`]); then it goes the way of a reload. The file is replaced last, so a
//! configuration that is refused has changed nothing.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, FileText, Loaded};
use crate::control::ledger::{self, Revision};
use crate::control::probation::Probation;
use crate::control::replace::Replacement;
use crate::control::said::{By, unix_ms};
use crate::control::writer::Control;
use crate::control::{Origin, ReloadError};

/// What an operator wants in force.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// What.
    pub what: Proposed,
    /// Who says so, and why.
    pub by: By,
    /// The tag of the revision that has to be in force for that; `None`: whichever is.
    pub based_on: Option<String>,
    /// Whether changes of the file that were never in force may be lost.
    pub overwrite: bool,
    /// It goes back unless it is confirmed within this time.
    pub confirm: Option<Duration>,
    /// It goes back if it does harm within this time.
    pub guard: Option<Duration>,
    /// Only to be told whether it would be done.
    pub dry_run: bool,
}

/// What can be proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// Another text of the main file.
    Text(Arc<str>),
    /// The revision of this number; `None`: the one before that did not go back by itself.
    Revision(Option<u64>),
    /// What a backup holds of a revision: with the number that it had then.
    Restored(Arc<Revision>),
    /// The revision of this number, by itself: it is done though files have changed since.
    Back(u64),
}

/// Why a proposal is not taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objection {
    /// Another revision is in force than the one it is based on: the tags of that one, and of the other.
    OtherRevision(String, String),
    /// A revision that is in force has not proved itself yet.
    OnProbation(u64),
    /// Nothing waits to be confirmed.
    NothingToConfirm,
    /// There is no revision of that number any more.
    NoRevision(u64),
    /// There is no revision before the one in force, but for such as went back by themselves.
    NoneBefore,
    /// These files hold what was never in force.
    FileChanged(Vec<PathBuf>),
    /// These included files do not hold what they held then, or are there now and were not then.
    Included(u64, Vec<PathBuf>),
}

impl Objection {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherRevision(..) => "other_revision",
            Self::OnProbation(_) => "on_probation",
            Self::NothingToConfirm => "nothing_to_confirm",
            Self::NoRevision(_) => "no_revision",
            Self::NoneBefore => "none_before",
            Self::FileChanged(_) => "file_changed",
            Self::Included(..) => "included_changed",
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |paths: &[PathBuf]| {
            let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            names.join(", ")
        };
        match self {
            Self::OtherRevision(wanted, running) => write!(
                f,
                "revision {running} is in force, not {wanted}: look at what has changed, then \
                 propose it again"
            ),
            Self::OnProbation(number) => write!(
                f,
                "revision {number} has not proved itself yet: confirm it, or roll it back"
            ),
            Self::NothingToConfirm => f.write_str("no configuration waits to be confirmed"),
            Self::NoRevision(number) => {
                write!(f, "there is no revision {number}, or not any more")
            }
            Self::NoneBefore => f.write_str(
                "there is no revision to go back to: none was before, or only such as went back by \
                 themselves",
            ),
            Self::FileChanged(paths) => write!(
                f,
                "{} was changed and not loaded since: reload to take that up, or overwrite it",
                names(paths)
            ),
            Self::Included(number, paths) => write!(
                f,
                "{} is not as it was in revision {number}, and only the main file is written from here: \
                 put it back, or take it away if it was not there, then reload",
                names(paths)
            ),
        }
    }
}

/// A proposal against which nothing speaks, with what is needed to prepare it.
#[derive(Debug)]
pub(super) struct Draft {
    file: PathBuf,
    /// What its files hold then; of a text only the main one.
    given: Vec<FileText>,
    /// What the files hold at present if nobody changed them; empty: whatever they hold may be lost.
    expected: Arc<[FileText]>,
    /// The revision whose included files have to be what they were; `None`: they are what they are.
    included_as_of: Option<u64>,
    /// What is written down before the file is replaced, and where.
    probation: Option<Probation>,
    folder: Option<PathBuf>,
    /// It goes back by itself: it does even if the file cannot be replaced.
    is_back: bool,
    dry_run: bool,
}

/// What comes with a configuration that was proposed.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// The file's new text; `None`: it holds it already.
    pub(super) replacement: Option<Replacement>,
    /// Why the file holds something else.
    pub(super) left: Option<String>,
    /// How it has to prove itself.
    pub(super) probation: Option<Probation>,
    /// Whether the files hold all of it by then.
    pub(super) on_disk: bool,
    pub(super) dry_run: bool,
}

impl Control {
    /// Whether a proposal can be taken up.
    pub(super) fn accept(&mut self, proposal: &mut Proposal) -> Result<Draft, ReloadError> {
        let object = |objection| Err(ReloadError::Objected(objection));
        let file = self.file.clone().ok_or(ReloadError::NoFile)?;
        let running = self.ledger.running().map_or(0, |one| one.number);
        self.ledger.is_at(proposal.based_on.as_deref()).map_err(ReloadError::Objected)?;
        let wants_proof = proposal.confirm.is_some() || proposal.guard.is_some();
        let needs_proved = match &proposal.what {
            Proposed::Text(_) | Proposed::Restored(_) => true,
            // It would go back to what has not proved itself.
            Proposed::Revision(_) => wants_proof,
            Proposed::Back(_) => false,
        };
        if needs_proved && self.ledger.probation.is_some() {
            return object(Objection::OnProbation(running));
        }
        let revision = match &proposal.what {
            Proposed::Text(_) => Ok(None),
            Proposed::Restored(revision) => Ok(Some(revision)),
            Proposed::Revision(None) => self.ledger.before().ok_or(Objection::NoneBefore).map(Some),
            Proposed::Back(number) | Proposed::Revision(Some(number)) => {
                let found = self.ledger.revision(*number);
                found.ok_or(Objection::NoRevision(*number)).map(Some)
            }
        };
        let revision = revision.map_err(ReloadError::Objected)?.cloned();
        let given = match (&revision, &proposal.what) {
            (Some(revision), _) => {
                let is_restored = matches!(proposal.what, Proposed::Restored(_));
                let from = if is_restored { "restored from a backup of" } else { "back to" };
                let back = format!("{from} revision {}", revision.number);
                let why = &mut proposal.by.reason;
                *why = if why.is_empty() { back } else { format!("{back}: {why}") };
                let mut files = revision.files.clone();
                if let Some(main) = files.first_mut() {
                    main.path.clone_from(&file);
                }
                files
            }
            (None, Proposed::Text(text)) => {
                vec![FileText { path: file.clone(), text: Arc::clone(text) }]
            }
            (None, _) => Vec::new(),
        };
        // What goes back by itself goes back to what it was, whatever the files hold now.
        let included_as_of =
            revision.filter(|_| !proposal.is_back()).map(|revision| revision.number);
        let expected = if proposal.overwrite { Arc::default() } else { self.loaded.texts.clone() };
        let before = proposal.guard.map(|_| self.figures_before().into());
        let probation = wants_proof.then(|| {
            let until = |lasts: Duration| unix_ms().saturating_add(lasts.as_millis() as u64);
            Probation {
                revision: running + 1,
                hash: String::new(),
                back_to: running,
                confirm_until: proposal.confirm.map(until),
                guard_until: proposal.guard.map(until),
                by: proposal.by.clone(),
                before,
            }
        });
        let (folder, is_back, dry_run) =
            (self.folder.clone(), proposal.is_back(), proposal.dry_run);
        Ok(Draft { file, given, expected, included_as_of, probation, folder, is_back, dry_run })
    }
}

impl Proposal {
    /// What goes back by itself.
    pub(super) fn back(to: u64, from: String, why: String) -> Self {
        Self {
            what: Proposed::Back(to),
            by: By::now("policy".to_owned(), why, None),
            based_on: Some(from),
            overwrite: true,
            confirm: None,
            guard: None,
            dry_run: false,
        }
    }

    fn is_back(&self) -> bool {
        matches!(self.what, Proposed::Back(_))
    }

    /// Where the change comes from.
    pub(super) fn origin(&self) -> Origin {
        if self.is_back() { Origin::Policy } else { Origin::Api }
    }
}

/// Checks a draft, and writes what is to be written beforehand. It waits for disks.
pub(super) fn draft(draft: Draft) -> Result<(Loaded, Accepted), ReloadError> {
    let object = |objection| Err(ReloadError::Objected(objection));
    let differ = |texts: &[FileText]| -> Vec<PathBuf> {
        // A backup may name anything: what is no file, or another one by its length, is not read.
        let may_be = |one: &FileText| {
            let of_it = fs::metadata(&one.path);
            of_it.is_ok_and(|of_it| of_it.is_file() && of_it.len() == one.text.len() as u64)
        };
        let differs = |one: &&FileText| {
            !may_be(one) || fs::read(&one.path).map_or(true, |bytes| bytes != one.text.as_bytes())
        };
        texts.iter().filter(differs).map(|one| one.path.clone()).collect()
    };
    let changed = differ(&draft.expected);
    if !changed.is_empty() {
        return object(Objection::FileChanged(changed));
    }
    let environment = &config::process_environment;
    let loaded = if draft.is_back {
        config::load_only(&draft.given, environment)
    } else {
        config::load_with(&draft.file, &draft.given, environment)
    };
    let loaded = loaded.map_err(ReloadError::Invalid)?;
    if let Some(number) = draft.included_as_of {
        let was_there = |one: &FileText| draft.given.iter().any(|file| file.path == one.path);
        let new = loaded.texts.iter().filter(|one| !was_there(one)).map(|one| one.path.clone());
        let mut changed = differ(draft.given.get(1..).unwrap_or_default());
        changed.extend(new);
        if !changed.is_empty() {
            return object(Objection::Included(number, changed));
        }
    }
    let Some(main) = draft.given.first().filter(|_| !draft.dry_run) else {
        return Ok((loaded, Accepted { dry_run: draft.dry_run, ..Accepted::default() }));
    };
    let holds_it = differ(std::slice::from_ref(main)).is_empty();
    let replacement = (!holds_it).then(|| Replacement::write(&draft.file, &main.text));
    let (replacement, left) = match replacement.transpose() {
        Ok(replacement) => (replacement, None),
        Err(error) => {
            let told = format!("{} cannot be replaced: {error}", draft.file.display());
            if !draft.is_back {
                return Err(ReloadError::Unavailable(format!(
                    "{told}; let this process write to its folder, or change the file by other means and \
                     reload"
                )));
            }
            // Better to serve well than to hold what the file holds.
            (None, Some(told))
        }
    };
    let probation = draft
        .probation
        .map(|probation| Probation { hash: format!("{:016x}", loaded.hash), ..probation });
    if let (Some(folder), Some(probation)) = (&draft.folder, &probation) {
        // Before the file: a process that ends in between goes back all the same.
        ledger::write_probation(folder, Some(probation))
            .map_err(|error| ReloadError::Unavailable(format!("{}: {error}", folder.display())))?;
    }
    // What goes back takes its included files as they were, whatever they hold now.
    let on_disk = !draft.is_back
        || left.is_none()
            && config::load_with(&draft.file, std::slice::from_ref(main), environment)
                .is_ok_and(|now| now.texts == loaded.texts);
    Ok((loaded, Accepted { replacement, left, probation, on_disk, dry_run: false }))
}
