//! Changes by hand: weights and states of backends, backends added and taken away, checks run at once.
//!
//! Each becomes a value for the control loop, which does it or says why not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, State as Extract};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;
use tokio::time::sleep;

use super::access::Who;
use super::asked::{Asked, How, New, Reason, Words, reason, weight};
use super::based::Based;
use super::endpoints::told;
use super::problem::Problem;
use super::state::Shared;
use super::view::{BackendView, CheckVerdict, OverrideView, Overrides};
use crate::control::{By, Kind, Origin, Removed, Said, What, Wish, Word};
use crate::model::{BackendIx, Clock, Tick};
use crate::snapshot::{Snapshot, Upstream};

/// How often is looked whether a backend has run empty, or checks have ended.
const PAUSE: Duration = Duration::from_millis(20);

/// A backend that is meant, in one snapshot.
struct Found {
    upstream: Arc<Upstream>,
    ix: BackendIx,
}

impl Found {
    /// By `UPSTREAM/BACKEND`, or the backend's name where only one upstream has one of that name.
    fn by(snapshot: &Snapshot, id: &str) -> Result<Self, Problem> {
        let mut found = Vec::new();
        for upstream in &snapshot.upstreams {
            for (ix, backend) in (0..).map(BackendIx).zip(&upstream.backends) {
                let is_full = id
                    .strip_prefix(&*upstream.name)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .is_some_and(|label| label == backend.label);
                if is_full || backend.label == id {
                    found.push(Self { upstream: Arc::clone(upstream), ix });
                }
            }
        }
        if found.len() > 1 {
            let names: Vec<_> = found.iter().map(Self::id).collect();
            let told =
                format!("several upstreams have {id}; name one of them: {}", names.join(", "));
            return Err(Problem::new(StatusCode::CONFLICT, "ambiguous", told));
        }
        found.pop().ok_or_else(|| {
            let told = format!("there is no backend {id}; name it as UPSTREAM%2FBACKEND");
            Problem::new(StatusCode::NOT_FOUND, "no_backend", told)
        })
    }

    fn id(&self) -> String {
        format!("{}/{}", self.upstream.name, self.label())
    }

    fn label(&self) -> &str {
        &self.upstream.backends[self.ix.index()].label
    }

    fn in_flight(&self) -> u32 {
        self.upstream.live[self.ix.index()].in_flight()
    }

    fn wish(&self, what: What, by: By, bypass: Vec<String>, how: &How) -> Wish {
        Wish {
            upstream: self.upstream.name.clone(),
            backend: self.label().to_owned(),
            what,
            by,
            bypass,
            dry_run: how.is_dry(),
        }
    }

    async fn drained(&self, how: &How) -> Option<bool> {
        how.drained(|| self.in_flight()).await
    }
}

impl How {
    /// Waits until no request is in flight, if that is asked for. `None`: it is not.
    async fn drained(&self, in_flight: impl Fn() -> u32) -> Option<bool> {
        if !self.waits() {
            return None;
        }
        let end = Instant::now() + self.patience();
        while in_flight() > 0 && Instant::now() < end {
            sleep(PAUSE).await;
        }
        Some(in_flight() == 0)
    }
}

/// What is written of backends that have another name each: a name, which stands for its addresses.
struct Entry {
    upstream: Arc<Upstream>,
    name: String,
}

impl Entry {
    /// By `UPSTREAM/NAME:PORT`; `None`: that is a backend's own name, or nobody's.
    fn by(snapshot: &Snapshot, id: &str) -> Option<Self> {
        snapshot.upstreams.iter().find_map(|upstream| {
            let name = id.strip_prefix(&*upstream.name)?.strip_prefix('/')?;
            let is_backend = upstream.backends.iter().any(|one| one.label == name);
            let is_written = upstream.written().iter().any(|entry| entry.called() == name);
            let found = is_written && !is_backend;
            found.then(|| Self { upstream: Arc::clone(upstream), name: name.to_owned() })
        })
    }

    /// Requests at all its addresses.
    fn in_flight(&self) -> u32 {
        let places = (0..self.upstream.backends.len() as u32).map(BackendIx);
        let own = places.filter(|ix| self.upstream.declared(*ix).called() == self.name);
        own.map(|ix| self.upstream.live[ix.index()].in_flight()).sum()
    }
}

/// What is answered once a change is made.
fn done(state: &mut Shared, id: &str, drained: Option<bool>, how: &How) -> Response {
    let snapshot = state.reader.current();
    let backend = Found::by(snapshot, id).ok();
    let view = backend
        .map(|found| json!(BackendView::of(&found.upstream, found.ix.index(), Clock::now())));
    let status = if drained == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
    let generation = snapshot.generation.0;
    told(
        status,
        &json!({
            "generation": generation,
            "dry_run": how.is_dry(),
            "drained": drained,
            "backend": view,
        }),
    )
}

