//! The audit log: a line of JSON for each request that would change something, whether it was done or
//! denied.
//!
//! Who is denied need not be known, and may come as often as he likes. Of those with one name and one reason
//! the first is written at once, and how many more there were in the minute after it is one more line: there
//! are as many names as the configuration has, and a few.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::{Query, Request, State as Extract, rejection::QueryRejection};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::error;

use super::access::Who;
use super::endpoints::told;
use super::problem::Problem;
use super::serve::Shown;
use super::state::Shared;
use crate::config::model::AdminRole;
use crate::telemetry::{at_utc, moment, tail};

/// Bytes of the end of the log that are looked through.
const END: u64 = 8 << 20;
/// Entries that are told, unless asked for otherwise, and at most.
const LIMIT: (usize, usize) = (100, 1000);
/// For so long those that are denied in the same way are counted only.
const QUIET: Duration = Duration::from_mins(1);

/// Who was denied what a while ago, and how often since.
#[derive(Debug, Default)]
pub(super) struct Denied(Mutex<BTreeMap<Key, u64>>);

/// A name, if it is known, and the word for why.
type Key = (Option<String>, &'static str);

impl Denied {
    /// Counts one more. Whether it is the first.
    fn begin(&self, key: &Key) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(more) = all.get_mut(key) else { return all.insert(key.clone(), 0).is_none() };
        *more += 1;
        false
    }

    /// How many came after the first. The next one is a first one again.
    fn end(&self, key: &Key) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(key).unwrap_or(0)
    }
}

/// Writes down that a request is denied, if it is for who asks.
pub(super) fn denied(shared: &Shared, request: &Request, shown: &Shown, problem: &Problem) {
    let Some(path) = shared.access.audit_log.clone() else { return };
    if !matches!(problem.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return;
    }
    let who = shared.access.who(request.headers(), shown).ok();
    let role = who.as_ref().and_then(|Who { role, .. }| *role).map(AdminRole::name);
    let key = (who.map(|who| who.name), problem.code);
    if !shared.denied.begin(&key) {
        return;
    }
    let (status, peer) = (problem.status.as_u16(), shown.peer);
    let line = json!({
        "at": at_utc(SystemTime::now()),
        "actor": key.0,
        "role": role,
        "peer": peer,
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "status": status,
        "code": key.1,
    });
    let denied = Arc::clone(&shared.denied);
    tokio::spawn(async move {
        append(&path, &line).await;
        sleep(QUIET).await;
        let more = denied.end(&key);
        if more > 0 {
            let line = json!({
                "at": at_utc(SystemTime::now()),
                "actor": key.0,
                "role": role,
                "status": status,
                "code": key.1,
                "more": more,
            });
            append(&path, &line).await;
        }
    });
}

/// Appends a line. The file is opened anew for each, so that it can be moved away.
pub(super) async fn append(path: &Path, line: &Value) {
    let (target, line) = (path.to_owned(), format!("{line}\n"));
    let written = tokio::task::spawn_blocking(move || {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(target)?;
        file.write_all(line.as_bytes())
    });
    let failed = match written.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    error!(path = %path.display(), error = failed, "the audit log cannot be written");
}

/// Which entries are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Those after this moment (RFC 3339).
    since: Option<String>,
    /// Those of who has this name.
    actor: Option<String>,
    /// So many at most.
    limit: Option<usize>,
}

