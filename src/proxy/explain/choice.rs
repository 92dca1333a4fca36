//! Which backend a request gets, and who is next.

use std::time::Duration;

use super::Asker;
use super::terms::Term;
use crate::balance::{Key, Lives, Need, Pick, Rng, Tried};
use crate::model::{Address, BackendIx, Outcome, Tick, WorkerIx};
use crate::proxy::retry::{Decision, Facts, decide, is_idempotent};
use crate::proxy::vars;
use crate::snapshot::settings::{Retry, StickyBy};
use crate::snapshot::{
    Action, Backend, Cursors, Destination, Hindrance, RouteEntry, Snapshot, Upstream,
};
use crate::telemetry::RetryDenied;

/// So many requests alike are picked for, to see who gets which share.
const PICKS: u32 = 10_000;

/// An upstream that it may go to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    /// Its name.
    pub(super) upstream: String,
    /// The share of requests that go to this upstream, 0 to 1.
    pub(super) share: f64,
    /// How it picks.
    pub(super) strategy: &'static str,
    /// What is hashed.
    pub(super) key: Option<String>,
    /// What binds the client to a backend, and to which.
    pub(super) bound: Option<String>,
    /// Its backends.
    pub(super) backends: Vec<Standing>,
    /// Who is asked first, and who next as long as attempts fail; a strategy that takes turns or draws
    /// begins elsewhere with each request.
    pub(super) order: Vec<String>,
    /// What follows each way to fail of a first attempt.
    pub(super) retries: Vec<(&'static str, String)>,
    /// What stands before the pick, and beside the attempts.
    pub(super) terms: Vec<Term>,
}

/// A backend as this request finds it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    /// The name in metrics and logs.
    pub(super) label: String,
    /// Its weight.
    pub(super) weight: u32,
    /// Its tier: 0 are the primaries, 1 the backups.
    pub(super) tier: u8,
    /// Whether it may be picked.
    pub(super) eligible: bool,
    /// What keeps this one from it beside that, or leads it there.
    pub(super) but: Option<&'static str>,
    /// What the operator, probes and traffic say of it.
    pub(super) states: [&'static str; 3],
    /// Its share of requests like this one, 0 to 1.
    pub(super) share: f64,
    /// Requests that are under way there.
    pub(super) in_flight: u32,
    /// What it is taken to need for an answer, in milliseconds (peak EWMA of the time to first byte).
    pub(super) expected_ms: f64,
}