/// `GET load-balancer/backends/{id}`.
pub(super) async fn one(
    Extract(mut state): Extract<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = Found::by(state.reader.current(), &id)?;
    let view = BackendView::of(&found.upstream, found.ix.index(), Clock::now());
    Ok(told(StatusCode::OK, &view))
}

/// `PATCH load-balancer/backends/{id}`: weight and state.
pub(super) async fn patch(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
    Asked { who, how, said: words }: Asked<Words>,
) -> Result<Response, Problem> {
    let (said, lifted) = words.wanted()?;
    if said.is_empty() && lifted.is_empty() {
        let told = "nothing is asked for: give `weight` or `state`";
        return Err(Problem::bad_request("nothing", told));
    }
    say(state, who, &id, (said, lifted), words, &how).await
}

/// `PUT overrides/{id}`: what is said of a backend as a whole.
pub(super) async fn put(
    Extract(state): Extract<Shared>,
    Path(id): Path<String>,
    Asked { who, how, said: words }: Asked<Words>,
) -> Result<Response, Problem> {
    let (said, _) = words.wanted()?;
    let kinds = [Kind::Weight, Kind::State].into_iter();
    let lifted = kinds.filter(|kind| said.iter().all(|word| word.kind() != *kind)).collect();
    say(state, who, &id, (said, lifted), words, &how).await
}

async fn say(
    mut state: Shared,
    who: Who,
    id: &str,
    (said, lifted): (Vec<Word>, Vec<Kind>),
    words: Words,
    how: &How,
) -> Result<Response, Problem> {
    let lasts = words.lasts()?;
    let found = Found::by(state.reader.current(), id)?;
    let by = By::now(who.name, reason(words.reason)?, lasts);
    state.control.wish(found.wish(What::Say(said, lifted), by, words.bypass, how)).await?;
    let drained = found.drained(how).await;
    Ok(done(&mut state, &found.id(), drained, how))
}

/// Has the control loop do it to the backend that is meant.
async fn wish(
    state: &mut Shared,
    id: &str,
    what: What,
    asked: Asked<Reason>,
) -> Result<(Found, How), Problem> {
    let Asked { who, how, said: why } = asked;
    let found = Found::by(state.reader.current(), id)?;
    let by = By::now(who.name, reason(why.reason)?, None);
    state.control.wish(found.wish(what, by, why.bypass, &how)).await?;
    Ok((found, how))
}

/// `DELETE overrides/{id}`: what the file says holds again.
pub(super) async fn lift(
    Extract(mut state): Extract<Shared>,
    Path(id): Path<String>,
    asked: Asked<Reason>,
) -> Result<Response, Problem> {
    if let (Err(_), Some(gone)) =
        (Found::by(state.reader.current(), &id), gone(&state.control.said(), &id))
    {
        return come_back(state, gone, asked).await;
    }
    let what = What::Say(Vec::new(), vec![Kind::Weight, Kind::State]);
    let (found, how) = wish(&mut state, &id, what, asked).await?;
    Ok(done(&mut state, &found.id(), None, &how))
}

/// A backend of the file that was taken away by hand, by `UPSTREAM/BACKEND`, or by its name where it is the
/// only one.
fn gone(said: &Said, id: &str) -> Option<Removed> {
    let is =
        |one: &&Removed| id == one.backend || id == format!("{}/{}", one.upstream, one.backend);
    let mut found = said.removed.iter().filter(is);
    found.next().filter(|_| found.next().is_none()).cloned()
}

async fn come_back(
    mut state: Shared,
    gone: Removed,
    asked: Asked<Reason>,
) -> Result<Response, Problem> {
    let Asked { who, how, said: why } = asked;
    let id = format!("{}/{}", gone.upstream, gone.backend);
    let wish = Wish {
        upstream: gone.upstream,
        backend: gone.backend,
        what: What::Return,
        by: By::now(who.name, reason(why.reason)?, None),
        bypass: Vec::new(),
        dry_run: how.is_dry(),
    };
    state.control.wish(wish).await?;
    Ok(done(&mut state, &id, None, &how))
}

/// `GET overrides`.
pub(super) async fn overrides(Extract(state): Extract<Shared>) -> Response {
    told(StatusCode::OK, &Overrides::of(&state.control.said()))
}

/// `GET overrides/{id}`.
pub(super) async fn overrides_of(
    Extract(mut state): Extract<Shared>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = Found::by(state.reader.current(), &id)?;
    let said = state.control.said();
    let of_it = said
        .overrides
        .iter()
        .filter(|one| one.upstream == found.upstream.name && one.backend == found.label());
    let overrides: Vec<_> = of_it.map(OverrideView::of).collect();
    Ok(told(StatusCode::OK, &json!({ "overrides": overrides })))
}

