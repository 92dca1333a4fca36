//! Backups: the configuration in force, the revisions that are kept, and what operators say beside it, in one
//! archive (`tar.gz`); and the configuration of an archive put in force again, as a new revision.
//!
//! A manifest has the SHA-256 of each file in it. What an archive says beside the configuration is there to
//! be read: words of operators held for the hour they were said in, and history is never written over.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Query, State as Extract, rejection::QueryRejection};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::access::Who;
use super::asked::reason;
use super::based::{Based, etag};
use super::configure::{flag, lasts, planned, proposed, told_of};
use super::problem::Problem;
use super::recorded::content_type;
use super::state::Shared;
use crate::control::{By, Proposal, Proposed, ReloadError, Revision, Said};
use crate::telemetry::at_utc;

/// What an archive is called by.
pub(super) const TYPE: &str = "application/gzip";
/// What whoever does not know better calls a file.
const ANY: &str = "application/octet-stream";
/// The folder that all of it is in.
const FOLDER: &str = "plimsoll-backup/";
/// The file that tells of the others.
const MANIFEST: &str = "manifest.json";
/// How archives are made at present.
const FORMAT: u64 = 1;
/// Bytes of an archive at most when it is unpacked: twice what can be kept, with room for how JSON has it.
const LARGEST: u64 = 128 << 20;

/// What is in an archive.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    format: u64,
    /// Which program has made it.
    version: String,
    at: String,
    /// The revision that was in force.
    revision: u64,
    /// The SHA-256 of each other file, in hexadecimal.
    sha256: BTreeMap<String, String>,
}

/// Files by their names.
type Files = BTreeMap<String, Vec<u8>>;