impl Asker<'_> {
    pub(super) fn upstreams(&self, snapshot: &Snapshot, entry: &RouteEntry) -> Vec<Choice> {
        let Action::Proxy { split, .. } = &entry.route.action else {
            return Vec::new();
        };
        let shares = split.shares();
        let choice = |(to, share): (&Destination, f64)| {
            self.choice(snapshot.upstream(to.upstream), to, share)
        };
        split.destinations().iter().zip(shares).map(choice).collect()
    }

    fn choice(&self, upstream: &Upstream, to: &Destination, share: f64) -> Choice {
        let label = |ix: BackendIx| called(&upstream.backends[ix.index()]);
        let mut key = Vec::new();
        let needs = upstream.strategy.needs();
        if needs == Need::Key {
            vars::render_raw(&upstream.key, &self.vars, &mut key);
        }
        let asked = match needs {
            Need::ClientAddress => Key::Address(self.client.address),
            Need::Key => Key::Bytes(&key),
            Need::Nothing => Key::None,
        };
        let bound = self.bound(upstream);
        let mut draw = Draw::new(upstream, asked, self.now);
        let first = match &bound {
            Some((_, Some(ix))) => Some(*ix),
            _ => on_trial(upstream).or_else(|| draw.pick(&Tried::new())),
        };
        let mut tried = Tried::new();
        let mut order = Vec::new();
        let most = to.retry.tries as usize;
        let mut next = first;
        while let Some(ix) = next {
            tried.insert(ix);
            order.push(label(ix));
            // Near by first, where it is said who stands where.
            let near = upstream.all_but_near(ix, &tried);
            let near = near.and_then(|others| draw.pick(&others));
            next = if order.len() == most { None } else { near.or_else(|| draw.pick(&tried)) };
        }
        let alone = order.len() < 2;
        let picks = draw.shares();
        let standing = |(ix, share)| self.standing(upstream, ix, share);
        Choice {
            upstream: upstream.name.clone(),
            share,
            strategy: upstream.strategy.name(),
            key: match asked {
                Key::Address(address) => Some(address.to_string()),
                Key::Bytes(key) => Some(String::from_utf8_lossy(key).into_owned()),
                Key::None | Key::Unix => None,
            },
            bound: bound.map(|(by, ix)| match ix {
                Some(ix) => format!("{by} binds it to {}", label(ix)),
                None => format!("{by} binds it to nobody who may be picked"),
            }),
            backends: (0..).map(BackendIx).zip(picks).map(standing).collect(),
            order,
            retries: self.retries(upstream, &to.retry, alone),
            terms: self.terms(upstream, &to.retry),
        }
    }

    /// A backend as the request finds it, which gets this share of those alike.
    fn standing(&self, upstream: &Upstream, ix: BackendIx, share: f64) -> Standing {
        let (backend, live) = (&upstream.backends[ix.index()], &upstream.live[ix.index()]);
        let (state, in_flight) = (backend.state, live.in_flight());
        let hindrance = upstream.keeps_from(ix, self.now).filter(|_| upstream.eligible[ix.index()]);
        Standing {
            label: called(backend),
            weight: backend.weight.value(),
            tier: backend.tier,
            eligible: upstream.eligible[ix.index()] && hindrance.is_none(),
            but: match hindrance {
                Some(Hindrance::Failed) => Some("out: it failed too often"),
                Some(Hindrance::Full) => Some("full: it has its `max_connections`"),
                None if on_trial(upstream) == Some(ix) => {
                    Some("on trial: the next request decides")
                }
                None => None,
            },
            states: [state.admin.name(), state.probed.name(), state.passive.name()],
            share,
            in_flight,
            expected_ms: live.score(self.now) / (f64::from(in_flight) + 1.0) / 1_000.0,
        }
    }

    /// What binds the client, and the backend that it binds it to.
    fn bound(&self, upstream: &Upstream) -> Option<(String, Option<BackendIx>)> {
        let sticky = upstream.sticky.as_ref()?;
        let (by, value) = match &sticky.by {
            StickyBy::Cookie(cookie) => {
                let value = vars::cookie(self.head, &cookie.name).unwrap_or_default();
                (format!("cookie `{}`", cookie.name), value.to_vec())
            }
            StickyBy::Route(texts) => {
                let text = texts.iter().map(|text| self.render(text));
                let text = text.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
                ("`sticky` by route".to_owned(), text.into_bytes())
            }
            StickyBy::Learn(learn) => {
                let mut session = Vec::new();
                for text in &learn.lookup {
                    if session.is_empty() {
                        vars::render(text, &self.vars, &mut session);
                    }
                }
                let learnt = sticky.learnt().filter(|_| !session.is_empty())?;
                let known = learnt.peek(&session, self.now, learn)?;
                ("the session that was learnt".to_owned(), known.0.to_string().into_bytes())
            }
        };
        if value.is_empty() {
            return None;
        }
        let mut draw = Draw::new(upstream, Key::None, self.now);
        Some((by, draw.bound(&value)))
    }

    /// What follows each way to fail.
    fn retries(
        &self,
        upstream: &Upstream,
        policy: &Retry,
        alone: bool,
    ) -> Vec<(&'static str, String)> {
        let ways = [
            (Outcome::ConnectFailed, "no connection"),
            (Outcome::ConnectTimeout, "no connection in time"),
            (Outcome::Reset, "broken off before an answer"),
            (Outcome::Timeout, "no answer in time"),
            (Outcome::InvalidResponse, "an answer that is not valid"),
        ];
        let ways = ways.into_iter().map(|(outcome, words)| (outcome, None, words));
        let statuses = policy.statuses.iter();
        let statuses = statuses.map(|status| (Outcome::Status, Some(*status), "a listed status"));
        let facts = |outcome, status| Facts {
            outcome,
            status,
            sent: !matches!(outcome, Outcome::ConnectFailed | Outcome::ConnectTimeout),
            stale: false,
            shown: false,
            idempotent: is_idempotent(self.head.method()),
            replayable: true,
            elsewhere: false,
            within_budget: true,
            tries: 1,
            elapsed: Duration::ZERO,
            policy,
        };
        let follows = |(outcome, status, words)| {
            let facts = facts(outcome, status);
            let then = match decide(&facts) {
                Decision::AnotherBackend if alone => "nobody else: there is none".to_owned(),
                Decision::AnotherBackend if facts.sent && !upstream.nginx.failures => again(policy),
                decision => in_words(decision, self.head.method()),
            };
            (words, then)
        };
        ways.chain(statuses.take(1)).map(follows).collect()
    }
}

