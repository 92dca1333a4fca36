//! Configurations that came into force, by their numbers: kept in memory, and in the folder of
//! `admin.state` where there is one, so that a restart forgets none.
//!
//! A configuration is its text. Loaded again without another text it is the same revision, though secrets
//! in other files may be new.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::iter::successors;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::error;

use crate::config::{Config, FileText, Loaded};
use crate::control::Origin;
use crate::control::keep::{Kept, failure_of, replace};
use crate::control::probation::Probation;
use crate::control::propose::Objection;
use crate::control::said::{By, unix_ms};

/// Bytes of text in them: of more the oldest go.
const LARGEST: usize = 16 << 20;

/// Revisions that stay whatever they take: the one in force, the one before it, and the one before that, for
/// the one in force may go back by itself.
const STAY: usize = 3;

/// The folder within that of `admin.state`, with a file for each revision.
const FOLDER: &str = "revisions";

/// The file within that of `admin.state` which says what is on probation.
const PROBATION: &str = "probation.json";

/// A configuration that came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number, from 1 on.
    pub number: u64,
    /// Since when, in milliseconds of Unix time.
    pub at: u64,
    /// How it came into force: `start`, `signal`, `api` and so on.
    pub origin: String,
    /// Who brought it: a token's name, `start`, `signal`, `file`, or `policy` where Plimsoll itself did.
    pub author: String,
    /// Why, in their words; may be empty.
    pub reason: String,
    /// The hash of its texts, as in logs and metrics.
    pub hash: String,
    /// What each file held, the main one first. It may hold secrets.
    #[serde(with = "texts")]
    pub files: Vec<FileText>,
}

impl Revision {
    /// What tells it from any other, such as `7-1f3a09bc`: its number, and the begin of its hash, for numbers
    /// begin anew with each process that keeps none.
    pub fn tag(&self) -> String {
        format!("{}-{}", self.number, self.hash.get(..8).unwrap_or(&self.hash))
    }

    fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.text.len()).sum()
    }

    fn has_texts_of(&self, files: &[FileText]) -> bool {
        self.files.iter().map(|file| &file.text).eq(files.iter().map(|file| &file.text))
    }
}

/// All that is known of configurations.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// The revisions, oldest first; the last one is in force.
    pub revisions: Vec<Arc<Revision>>,
    /// What is in force, as it was loaded, without what operators say beside it; `None`: nothing yet.
    pub config: Option<Arc<Config>>,
    /// What its load has read.
    pub watched: Arc<[PathBuf]>,
    /// Whether the one in force has to prove itself.
    pub probation: Option<Arc<Probation>>,
    /// Why that should go back and does not; `None`: nothing keeps it from that.
    pub not_reverted: Option<String>,
    /// The file that it comes from; `None`: from none.
    pub file: Option<PathBuf>,
    /// Whether it is kept over a restart.
    pub is_kept: bool,
    /// Revisions that are kept at most.
    most: usize,
    /// Numbers of revisions that cannot be read any more: they are none of the next one's.
    lost: BTreeSet<u64>,
}

/// The ledger, with the number of changes until then.
pub(super) type Now = (u64, Arc<Ledger>);

impl Ledger {
    /// As it was written down in a folder, if one is named. So many revisions are kept.
    pub(super) fn of(folder: Option<&Path>, most: usize, file: Option<PathBuf>) -> Self {
        let before = folder.map(read).unwrap_or_default();
        Self { file, most, ..before }
    }

    /// The one in force.
    pub fn running(&self) -> Option<&Arc<Revision>> {
        self.revisions.last()
    }

    /// The tag of the one in force; empty: nothing is yet.
    pub fn tag(&self) -> String {
        self.running().map_or_else(String::new, |one| one.tag())
    }