/// `GET config/backup`.
pub(super) async fn backup(Extract(state): Extract<Shared>) -> Result<Response, Problem> {
    let (ledger, said) = (state.control.ledger(), state.control.said());
    let running = Arc::clone(ledger.running().ok_or(ReloadError::Ended)?);
    let (revision, tag) = (running.number, running.tag());
    let packed = tokio::task::spawn_blocking(move || {
        let files = contents(&running, &ledger.revisions, &said)?;
        pack(revision, files)
    });
    let packed = packed.await.map_err(io::Error::other).flatten();
    let packed = packed.map_err(|error| {
        let told = format!("it cannot be packed: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_packed", told)
    })?;
    let name = format!("attachment; filename=\"plimsoll-backup-{revision}.tar.gz\"");
    let told = [(header::CONTENT_TYPE, TYPE.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((etag(&tag), told, packed).into_response())
}

/// What goes into an archive.
fn contents(running: &Revision, all: &[Arc<Revision>], said: &Said) -> io::Result<Files> {
    let mut files = Files::new();
    for (place, file) in running.files.iter().enumerate() {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        files.insert(format!("config/{place}-{name}"), file.text.as_bytes().to_vec());
    }
    for one in all {
        files.insert(revision_file(one.number), serde_json::to_vec_pretty(&**one)?);
    }
    files.insert("overrides.json".to_owned(), serde_json::to_vec_pretty(said)?);
    Ok(files)
}

fn revision_file(number: u64) -> String {
    format!("revisions/{number}.json")
}

fn sha256(bytes: &[u8]) -> String {
    let hash = digest(&SHA256, bytes);
    hash.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn pack(revision: u64, mut files: Files) -> io::Result<Vec<u8>> {
    let manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        at: at_utc(SystemTime::now()),
        revision,
        sha256: files.iter().map(|(name, bytes)| (name.clone(), sha256(bytes))).collect(),
    };
    files.insert(MANIFEST.to_owned(), serde_json::to_vec_pretty(&manifest)?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        archive.append_data(&mut header, format!("{FOLDER}{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()
}

/// The files of an archive, which holds so many bytes at most.
fn unpack(packed: &[u8], most: u64) -> Result<Files, String> {
    let broken = |error: io::Error| format!("it is no whole archive (tar.gz): {error}");
    let mut archive = tar::Archive::new(GzDecoder::new(packed).take(most));
    let mut files = Files::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.display().to_string();
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let name = path.strip_prefix(FOLDER).filter(|_| entry.header().entry_type().is_file());
        let name = name.ok_or_else(|| format!("{path} does not belong into a backup"))?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if files.insert(name.to_owned(), bytes).is_some() {
            return Err(format!("{name} is in it twice"));
        }
    }
    Ok(files)
}

/// The revision of an archive that is wanted, or the one that was in force; or why there is none.
fn find(packed: &[u8], wanted: Option<u64>) -> Result<Revision, String> {
    let mut files = unpack(packed, LARGEST)?;
    let manifest = files.remove(MANIFEST).ok_or(format!("it has no {MANIFEST}"))?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).map_err(|error| format!("{MANIFEST}: {error}"))?;
    if manifest.format != FORMAT {
        return Err(format!("its format is {}, and only {FORMAT} is known", manifest.format));
    }
    for (name, hash) in &manifest.sha256 {
        let bytes = files.get(name).ok_or_else(|| format!("{name} is missing in it"))?;
        if sha256(bytes) != *hash {
            return Err(format!("{name} has another SHA-256 than {MANIFEST} says"));
        }
    }
    if let Some(other) = files.keys().find(|name| !manifest.sha256.contains_key(*name)) {
        return Err(format!("{MANIFEST} does not know {other}"));
    }
    let number = wanted.unwrap_or(manifest.revision);
    let name = revision_file(number);
    let text = files.get(&name).ok_or_else(|| format!("it holds no revision {number}"))?;
    let revision: Revision =
        serde_json::from_slice(text).map_err(|error| format!("{name}: {error}"))?;
    if revision.files.is_empty() { Err(format!("{name} holds no text")) } else { Ok(revision) }
}

/// What can be said in the query of a restore.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restore {
    /// A revision of the archive; none is the one that was in force.
    revision: Option<u64>,
    /// `1`: only what would be done is told.
    dry_run: Option<String>,
    /// It goes back unless it is confirmed within so many seconds.
    confirm_seconds: Option<u64>,
    /// It goes back if it does harm within so many seconds.
    guard_seconds: Option<u64>,
    #[serde(default)]
    reason: String,
    /// `1`: changes of the file that were never in force may be lost.
    overwrite: Option<String>,
}

/// `POST config/restore`.
pub(super) async fn restore(
    Extract(mut state): Extract<Shared>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    restore: Result<Query<Restore>, QueryRejection>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Query(restore) =
        restore.map_err(|error| Problem::bad_request("bad_query", error.body_text()))?;
    if !matches!(content_type(&headers), Some(TYPE | ANY)) {
        let told = "the body is a backup as GET config/backup gives it: application/gzip";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", told));
    }
    let based_on = Based::of(&headers)?;
    if based_on == Based::Unsaid {
        let told = "say in place of which revision: `If-Match` with the ETag of GET config; \
                    `If-Match: *` is whichever is in force";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match_needed", told));
    }
    let dry_run = flag("dry_run", restore.dry_run.as_deref())?;
    let by = By::now(who.name.clone(), reason(restore.reason)?, None);
    let overwrite = flag("overwrite", restore.overwrite.as_deref())?;
    let confirm = lasts("confirm_seconds", restore.confirm_seconds)?;
    let guard = lasts("guard_seconds", restore.guard_seconds)?;
    let found = tokio::task::spawn_blocking(move || find(&body, restore.revision)).await;
    let bad = |told| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad_backup", told);
    let revision = found.map_err(|_| ReloadError::Ended)?.map_err(bad)?;
    let text = revision.files.first().map(|main| Arc::clone(&main.text)).unwrap_or_default();
    let what = Proposed::Restored(Arc::new(revision));
    let based_on = based_on.tag();
    let proposal = Proposal { what, by, based_on, overwrite, confirm, guard, dry_run };
    if !dry_run {
        return proposed(&state, proposal).await;
    }
    state.control.propose(proposal).await?;
    let mut planned = planned(&mut state, &who, text).await?;
    planned["dry_run"] = true.into();
    Ok(told_of(&state, &planned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FileText;

    fn revision(number: u64) -> Revision {
        let file = |path: &str| FileText { path: path.into(), text: format!("# {number}").into() };
        Revision {
            number,
            at: 0,
            origin: "api".to_owned(),
            author: "ann".to_owned(),
            reason: String::new(),
            hash: String::new(),
            files: vec![file("/etc/plimsoll.toml"), file("/etc/conf.d/plimsoll.toml")],
        }
    }

    fn files() -> Files {
        let all = [Arc::new(revision(6)), Arc::new(revision(7))];
        contents(&revision(7), &all, &Said::default()).unwrap()
    }

    #[test]
    fn what_is_packed_is_found_again() {
        let packed = pack(7, files()).unwrap();
        assert_eq!(find(&packed, None), Ok(revision(7)));
        assert_eq!(find(&packed, Some(6)), Ok(revision(6)));
        assert_eq!(find(&packed, Some(8)), Err("it holds no revision 8".to_owned()));
        let names: Vec<_> = unpack(&packed, LARGEST).unwrap().into_keys().collect();
        assert_eq!(
            names,
            [
                "config/0-plimsoll.toml",
                "config/1-plimsoll.toml",
                "manifest.json",
                "overrides.json",
                "revisions/6.json",
                "revisions/7.json"
            ]
        );
    }

    #[test]
    fn an_archive_that_is_not_whole_or_not_what_it_was_is_refused() {
        let packed = pack(7, files()).unwrap();
        for end in [0, 10, packed.len() / 2] {
            assert!(find(&packed[..end], None).is_err(), "{end}");
        }
        assert!(unpack(&packed, 1000).is_err(), "it holds more than it may");
        // Another text under the manifest of before, and a file that it does not know.
        let changed = |change: &dyn Fn(&mut Files)| {
            let mut files = unpack(&packed, LARGEST).unwrap();
            change(&mut files);
            let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
            for (name, bytes) in files {
                let mut header = tar::Header::new_gnu();
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, format!("{FOLDER}{name}"), &*bytes).unwrap();
            }
            find(&archive.into_inner().unwrap().finish().unwrap(), None).map(|_| ())
        };
        assert_eq!(changed(&|_| {}), Ok(()));
        for (name, told) in [
            ("revisions/6.json", "revisions/6.json has another SHA-256"),
            ("revisions/8.json", "manifest.json does not know revisions/8.json"),
            ("manifest.json", "manifest.json: "),
        ] {
            let told_of = changed(&|files| {
                files.insert(name.to_owned(), b"{}".to_vec());
            });
            assert!(told_of.as_ref().is_err_and(|error| error.starts_with(told)), "{told_of:?}");
        }
        let told = changed(&|files| {
            files.remove("overrides.json");
        });
        assert_eq!(told, Err("overrides.json is missing in it".to_owned()));
    }
}