/// `POST load-balancer/backends`: one more backend.
pub(super) async fn add(
    Extract(mut state): Extract<Shared>,
    Asked { who, how, said: new }: Asked<New>,
) -> Result<Response, Problem> {
    let what = What::Join {
        weight: weight(new.weight.unwrap_or(1))?,
        tier: new.tier.unwrap_or(0),
        max_connections: new.max_connections.unwrap_or(0),
    };
    let wish = Wish {
        upstream: new.upstream.clone(),
        backend: new.address.clone(),
        what,
        by: By::now(who.name, reason(new.reason)?, None),
        bypass: Vec::new(),
        dry_run: how.is_dry(),
    };
    state.control.wish(wish).await?;
    let id = format!("{}/{}", new.upstream, new.address);
    let mut response = done(&mut state, &id, None, &how);
    if !how.is_dry() {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// `DELETE load-balancer/backends/{id}`: one backend less.
pub(super) async fn remove(
    Extract(mut state): Extract<Shared>,
    Path(id): Path<String>,
    asked: Asked<Reason>,
) -> Result<Response, Problem> {
    let snapshot = Arc::clone(state.reader.current());
    if let Some(entry) = Entry::by(&snapshot, &id) {
        return leave(state, entry, asked).await;
    }
    let (found, how) = wish(&mut state, &id, What::Leave, asked).await?;
    let drained = found.drained(&how).await;
    Ok(done(&mut state, &found.id(), drained, &how))
}

/// A name goes with all its addresses.
async fn leave(mut state: Shared, entry: Entry, asked: Asked<Reason>) -> Result<Response, Problem> {
    let Asked { who, how, said: why } = asked;
    let wish = Wish {
        upstream: entry.upstream.name.clone(),
        backend: entry.name.clone(),
        what: What::Leave,
        by: By::now(who.name, reason(why.reason)?, None),
        bypass: why.bypass,
        dry_run: how.is_dry(),
    };
    state.control.wish(wish).await?;
    let drained = how.drained(|| entry.in_flight()).await;
    Ok(done(&mut state, &format!("{}/{}", entry.upstream.name, entry.name), drained, &how))
}

/// `POST health-checks/{id}/run`: its checks, at once. The results count as any other.
pub(super) async fn run_checks(
    Extract(mut state): Extract<Shared>,
    Path(id): Path<String>,
    asked: Asked<Reason>,
) -> Result<Response, Problem> {
    let begun = Clock::now();
    let (found, how) = wish(&mut state, &id, What::Check, asked).await?;
    if !how.is_dry() {
        checked(&found, begun).await;
    }
    let checks = found.upstream.backends[found.ix.index()].series.checks();
    let now = Clock::now();
    let verdicts: Vec<_> = checks.iter().map(|check| CheckVerdict::of(check, now)).collect();
    let current = Found::by(state.reader.current(), &found.id());
    let of_it = current.unwrap_or(found);
    let backend = BackendView::of(&of_it.upstream, of_it.ix.index(), now);
    let body = json!({ "dry_run": how.is_dry(), "checks": verdicts, "backend": backend });
    Ok(told(StatusCode::OK, &body))
}

/// Waits until each check that asks somebody has a result from now on, for as long as they take at most.
async fn checked(found: &Found, begun: Tick) {
    let checks = found.upstream.checks();
    let longest = checks.iter().map(|check| check.timeout).max().unwrap_or_default();
    let end = Instant::now() + longest + Duration::from_secs(1);
    let series = found.upstream.backends[found.ix.index()].series.checks();
    let asks = |name: &str| {
        let check = checks.iter().find(|check| &*check.name == name);
        check.is_some_and(|check| check.probe.name() != "composite")
    };
    let is_due = || {
        series
            .iter()
            .filter(|one| asks(one.name()))
            .any(|one| one.now().last.is_none_or(|last| last.at < begun))
    };
    while is_due() && Instant::now() < end {
        sleep(PAUSE).await;
    }
}

/// `POST config/reload`: the files are read again.
pub(super) async fn reload(
    Extract(state): Extract<Shared>,
    headers: HeaderMap,
    Asked { who, how, said: why }: Asked<Reason>,
) -> Result<Response, Problem> {
    let by = By::now(who.name, reason(why.reason)?, None);
    Based::of(&headers)?.fits(&state.control.ledger())?;
    let generation = if how.is_dry() {
        state.control.check_files().await?;
        state.reader.clone().current().generation
    } else {
        state.control.reload_by(Origin::Api, by).await?
    };
    let body = json!({ "generation": generation.0, "dry_run": how.is_dry() });
    Ok(told(StatusCode::OK, &body))
}
