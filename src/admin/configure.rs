//! Configurations: checked, compared with the one in force, put in force, confirmed, rolled back; and those
//! that were in force before.
//!
//! What is put in force goes to the control loop as a proposal and takes the way of a reload. Texts are
//! shown with their secrets masked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State as Extract, rejection::QueryRejection};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Who;
use super::asked::{Asked, reason, whole};
use super::based::{Based, etag};
use super::endpoints::told;
use super::problem::Problem;
use super::recorded::content_type;
use super::state::Shared;
use super::view::{Difference, RevisionList, RevisionView};
use crate::config::model::AdminRole;
use crate::config::{Loaded, MASK, holds_mask};
use crate::control::{By, Ledger, Objection, Proposal, Proposed, ReloadError, Revision};
use crate::effect::{Change, effect};
use crate::snapshot::Snapshot;

/// Longest time that a configuration is on probation, in seconds: a day.
const LONGEST: u64 = 86_400;

/// What can be said in the query of an update.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    /// `1`: only what would be done is told.
    dry_run: Option<String>,
    /// It goes back unless it is confirmed within so many seconds.
    confirm_seconds: Option<u64>,
    /// It goes back if it does harm within so many seconds.
    guard_seconds: Option<u64>,
    /// The hash that its plan told.
    expect: Option<String>,
    #[serde(default)]
    reason: String,
    /// `1`: changes of the file that were never in force may be lost.
    overwrite: Option<String>,
}

/// The body of a rollback.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    /// The revision; none is the one before that did not go back by itself.
    #[serde(default, deserialize_with = "whole")]
    to: Option<u64>,
    /// It goes back unless it is confirmed within so many seconds.
    #[serde(default, deserialize_with = "whole")]
    confirm_seconds: Option<u64>,
    /// It goes back if it does harm within so many seconds.
    #[serde(default, deserialize_with = "whole")]
    guard_seconds: Option<u64>,
    #[serde(default)]
    reason: String,
    /// Changes of the file that were never in force may be lost.
    #[serde(default)]
    overwrite: bool,
}

/// The body of a confirmation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    #[serde(default)]
    reason: String,
}

/// What can be said in the query of a comparison.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Against {
    /// The revision that it is compared with; none is the one in force.
    to: Option<u64>,
}

/// `POST config/validate`.
pub(super) async fn validate(
    Extract(state): Extract<Shared>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let loaded = checked(&state, &who, text(&headers, &body)?).await?;
    let body = json!({
        "valid": true,
        "hash": format!("{:016x}", loaded.hash),
        "warnings": warnings(&loaded),
    });
    Ok(told(StatusCode::OK, &body))
}

/// `POST config/plan`.
pub(super) async fn plan(
    Extract(mut state): Extract<Shared>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let text = text(&headers, &body)?;
    let planned = planned(&mut state, &who, text).await?;
    Ok(told_of(&state, &planned))
}

/// What would come of a text, and the hash by which it can be referred to.
pub(super) async fn planned(
    state: &mut Shared,
    who: &Who,
    text: Arc<str>,
) -> Result<Value, Problem> {
    let ledger = state.control.ledger();
    let loaded = checked(state, who, Arc::clone(&text)).await?;
    let said = state.control.said();
    let running = ledger.config.clone().ok_or(ReloadError::Ended)?;
    let (live, hash) = (Arc::clone(state.reader.current()), loaded.hash);
    let warnings = warnings(&loaded);
    // To try the keys of a hash takes a while.
    let compared = tokio::task::spawn_blocking(move || {
        effect(&said.patch(&running), &said.patch(&loaded.config), &live)
    });
    let effect = compared.await.map_err(|_| ReloadError::Ended)?;
    Ok(json!({
        "revision": number(&ledger),
        "expect": expected(&ledger, &text),
        "hash": format!("{hash:016x}"),
        "effect": effect,
        "warnings": warnings,
    }))
}