    /// Whether the revision of this tag is in force; `None`: whichever is.
    ///
    /// # Errors
    /// Another one is.
    pub fn is_at(&self, tag: Option<&str>) -> Result<(), Objection> {
        let running = self.tag();
        let other = tag.filter(|wanted| *wanted != running).map(str::to_owned);
        other.map_or(Ok(()), |wanted| Err(Objection::OtherRevision(wanted, running)))
    }

    /// The one of that number.
    pub fn revision(&self, number: u64) -> Option<&Arc<Revision>> {
        self.revisions.iter().find(|one| one.number == number)
    }

    /// The newest that was in force before what is now, and did not go back by itself.
    pub fn before(&self) -> Option<&Arc<Revision>> {
        self.before_that(self.running()?)
    }

    /// The newest that was in force before another one, and did not go back by itself.
    fn before_that(&self, that: &Arc<Revision>) -> Option<&Arc<Revision>> {
        let newest_first = self.revisions.iter().rev();
        let mut newest_first = newest_first.skip_while(|one| one.number > that.number);
        let mut after = newest_first.next()?;
        newest_first.find(|one| {
            let went_back = after.origin == Origin::Policy.name() && after.number == one.number + 1;
            after = one;
            // Where one went back, what is now was in force already.
            !went_back && !one.has_texts_of(&that.files)
        })
    }

    /// Takes up what came into force. Gives its number where it is a new revision.
    pub(super) fn take_up(&mut self, loaded: &Loaded, origin: Origin, by: &By) -> Option<u64> {
        self.config = Some(Arc::new(loaded.config.clone()));
        self.watched = loaded.watched.clone().into();
        if self.running().is_some_and(|one| one.has_texts_of(&loaded.texts)) {
            return None;
        }
        let lost = self.lost.last().copied().unwrap_or(0);
        let last = self.running().map_or(0, |last| last.number).max(lost);
        let number = last + 1;
        self.revisions.push(Arc::new(Revision {
            number,
            at: unix_ms(),
            origin: origin.name().to_owned(),
            author: by.actor.clone(),
            reason: by.reason.clone(),
            hash: format!("{:016x}", loaded.hash),
            files: loaded.texts.to_vec(),
        }));
        self.prune();
        Some(number)
    }

    /// Forgets the oldest where there are too many, but none that will be gone back to first.
    fn prune(&mut self) {
        let back = successors(self.running(), |that| self.before_that(that));
        let stay: Vec<_> = back.take(STAY.min(self.most)).map(|one| one.number).collect();
        let mut bytes: usize = self.revisions.iter().map(|one| one.bytes()).sum();
        while self.revisions.len() > self.most || bytes > LARGEST {
            let mut goes = self.revisions.iter();
            let Some(place) = goes.position(|one| !stay.contains(&one.number)) else { return };
            bytes -= self.revisions.remove(place).bytes();
        }
    }
}

/// What was written down in a folder. What cannot be read is told, and left out.
fn read(folder: &Path) -> Ledger {
    let told = |path: &Path, error: &dyn std::fmt::Display| {
        let path = path.display();
        error!(%path, %error, "a revision of the configuration is not known any more");
    };
    let (mut revisions, mut lost) = (Vec::new(), BTreeSet::new());
    for path in files(&folder.join(FOLDER)) {
        match fs::read(&path).and_then(|text| Ok(serde_json::from_slice::<Revision>(&text)?)) {
            Ok(revision) => revisions.push(Arc::new(revision)),
            Err(error) => {
                told(&path, &error);
                lost.extend(number_of(&path));
            }
        }
    }
    revisions.sort_by_key(|one| one.number);
    let path = folder.join(PROBATION);
    let probation = match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| told(&path, &error)).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            told(&path, &error);
            None
        }
    };
    let probation = probation.map(Arc::new);
    Ledger { revisions, probation, is_kept: true, lost, ..Ledger::default() }
}

/// The number of the revision that a file holds, by its name.
fn number_of(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "json")).collect()
}

