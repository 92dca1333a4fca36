//! The backend names in use: what they resolve to, and when they are asked for again.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::config::model::{self as config, Query};
use crate::control::history::Told;
use crate::control::timers::Timers;
use crate::control::writer::Due;
use crate::dns::{Answer, Dns, Failure};
use crate::model::Clock;
use crate::policy::removal::{Guard, Removal, Ruling};
use crate::snapshot::build::Addresses;
use crate::telemetry::ProcessSeries;

/// The shortest time between two questions for a name.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

/// The names of the configuration in force.
pub(super) struct Names {
    dns: Dns,
    known: BTreeMap<Query, Name>,
    /// The last good addresses of each.
    addresses: Addresses,
    lookups: JoinSet<Answer>,
}

#[derive(Debug)]
struct Name {
    limits: config::Dns,
    /// Whether the last question failed.
    failing: bool,
    /// Since when its answers take away too many.
    removal: Removal,
}

/// What came of an answer.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The addresses are others than before.
    pub(super) differs: bool,
    /// What is to be told of it.
    pub(super) told: Option<Told>,
}

impl Names {
    pub(super) fn new(dns: Dns) -> Self {
        let (known, addresses) = (BTreeMap::new(), Addresses::new());
        Self { dns, known, addresses, lookups: JoinSet::new() }
    }

    /// The last good addresses.
    pub(super) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The resolver.
    pub(super) fn dns(&self) -> Dns {
        self.dns.clone()
    }

    /// Begins to ask for a name.
    pub(super) fn ask(&mut self, query: Query) {
        self.lookups.spawn(self.dns.clone().lookup(query));
    }

    /// The next answer to a question; none when nothing is asked.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        self.lookups.join_next().await?.ok()
    }

    /// Takes up the names of `config`: new ones with their `answers`, known ones as they stand. Gives what is
    /// to be told of the answers.
    pub(super) fn take_up(
        &mut self,
        config: &config::Config,
        answers: Vec<Answer>,
        timers: &mut Timers<Due>,
        series: &ProcessSeries,
    ) -> Vec<(Query, Told)> {
        let mut before = mem::take(&mut self.known);
        for (name, limits) in names(config) {
            let was = before.remove(&name);
            let failing = was.as_ref().is_some_and(|known| known.failing);
            let removal = was.map(|known| known.removal).unwrap_or_default();
            self.known.insert(name, Name { limits, failing, removal });
        }
        for gone in before.into_keys() {
            let addresses = self.addresses.remove(&gone);
            // Asked of another server from now on, it keeps its addresses until the next answer.
            let heir = self.known.keys().find(|now| {
                (&now.name, &now.service) == (&gone.name, &gone.service)
                    && !self.addresses.contains_key(*now)
            });
            if let (Some(heir), Some(addresses)) = (heir, addresses) {
                self.addresses.insert(heir.clone(), addresses);
                timers.set(Due::Resolve(heir.clone()), Clock::now());
            }
            timers.clear(&Due::Resolve(gone));
        }
        let mut all_told = Vec::new();
        for answer in answers {
            let query = answer.query.clone();
            let told = self.answered(answer, timers, series).told;
            all_told.extend(told.map(|told| (query, told)));
        }
        // A name without an answer in time is asked for again at once.
        for name in self.known.keys().filter(|name| !self.addresses.contains_key(*name)) {
            let due = Due::Resolve(name.clone());
            if !timers.contains(&due) {
                timers.set(due, Clock::now());
            }
        }
        all_told
    }

    /// Notes an answer and when to ask again. A failure leaves the last good addresses, and so does an
    /// answer that takes too many of them away.
    pub(super) fn answered(
        &mut self,
        answer: Answer,
        timers: &mut Timers<Due>,
        series: &ProcessSeries,
    ) -> Heard {
        let Answer { query, result } = answer;
        // It may have left the configuration meanwhile.
        let Some(Name { limits, failing, removal }) = self.known.get_mut(&query) else {
            return Heard::default();
        };
        series.dns_update(result.is_ok());
        let failed_before = mem::replace(failing, result.is_err());
        let name = query.to_string();
        let now = Clock::now();
        let in_use = self.addresses.get(&query).map_or(0, Vec::len);
        let (ruling, mut told) = match (&result, &limits.guard) {
            (Ok((found, _)), Some(guard)) => {
                let ruling = removal.judge(in_use, found.len(), guard, now);
                (ruling, tell(ruling, &name, (in_use, found.len()), guard.confirm))
            }
            (Ok(_), None) => (Ruling::Taken, None),
            (Err(_), _) => {
                removal.interrupted();
                (Ruling::Taken, None)
            }
        };
        if let (Ok((found, _)), true) = (&result, failed_before) {
            told = told.or_else(|| Some(resolved(&name, found.len())));
        }
        let (holds, differs) = match result {
            Ok(_) if matches!(ruling, Ruling::Held | Ruling::HeldFirst) => {
                series.dns_held();
                (limits.min_ttl, false)
            }
            Ok((found, ttl)) => {
                let differs = self.addresses.get(&query) != Some(&found);
                if differs || failed_before {
                    let addresses: Vec<_> = found.iter().map(|one| one.ip).collect();
                    info!(name, ?addresses, "backend name resolved");
                }
                self.addresses.insert(query.clone(), found);
                (ttl.max(limits.min_ttl).min(limits.max_ttl), differs)
            }
            Err(Failure::Nobody(reason)) if limits.empties => {
                let had = self.addresses.insert(query.clone(), Vec::new()).unwrap_or_default();
                if !failed_before {
                    warn!(name, reason, left = had.len(), "backend name has no addresses any more");
                    told = Some(unresolved(&name, &reason, "asked for again".to_owned()));
                }
                (limits.min_ttl, !had.is_empty())
            }
            Err(Failure::Unanswered(reason) | Failure::Nobody(reason)) => {
                if !failed_before {
                    let kept = in_use;
                    warn!(name, reason, kept, "backend name not resolved, last addresses kept");
                    let next = format!("asked for again; its last {kept} addresses are kept");
                    told = Some(unresolved(&name, &reason, next));
                }
                (limits.min_ttl, false)
            }
        };
        timers.set(Due::Resolve(query), now.after(holds.max(SHORTEST_TTL)));
        Heard { differs, told }
    }
}