/// `GET audit`: what the end of the log says, the latest first.
pub(super) async fn audit(
    Extract(state): Extract<Shared>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Response, Problem> {
    let bad = |told: String| Problem::bad_request("bad_query", told);
    let Query(wanted) = wanted.map_err(|error| bad(error.body_text()))?;
    let (usual, most) = LIMIT;
    let limit = wanted.limit.unwrap_or(usual);
    if limit == 0 || limit > most {
        return Err(bad(format!("limit is from 1 to {most}")));
    }
    let read = |text: &String| {
        let told = "since is a moment such as 2026-11-21T08:00:00Z";
        moment(text).ok_or_else(|| bad(told.to_owned()))
    };
    let since = wanted.since.as_ref().map(read).transpose()?;
    let Some(path) = state.access.audit_log.clone() else {
        let none = json!({ "file": null, "rotated": null, "entries": [] });
        return Ok(told(StatusCode::OK, &none));
    };
    let file = path.display().to_string();
    let texts = tokio::task::spawn_blocking(move || end(&path)).await;
    let (text, rotated) = texts.map_err(io::Error::other).flatten().map_err(|error| {
        let told = format!("{file} cannot be read: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unreadable", told)
    })?;
    let is_wanted = |entry: &Value| {
        let at = entry["at"].as_str().and_then(moment);
        since.is_none_or(|since| at.is_some_and(|at| at > since))
            && wanted.actor.as_deref().is_none_or(|actor| entry["actor"] == actor)
    };
    let (more, before) = rotated.unzip();
    let more = more.as_deref().unwrap_or_default();
    let latest_first = text.lines().rev().chain(more.lines().rev());
    let entries: Vec<_> = latest_first.filter_map(entry).filter(is_wanted).take(limit).collect();
    let rotated = before.map(|path| path.display().to_string());
    let told_of = json!({ "file": file, "rotated": rotated, "entries": entries });
    Ok(told(StatusCode::OK, &told_of))
}

/// The end of a file that a rotation has moved away, and its path.
type Rotated = (String, PathBuf);

/// The end of the file, and where that is short, of the one before.
fn end(path: &Path) -> io::Result<(String, Option<Rotated>)> {
    let text = match tail(path, END) {
        Ok(text) => text,
        // It was moved away, and nothing has happened since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let left = END.saturating_sub(text.len() as u64);
    let rotated = before(path).and_then(|path| Some((tail(&path, left).ok()?, path)));
    Ok((text, rotated))
}

/// The newest file that a rotation has moved away, such as `audit.log.1` or `audit.log-20261122`, and not
/// compressed.
fn before(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let is_one = |path: &PathBuf| {
        let rest = path.file_name().and_then(|of_it| of_it.to_str()?.strip_prefix(name));
        rest.is_some_and(|rest| {
            let number = rest.strip_prefix(['.', '-']);
            number.is_some_and(|number| number.bytes().all(|one| b"-0123456789".contains(&one)))
        })
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let paths = entries.flatten().map(|entry| entry.path()).filter(is_one);
    let of_it = paths.filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)));
    of_it.max().map(|(_, path)| path)
}

/// A line as it can be shown: what a configuration was to be may hold secrets.
fn entry(line: &str) -> Option<Value> {
    let mut entry: Value = serde_json::from_str(line).ok().filter(Value::is_object)?;
    if entry["path"].as_str().is_some_and(|path| path.contains("/config")) {
        entry["asked"] = Value::Null;
    }
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_and_reason_is_written_and_those_after_it_are_counted() {
        let denied = Denied::default();
        let key = |name: &str, why| (Some(name.to_owned()), why);
        let (ann, bob) = (key("ann", "role"), key("bob", "role"));
        assert!(denied.begin(&ann));
        for _ in 0..1000 {
            assert!(!denied.begin(&ann));
        }
        assert!(denied.begin(&bob) && denied.begin(&key("ann", "foreign_origin")));
        assert_eq!((denied.end(&ann), denied.end(&bob)), (1000, 0));
        assert!(denied.begin(&ann), "and so again");
    }

    #[test]
    fn the_file_that_was_moved_away_last_is_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let now = SystemTime::now();
        for (name, days) in
            [("audit.log.2", 2), ("audit.log.1", 1), ("audit.log.0.gz", 0), ("audit.logs", 0)]
        {
            std::fs::write(at(name), format!("{name}\n")).unwrap();
            let file = std::fs::File::options().write(true).open(at(name)).unwrap();
            file.set_modified(now - Duration::from_hours(24 * days)).unwrap();
        }
        let log = at("audit.log");
        let moved = ("audit.log.1\n".to_owned(), at("audit.log.1"));
        assert_eq!(end(&log).unwrap(), (String::new(), Some(moved.clone())));
        std::fs::write(&log, "new\n").unwrap();
        assert_eq!(end(&log).unwrap(), ("new\n".to_owned(), Some(moved)));
        assert_eq!(before(&at("none")), None);
        std::fs::write(at("audit.log-20261122"), "dated").unwrap();
        assert_eq!(before(&log), Some(at("audit.log-20261122")));
    }
}