/// What a backend may have seen is sent again on these terms.
fn again(policy: &Retry) -> String {
    let pause = policy.backoff.map(|first| format!(" after a pause of up to {first:?}"));
    format!("another backend{}, within the budget", pause.unwrap_or_default())
}

fn in_words(decision: Decision, method: &[u8]) -> String {
    match decision {
        Decision::FreshConnection => "the same backend again".to_owned(),
        Decision::AnotherBackend => "another backend".to_owned(),
        Decision::GiveUp(RetryDenied::NonIdempotent) => {
            let method = String::from_utf8_lossy(method);
            format!("nobody else: {method} may have been done, and `retry.non_idempotent` is off")
        }
        Decision::GiveUp(RetryDenied::Tries) => "nobody else: `retry.tries` are used up".to_owned(),
        Decision::GiveUp(_) => "nobody else: `retry.on` does not list it".to_owned(),
    }
}

/// The backend for which the next request is to be the trial.
fn on_trial(upstream: &Upstream) -> Option<BackendIx> {
    upstream.trials.iter().copied().find(|ix| upstream.live[ix.index()].offers_trial())
}

/// What it is called: a name whose addresses are not known by itself.
fn called(backend: &Backend) -> String {
    match &backend.address {
        Address::Ip(address) if address.ip().is_unspecified() => backend.authority.clone(),
        _ => backend.label.clone(),
    }
}

/// Picks over and over, as one worker would; counts nothing.
struct Draw<'a> {
    upstream: &'a Upstream,
    /// Counters in place of the upstream's, where a pick writes into them.
    own: Option<Lives>,
    now: Tick,
    key: Key<'a>,
    cursors: Cursors,
    rng: Rng,
}

impl<'a> Draw<'a> {
    fn new(upstream: &'a Upstream, key: Key<'a>, now: Tick) -> Self {
        // Counted as nginx counts, failures are noted by picks too.
        let own = upstream.nginx.failures.then(|| upstream.live.copied());
        let cursors = upstream.cursors(WorkerIx(0), 0);
        Self { upstream, own, now, key, cursors, rng: Rng::new(1) }
    }

    fn with<T>(
        &mut self,
        tried: &Tried,
        pick: impl FnOnce(&Upstream, &mut Cursors, &mut Pick<'_>) -> T,
    ) -> T {
        let Self { upstream, own, now, key, cursors, rng } = self;
        let live = own.as_ref().unwrap_or(&upstream.live);
        let mut asked = Pick { key: *key, live, tried, now: *now, rng };
        pick(upstream, cursors, &mut asked)
    }

    fn pick(&mut self, tried: &Tried) -> Option<BackendIx> {
        self.with(tried, Upstream::preview)
    }

    fn bound(&mut self, value: &[u8]) -> Option<BackendIx> {
        self.with(&Tried::new(), |upstream, cursors, pick| {
            upstream.pick_bound(value, cursors, pick)
        })
    }

    /// Each backend's share of requests alike.
    fn shares(&mut self) -> Vec<f64> {
        let mut counts = vec![0_u32; self.upstream.backends.len()];
        for _ in 0..PICKS {
            if let Some(ix) = self.pick(&Tried::new()) {
                counts[ix.index()] += 1;
            }
        }
        counts.into_iter().map(|count| f64::from(count) / f64::from(PICKS)).collect()
    }
}