/// `POST config/update`.
pub(super) async fn update(
    Extract(mut state): Extract<Shared>,
    Extension(who): Extension<Who>,
    headers: HeaderMap,
    update: Result<Query<Update>, QueryRejection>,
    body: Bytes,
) -> Result<Response, Problem> {
    let Query(update) =
        update.map_err(|error| Problem::bad_request("bad_query", error.body_text()))?;
    let text = text(&headers, &body)?;
    let ledger = state.control.ledger();
    let mut based_on = Based::of(&headers)?;
    if let Some(expect) = &update.expect {
        if *expect != expected(&ledger, &text) {
            let told = "this is not what was planned: the text is another one, or another revision is in \
                        force; plan it again";
            return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "not_as_planned", told));
        }
        if based_on == Based::Unsaid {
            based_on = Based::On(ledger.tag());
        }
    }
    if based_on == Based::Unsaid {
        let told = "say on which revision it is based: `If-Match` with the ETag of GET config, or `expect` \
                    with the hash of a plan; `If-Match: *` is whichever is in force";
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "if_match_needed", told));
    }
    let dry_run = flag("dry_run", update.dry_run.as_deref())?;
    let proposal = Proposal {
        what: Proposed::Text(Arc::clone(&text)),
        by: By::now(who.name.clone(), reason(update.reason)?, None),
        based_on: based_on.tag(),
        overwrite: flag("overwrite", update.overwrite.as_deref())?,
        confirm: lasts("confirm_seconds", update.confirm_seconds)?,
        guard: lasts("guard_seconds", update.guard_seconds)?,
        dry_run,
    };
    if dry_run {
        state.control.propose(proposal).await?;
        let mut planned = planned(&mut state, &who, text).await?;
        planned["dry_run"] = true.into();
        return Ok(told_of(&state, &planned));
    }
    proposed(&state, proposal).await
}

/// `POST config/rollback`.
pub(super) async fn rollback(
    Extract(state): Extract<Shared>,
    headers: HeaderMap,
    Asked { who, how, said }: Asked<Rollback>,
) -> Result<Response, Problem> {
    let proposal = Proposal {
        what: Proposed::Revision(said.to),
        by: By::now(who.name, reason(said.reason)?, None),
        based_on: Based::of(&headers)?.tag(),
        overwrite: said.overwrite,
        confirm: lasts("confirm_seconds", said.confirm_seconds)?,
        guard: lasts("guard_seconds", said.guard_seconds)?,
        dry_run: how.is_dry(),
    };
    proposed(&state, proposal).await
}

/// `POST config/confirm`.
pub(super) async fn confirm(
    Extract(state): Extract<Shared>,
    headers: HeaderMap,
    Asked { who, how, said }: Asked<Confirmation>,
) -> Result<Response, Problem> {
    let by = By::now(who.name, reason(said.reason)?, None);
    let based_on = Based::of(&headers)?;
    if how.is_dry() {
        let ledger = state.control.ledger();
        based_on.fits(&ledger)?;
        ledger.probation.as_ref().ok_or(Objection::NothingToConfirm)?;
        return Ok(done(&state, true));
    }
    state.control.confirm(by, based_on.tag()).await?;
    Ok(done(&state, false))
}

pub(super) async fn proposed(state: &Shared, proposal: Proposal) -> Result<Response, Problem> {
    let dry_run = proposal.dry_run;
    state.control.propose(proposal).await?;
    Ok(done(state, dry_run))
}

/// What is answered once it is done.
fn done(state: &Shared, dry_run: bool) -> Response {
    let ledger = state.control.ledger();
    let generation = state.reader.clone().current().generation.0;
    let list = RevisionList::of(&ledger);
    let body = json!({
        "revision": number(&ledger),
        "generation": generation,
        "hash": ledger.running().map(|one| one.hash.clone()),
        "dry_run": dry_run,
        "kept": ledger.is_kept,
        "probation": list.probation,
    });
    told_of(state, &body)
}

/// `GET config`: what is in force.
pub(super) async fn current(Extract(state): Extract<Shared>) -> Result<Response, Problem> {
    let ledger = state.control.ledger();
    let running = ledger.running().ok_or(ReloadError::Ended)?;
    Ok(told_of(&state, &json!(RevisionView::of(&ledger, running))))
}

/// `GET config/revisions`.
pub(super) async fn revisions(Extract(state): Extract<Shared>) -> Response {
    told_of(&state, &json!(RevisionList::of(&state.control.ledger())))
}

/// `GET config/revisions/{id}`.
pub(super) async fn revision(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let ledger = state.control.ledger();
    Ok(told(StatusCode::OK, &RevisionView::of(&ledger, found(&ledger, &id)?)))
}

/// `GET config/revisions/{id}/diff`.
pub(super) async fn diff(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
    against: Result<Query<Against>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(against) =
        against.map_err(|error| Problem::bad_request("bad_query", error.body_text()))?;
    let ledger = state.control.ledger();
    let one = found(&ledger, &id)?;
    let two = match against.to {
        Some(number) => ledger.revision(number).ok_or(Objection::NoRevision(number))?,
        None => ledger.running().ok_or(ReloadError::Ended)?,
    };
    let changes = differing(&state, one, two).await;
    Ok(told(StatusCode::OK, &Difference::of(one, two, changes)))
}

