//! What was read → the checked model.
//!
//! Every function here is total: a fault is reported, something valid stands in for the value, and
//! the checks go on; the model is handed out only if no error was reported. What concerns several
//! sections at once is checked in `whole`.

mod access;
mod acme;
mod action;
mod address;
mod admin;
mod check;
mod condition;
mod dns;
mod field;
mod host;
mod limit;
mod listener;
mod listener_tcp;
mod listener_tls;
mod made;
mod onward;
mod process;
mod request;
mod response;
mod route;
mod secret;
mod sending;
mod template;
mod traces;
mod upstream;
mod upstream_balance;
mod upstream_ejection;
mod upstream_file;
mod upstream_load;
mod upstream_policy;
mod upstream_queue;
mod upstream_room;
mod upstream_source;
mod upstream_sticky;
mod upstream_tls;
pub(super) mod variables;
mod whole;

pub(crate) use crate::http1::is_trailer;
pub(crate) use action::is_path;
pub(crate) use address::{backend as backend_address, is_authority, is_name};
pub(crate) use field::{is_token, is_value};
pub(crate) use variables::stage_of as stage_of_variable;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::faults::{Faults, Place};
use super::files::Hash;
use super::load::Environment;
use super::model::{AccessLog, Acme, Asked, Config, Listener, Route, Upstream, Variable};
use super::tree::{Item, Key, Table};
use crate::tls::Roots;

/// What a build works with.
pub(super) struct Build<'e> {
    /// Where findings go.
    pub faults: Faults,
    /// The directory of each source.
    bases: Vec<PathBuf>,
    environment: Environment<'e>,
    /// Files that were read for a value.
    pub secret_files: Vec<PathBuf>,
    /// A hash of what was read from files and the environment.
    pub secrets: Hash,
    /// What the texts that were read need.
    asked: Asked,
    /// The groups that texts of the route being read may ask for.
    groups: Option<template::Groups>,
    /// The authorities that the system trusts, once they were asked for.
    system_roots: OnceCell<Option<Roots>>,
    /// The variables of the file.
    made: BTreeMap<String, Variable>,
    /// The authority of certificates, and those that are wanted of it.
    acme: Option<Acme>,
    /// Access logs that routes may name.
    logs: BTreeMap<String, Arc<AccessLog>>,
}

/// A part of the model beside the section it comes from, for checks that need places.
struct Sourced<'t, T> {
    model: T,
    table: &'t Table,
}

/// An upstream with its name's place.
struct Named<'t> {
    key: &'t Key,
    model: Upstream,
    /// No backend is written.
    bare: bool,
}

impl<'e> Build<'e> {
    /// A build for sources in these directories.
    pub(super) fn new(faults: Faults, bases: Vec<PathBuf>, environment: Environment<'e>) -> Self {
        Self {
            faults,
            bases,
            environment,
            secret_files: Vec::new(),
            secrets: Hash::EMPTY,
            asked: Asked::default(),
            groups: None,
            system_roots: OnceCell::new(),
            made: BTreeMap::new(),
            acme: None,
            logs: BTreeMap::new(),
        }
    }

    fn error(&mut self, at: Place, message: impl Into<String>, help: impl Into<String>) {
        self.faults.error(at, message, help.into());
    }

    fn warning(&mut self, at: Place, message: impl Into<String>, help: impl Into<String>) {
        self.faults.warning(at, message, help.into());
    }
}

/// Makes and checks a configuration of all that was read, the main file first.
pub(super) fn build(b: &mut Build<'_>, parts: &[Table], files: &[PathBuf]) -> Config {
    made::define(b, parts);
    process::define_logs(b, &parts[0]);
    acme::define(b, &parts[0]);
    let process = process::process(b, &parts[0]);
    let resolver = dns::resolver(b, parts[0].section("dns"));
    let tracing = traces::tracing(b, &parts[0], &process);
    let admin = parts[0].table("admin").map(|table| admin::admin(b, table));
    let mut listeners: Vec<_> = parts
        .iter()
        .flat_map(|part| part.tables("listener"))
        .map(|table| Sourced { model: listener::listener(b, table), table })
        .collect();
    acme::check(b, &parts[0], &mut listeners);
    let routes: Vec<_> = parts
        .iter()
        .flat_map(|part| part.tables("route"))
        .enumerate()
        .map(|(n, table)| Sourced { model: route::route(b, table, n + 1), table })
        .collect();
    let mut upstreams: Vec<_> = parts
        .iter()
        .flat_map(|part| part.map("upstream"))
        .filter_map(|(key, item): &(Key, Item)| {
            let table = item.table()?;
            let bare = table.list("backend").is_empty()
                && !table.refused.contains(&"backend")
                && !table.mentions("backends_file");
            Some(Named {
                key,
                model: upstream::upstream(b, key, table, (&process, &resolver)),
                bare,
            })
        })
        .collect();
    upstream_policy::localise(b, &process, &mut upstreams);
    upstream_room::check(b, &upstreams);
    let limits = limit::limits(b, parts);
    whole::check(b, parts, admin.as_ref(), &listeners, &routes, &upstreams);
    traces::check(b, &parts[0], &routes);
    let limits = limit::check(b, limits, &routes);
    Config {
        process,
        admin,
        acme: b.acme.take(),
        tracing,
        listeners: listeners.into_iter().map(|one| one.model).collect::<Vec<Listener>>(),
        routes: routes.into_iter().map(|one| one.model).collect::<Vec<Route>>(),
        upstreams: upstreams
            .into_iter()
            .map(|one| (one.key.name.clone(), one.model))
            .collect::<BTreeMap<_, _>>(),
        asked: b.asked,
        limits,
        files: files.to_vec(),
    }
}