/// Writes down each change, and tells how far it is, until nobody changes anything any more.
pub(super) async fn keep(
    folder: PathBuf,
    mut now: watch::Receiver<Now>,
    kept: watch::Sender<Kept>,
) {
    loop {
        let (number, ledger) = now.borrow_and_update().clone();
        let place = folder.clone();
        let failed = failure_of(move || write(&place, &ledger)).await;
        if let Some(error) = &failed {
            let folder = folder.display();
            error!(%folder, error, "a configuration is in force, but could not be written down");
        }
        kept.send_replace((number, failed));
        if now.changed().await.is_err() {
            return;
        }
    }
}

/// Has the folder hold what the ledger holds.
fn write(folder: &Path, ledger: &Ledger) -> io::Result<()> {
    let revisions = folder.join(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&revisions)?;
    let path = |one: &Arc<Revision>| revisions.join(format!("{}.json", one.number));
    let there: BTreeSet<_> = files(&revisions).into_iter().collect();
    for one in &ledger.revisions {
        if !there.contains(&path(one)) {
            replace(&path(one), &serde_json::to_vec(&**one)?)?;
        }
    }
    // Those that could not be read are not ours to take away, for as long as older ones are kept.
    let oldest = ledger.revisions.first().map_or(0, |one| one.number);
    let newest = ledger.running().map_or(0, |one| one.number);
    let is_gone = |number| {
        let kept = ledger.lost.contains(&number) || ledger.revision(number).is_some();
        number < oldest || (number < newest && !kept)
    };
    for gone in there.iter().filter(|path| number_of(path).is_some_and(is_gone)) {
        fs::remove_file(gone)?;
    }
    write_probation(folder, ledger.probation.as_deref())
}