/// A name has no answer any more.
fn unresolved(name: &str, reason: &str, next: String) -> Told {
    let cause = format!("{name}: {reason}");
    Told { kind: "discovery.failed", actor: "dns".into(), cause, next }
}

/// A name that had no answer has one again.
fn resolved(name: &str, found: usize) -> Told {
    let cause = format!("{name} has {found} addresses");
    Told { kind: "discovery.resolved", actor: "dns".into(), cause, next: String::new() }
}

/// What is to be told of an answer that takes many addresses away, or of the end of that.
fn tell(
    ruling: Ruling,
    name: &str,
    (known, found): (usize, usize),
    confirm: Duration,
) -> Option<Told> {
    let (kind, next) = match ruling {
        Ruling::Taken | Ruling::Held => return None,
        Ruling::HeldFirst => {
            ("discovery.held", format!("taken if answers say so for {confirm:.0?}"))
        }
        Ruling::Confirmed => ("discovery.confirmed", String::new()),
        Ruling::Recovered => ("discovery.recovered", String::new()),
    };
    let cause = format!("{name} has {found} addresses, {known} are in use");
    if ruling == Ruling::HeldFirst {
        warn!(name, found, kept = known, next, "backend name: answer held");
    } else {
        info!(name, found, known, "backend name: {kind}");
    }
    Some(Told { kind, actor: "dns".into(), cause, next })
}

/// What a configuration has to ask for, with how long answers may hold; the shorter times win where
/// several upstreams use a name.
pub(super) fn names(config: &config::Config) -> BTreeMap<Query, config::Dns> {
    let mut names = BTreeMap::<Query, config::Dns>::new();
    for upstream in config.upstreams.values() {
        for query in upstream.backends.iter().filter_map(|backend| upstream.query(backend)) {
            let dns = names.entry(query).or_insert_with(|| upstream.dns.clone());
            dns.min_ttl = dns.min_ttl.min(upstream.dns.min_ttl);
            dns.max_ttl = dns.max_ttl.min(upstream.dns.max_ttl);
            dns.empties |= upstream.dns.empties;
            // Who believes at once is not made to wait for others.
            dns.guard = dns.guard.zip(upstream.dns.guard).map(|(one, other)| Guard {
                most: one.most.max(other.most),
                confirm: one.confirm.min(other.confirm),
            });
        }
    }
    names
}