/// What differs between two revisions by meaning, whatever the process does at present.
async fn differing(state: &Shared, one: &Revision, two: &Revision) -> Result<Vec<Change>, String> {
    let mut configs = Vec::new();
    for revision in [one, two] {
        let loaded = state.control.check_revision(revision).await;
        // Such as a certificate that is gone since.
        let told = |error: ReloadError| {
            let why = error.to_string();
            format!("revision {}: {}", revision.number, why.lines().next().unwrap_or_default())
        };
        configs.push(loaded.map_err(told)?.config);
    }
    let compared = tokio::task::spawn_blocking(move || {
        effect(&configs[0], &configs[1], &Snapshot::empty()).changes
    });
    compared.await.map_err(|error| error.to_string())
}

fn found<'l>(ledger: &'l Ledger, id: &str) -> Result<&'l Arc<Revision>, Problem> {
    let number = id.parse().ok();
    number.and_then(|number| ledger.revision(number)).ok_or_else(|| {
        let told = format!("there is no revision {id}, or not any more");
        Problem::new(StatusCode::NOT_FOUND, "no_revision", told)
    })
}

/// The number of the revision in force.
fn number(ledger: &Ledger) -> u64 {
    ledger.running().map_or(0, |one| one.number)
}

/// An answer with the tag of the revision in force as its `ETag`.
pub(super) fn told_of(state: &Shared, body: &Value) -> Response {
    (etag(&state.control.ledger().tag()), told(StatusCode::OK, body)).into_response()
}

/// What of a configuration stands for its plan: it holds for one text in place of one revision.
fn expected(ledger: &Ledger, text: &str) -> String {
    let all = format!("{}\n{text}", ledger.tag());
    let hash = digest(&SHA256, all.as_bytes());
    let begin = hash.as_ref().iter().take(8).fold(0, |all, byte| (all << 8) | u64::from(*byte));
    format!("{begin:016x}")
}

fn warnings(loaded: &Loaded) -> Vec<Value> {
    loaded.warnings.iter().map(crate::config::Diagnostic::to_json).collect()
}

/// The configuration that a body holds.
fn text(headers: &HeaderMap, body: &Bytes) -> Result<Arc<str>, Problem> {
    if content_type(headers) == Some("application/json") {
        let told = "the body is the configuration itself: application/toml";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", told));
    }
    let text = std::str::from_utf8(body)
        .map_err(|error| Problem::bad_request("bad_body", format!("it is no UTF-8: {error}")))?;
    if holds_mask(text) {
        let told = format!(
            "it holds {MASK}, which stands in place of a secret where configurations are shown: write \
             the secret, or better `{{ file = \"…\" }}`"
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "masked", told));
    }
    Ok(text.into())
}

/// Loads a text as if the file held it. Who may not configure has only those files read that the
/// configuration in force reads as well: what is said of others would tell what is in them.
async fn checked(state: &Shared, who: &Who, text: Arc<str>) -> Result<Loaded, Problem> {
    let ledger = state.control.ledger();
    let checked = state.control.check(text).await;
    let read: Vec<PathBuf> = match &checked {
        Ok(loaded) => loaded.watched.clone(),
        Err(ReloadError::Invalid(report)) => report.watched().map(Into::into).collect(),
        Err(_) => Vec::new(),
    };
    let others = || read.iter().any(|path| !ledger.watched.contains(path));
    if who.role < Some(AdminRole::Admin) && others() {
        let told = "it has other files read than the configuration in force; that needs admin";
        return Err(Problem::new(StatusCode::FORBIDDEN, "other_files", told));
    }
    Ok(checked?)
}

pub(super) fn flag(name: &str, given: Option<&str>) -> Result<bool, Problem> {
    match given {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(Problem::bad_request("bad_query", format!("{name} is 0 or 1"))),
    }
}

pub(super) fn lasts(name: &str, seconds: Option<u64>) -> Result<Option<Duration>, Problem> {
    if seconds.is_some_and(|seconds| seconds == 0 || seconds > LONGEST) {
        return Err(Problem::bad_request("bad_expiry", format!("{name} is from 1 to {LONGEST}")));
    }
    Ok(seconds.map(Duration::from_secs))
}
