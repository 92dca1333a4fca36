//! What another configuration would change, and what would come of it: before anybody puts it in force.
//!
//! By meaning, not by text: sections in another order, or the same value written in another way, are no
//! change. What is compared comes from files that were read and checked already; what is in flight comes
//! from the counters of the running process.

mod keys;
mod upstreams;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::config::model::{Acme, Config, Limit, Listener, Process, Route, Tracing};
use crate::model::Address;
use crate::snapshot::Snapshot;

/// What differs, and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effect {
    /// What is added, removed or changed; empty: nothing.
    pub changes: Vec<Change>,
    /// Idle connections to backends.
    pub pools: Pools,
    /// What ends or has to finish.
    pub drains: Drains,
    /// Changes that take effect after a restart only, by setting.
    pub restart: Vec<&'static str>,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// `listener`, `route`, `upstream`, `backend`, `limit`, `process`, `admin` or `acme`.
    pub what: &'static str,
    /// Its name; of a backend `UPSTREAM/BACKEND`, of the last three none.
    pub name: String,
    /// What becomes of it.
    pub how: How,
    /// The settings that differ, and what comes of it, in words.
    pub details: Vec<String>,
    /// Of an upstream that picks by a hash: the part of the keys that go to another backend than before,
    /// while all of them work; 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_moved: Option<f64>,
}

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// It is there as before, but for its settings.
    Changed,
}

/// Backends by what becomes of their idle connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Pools {
    /// Backends whose connections are used on.
    pub kept: usize,
    /// Backends that are still there, but whose connections are made anew.
    pub renewed: usize,
    /// Backends that were not there before.
    pub new: usize,
}

/// What is there at present and ends with the change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Drains {
    /// Clients' connections of listeners that close.
    pub client_connections: u64,
    /// Requests in flight at backends that leave: they finish.
    pub requests: u64,
    /// Idle connections to backends that are closed.
    pub idle_connections: u64,
}

impl Change {
    fn new(what: &'static str, name: impl Into<String>, how: How, details: Vec<String>) -> Self {
        Self { what, name: name.into(), how, details, keys_moved: None }
    }
}

/// The names of those fields that differ. Every field is named: the compiler says which one is missing.
macro_rules! differing {
    ($kind:ident: $old:expr, $new:expr; $($field:ident),* ; but $($but:ident),*) => {{
        let ($kind { $($field: _,)* $($but: _,)* }, _) = ($old, $new);
        #[allow(clippy::float_cmp, reason = "the same text gives the same number")]
        let all = [$((stringify!($field), $old.$field != $new.$field)),*];
        all.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field.to_owned())
    }};
}
pub(crate) use differing;

/// What comes of `new` in place of `old`, while `live` is running.
pub fn effect(old: &Config, new: &Config, live: &Snapshot) -> Effect {
    let mut of_it = Effect {
        changes: Vec::new(),
        pools: Pools::default(),
        drains: Drains::default(),
        restart: new.needs_restart((&old.process, old.admin.as_ref())).collect(),
    };
    process(old, new, &mut of_it);
    listeners(old, new, live, &mut of_it);
    routes(old, new, &mut of_it);
    let limit = |one: &Limit, two: &Limit| {
        differing!(Limit: one, two; key, rate, terms, max_keys; but name).collect()
    };
    named("limit", (&old.limits, &new.limits), |one| &one.name, limit, &mut of_it);
    upstreams::upstreams(old, new, live, &mut of_it);
    of_it
}

fn process(old: &Config, new: &Config, of_it: &mut Effect) {
    let (one, two) = (&old.process, &new.process);
    let settings: Vec<_> = differing!(Process: one, two; workers, drain_timeout, upgrade_timeout,
        pid_file, watch_interval, max_connections, node, memory_limit, zone, region, log, access_log,
        access_logs; but)
    .collect();
    if !settings.is_empty() {
        of_it.changes.push(Change::new("process", "", How::Changed, settings));
    }
    let mut section = |what, differs: bool, (was, is): (bool, bool)| {
        if differs {
            let how = match (was, is) {
                (false, _) => How::Added,
                (true, false) => How::Removed,
                (true, true) => How::Changed,
            };
            of_it.changes.push(Change::new(what, "", how, Vec::new()));
        }
    };
    section("admin", old.admin != new.admin, (old.admin.is_some(), new.admin.is_some()));
    let of_acme = |acme: &Option<Acme>| acme.is_some();
    let of_tracing = |tracing: &Option<Arc<Tracing>>| tracing.is_some();
    section(
        "tracing",
        old.tracing != new.tracing,
        (of_tracing(&old.tracing), of_tracing(&new.tracing)),
    );
    section("acme", old.acme != new.acme, (of_acme(&old.acme), of_acme(&new.acme)));
}

/// Tells of things that have names, in the order of the files, those that go at last.
fn named<T: PartialEq>(
    what: &'static str,
    (old, new): (&[T], &[T]),
    name: impl Fn(&T) -> &str,
    details: impl Fn(&T, &T) -> Vec<String>,
    of_it: &mut Effect,
) {
    let before: BTreeMap<&str, &T> = old.iter().map(|one| (name(one), one)).collect();
    let after: BTreeMap<&str, &T> = new.iter().map(|one| (name(one), one)).collect();
    for one in new {
        match before.get(name(one)) {
            None => of_it.changes.push(Change::new(what, name(one), How::Added, Vec::new())),
            Some(was) if *was != one => {
                let details = details(was, one);
                of_it.changes.push(Change::new(what, name(one), How::Changed, details));
            }
            Some(_) => {}
        }
    }
    for gone in old.iter().filter(|one| !after.contains_key(name(one))) {
        of_it.changes.push(Change::new(what, name(gone), How::Removed, Vec::new()));
    }
}

fn listeners(old: &Config, new: &Config, live: &Snapshot, of_it: &mut Effect) {
    let details = |one: &Listener, two: &Listener| {
        let mut settings: Vec<_> = differing!(Listener: one, two; socket_mode, tls, tcp,
            answers_challenges, client, forwarded, error_pages; but name, address)
        .collect();
        if one.address != two.address {
            settings.push(format!("address {} → {}", one.address, two.address));
        }
        settings
    };
    named("listener", (&old.listeners, &new.listeners), |one| &one.name, details, of_it);
    // A socket stays where its address does, under whatever name.
    let stays = |address: &Address| new.listeners.iter().any(|one| one.address == *address);
    let closing = live.listeners.iter().filter(|one| !stays(&one.address));
    of_it.drains.client_connections = closing.map(|one| one.series.active()).sum();
}

fn routes(old: &Config, new: &Config, of_it: &mut Effect) {
    let details = |one: &Route, two: &Route| {
        differing!(Route: one, two; listeners, hosts, path, methods, headers, when, first,
            before_regex, access, captures, before, action, after, sending, request_headers,
            response_headers, response, request_buffering, timeouts, retry, max_body_bytes, limits,
            logs, more_logs, ignore_client_abort, upgrades, trace_sample; but name)
        .collect()
    };
    named("route", (&old.routes, &new.routes), |one| &one.name, details, of_it);
    let order = |of: &[Route], other: &[Route]| -> Vec<String> {
        let both = of.iter().filter(|one| other.iter().any(|two| two.name == one.name));
        both.map(|one| one.name.clone()).collect()
    };
    if order(&old.routes, &new.routes) != order(&new.routes, &old.routes) {
        let told = vec!["they stand in another order".to_owned()];
        of_it.changes.push(Change::new("route", "", How::Changed, told));
    }
}

#[cfg(test)]
mod tests;