/// Writes down what is on probation, or that nothing is.
pub(super) fn write_probation(folder: &Path, probation: Option<&Probation>) -> io::Result<()> {
    let path = folder.join(PROBATION);
    match probation {
        Some(probation) => replace(&path, &serde_json::to_vec(probation)?),
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

/// Files as pairs.
mod texts {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::config::FileText;

    pub(super) fn serialize<S: Serializer>(files: &[FileText], to: S) -> Result<S::Ok, S::Error> {
        let pairs: Vec<_> = files.iter().map(|file| (&file.path, &*file.text)).collect();
        pairs.serialize(to)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<FileText>, D::Error> {
        let pairs = Vec::<(PathBuf, String)>::deserialize(from)?;
        Ok(pairs.into_iter().map(|(path, text)| FileText { path, text: text.into() }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str) -> Loaded {
        crate::config::parse("plimsoll.toml", text, &|_| None).unwrap()
    }

    /// One whose text is all that may be kept.
    fn large(workers: usize) -> Loaded {
        let of_it = loaded(&text(workers));
        let long = " ".repeat(LARGEST) + &of_it.texts[0].text;
        let texts = [FileText { path: of_it.texts[0].path.clone(), text: long.into() }].into();
        Loaded { texts, ..of_it }
    }

    fn text(workers: usize) -> String {
        format!(
            "workers = {workers}\n[[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n\
             [[route]]\nname = \"all\"\nupstream = \"api\"\n\
             [[upstream.api.backend]]\naddress = \"127.0.0.1:1\"\n"
        )
    }

    fn by() -> By {
        By::now("ann".to_owned(), "why".to_owned(), None)
    }

    #[test]
    fn another_text_is_another_revision_and_the_oldest_go() {
        let mut ledger = Ledger { most: 50, ..Ledger::default() };
        assert_eq!(ledger.take_up(&loaded(&text(1)), Origin::Start, &by()), Some(1));
        assert_eq!(ledger.take_up(&loaded(&text(1)), Origin::Signal, &by()), None);
        for number in 2..=60 {
            let of_it = loaded(&text(number as usize));
            assert_eq!(ledger.take_up(&of_it, Origin::Api, &by()), Some(number));
        }
        assert_eq!(ledger.revisions.len(), 50);
        assert_eq!(ledger.revisions[0].number, 11);
        // Three that are larger than all may be together.
        for workers in 61..=64 {
            ledger.take_up(&large(workers), Origin::Api, &by());
        }
        assert_eq!(numbers(&ledger), [62, 63, 64]);
    }

    fn numbers(ledger: &Ledger) -> Vec<u64> {
        ledger.revisions.iter().map(|one| one.number).collect()
    }

    #[test]
    fn what_will_be_gone_back_to_stays_however_often_another_goes_back_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger { is_kept: true, most: 3, ..Ledger::default() };
        for good in [1, 2] {
            ledger.take_up(&loaded(&text(good)), Origin::Api, &by());
        }
        for bad in 3..10 {
            ledger.take_up(&loaded(&text(bad)), Origin::Api, &by());
            ledger.take_up(&loaded(&text(2)), Origin::Policy, &by());
            assert_eq!(ledger.before().map(|one| one.number), Some(1));
            assert_eq!(ledger.revisions.len(), 3);
            write(folder.path(), &ledger).unwrap();
        }
        assert_eq!(numbers(&ledger), [1, 15, 16]);
        assert_eq!(read(folder.path()).revisions, ledger.revisions);
        ledger.take_up(&large(11), Origin::Api, &by());
        assert_eq!(numbers(&ledger), [1, 16, 17], "whatever it takes");
    }

    #[test]
    fn before_stands_what_did_not_go_back_by_itself() {
        use Origin::{Api, Policy, Start};

        let mut ledger = Ledger { most: 50, ..Ledger::default() };
        let mut takes_up = |text_of, origin| {
            ledger.take_up(&loaded(&text(text_of)), origin, &by());
            ledger.before().map(|one| one.number)
        };
        assert_eq!(takes_up(1, Start), None);
        // The first one is reverted: nothing was before.
        assert_eq!(takes_up(9, Api), Some(1));
        assert_eq!(takes_up(1, Policy), None);
        // Another is tried, and reverted twice.
        assert_eq!(takes_up(2, Api), Some(3));
        for trial in 0..2 {
            assert_eq!(takes_up(9, Api), Some(4 + 2 * trial));
            assert_eq!(takes_up(2, Policy), Some(3));
        }
        // What somebody went back from by hand can be had again.
        assert_eq!(takes_up(1, Api), Some(8));
        assert_eq!(takes_up(2, Api), Some(9));
    }

    #[test]
    fn what_is_written_down_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger { is_kept: true, most: 50, ..Ledger::default() };
        for workers in 1..=3 {
            ledger.take_up(&loaded(&text(workers)), Origin::Api, &by());
            write(folder.path(), &ledger).unwrap();
        }
        assert_eq!(read(folder.path()).revisions, ledger.revisions);
        let mode = |path: &Path| {
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).unwrap().permissions())
        };
        assert_eq!(mode(&folder.path().join("revisions/3.json")) & 0o777, 0o600);
        assert_eq!(mode(&folder.path().join("revisions")) & 0o777, 0o700);
        fs::write(folder.path().join("revisions/2.json"), "{").unwrap();
        let read = read(folder.path());
        assert_eq!(read.revisions.iter().map(|one| one.number).collect::<Vec<_>>(), [1, 3]);
        // A number is never another's, and what is new is written down.
        fs::write(folder.path().join("revisions/3.json"), "{").unwrap();
        let mut later = Ledger::of(Some(folder.path()), 50, None);
        assert_eq!(later.take_up(&loaded(&text(4)), Origin::Start, &by()), Some(4));
        write(folder.path(), &later).unwrap();
        assert_eq!(super::read(folder.path()).running().unwrap().number, 4);
        ledger.revisions.remove(0);
        write(folder.path(), &ledger).unwrap();
        assert!(!folder.path().join("revisions/1.json").exists());
    }
}
