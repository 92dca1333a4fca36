//! Where the routes of each server hold: listeners and hosts, as nginx chooses a server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::draft::{PathRule, Route};
use super::translate::Site;

/// The server that answers for each address when no name fits: the one that says so, or the first.
pub(super) fn defaults(sites: &[Site<'_>]) -> BTreeMap<SocketAddr, usize> {
    let mut defaults = BTreeMap::new();
    for by_word in [true, false] {
        for (index, site) in sites.iter().enumerate() {
            for one in site.listens.iter().filter(|one| one.default || !by_word) {
                defaults.entry(one.address).or_insert(index);
            }
        }
    }
    defaults
}

/// The pairs of listeners and hosts for which a server's routes hold; no hosts is every host.
pub(super) fn placements(
    sites: &[Site<'_>],
    index: usize,
    defaults: &BTreeMap<SocketAddr, usize>,
) -> Vec<(Vec<String>, Vec<String>)> {
    let site = &sites[index];
    let text = |all: &[SocketAddr]| {
        let every = all.len() == defaults.len();
        if every { Vec::new() } else { all.iter().map(SocketAddr::to_string).collect() }
    };
    let addresses = || site.listens.iter().map(|one| one.address);
    let (default, other): (Vec<_>, Vec<_>) =
        addresses().partition(|address| defaults.get(address) == Some(&index));
    let mut found = Vec::new();
    // A name of the default server must be met before another server's `*.name`.
    let wildcards = || {
        let others = sites.iter().enumerate().filter(|(other, _)| *other != index);
        others.flat_map(|(_, site)| &site.names.all).filter_map(|name| name.strip_prefix('*'))
    };
    let caught: Vec<String> = site
        .names
        .all
        .iter()
        .filter(|name| wildcards().any(|suffix| name.ends_with(suffix)))
        .cloned()
        .collect();
    if !default.is_empty() {
        if !caught.is_empty() {
            found.push((text(&default), caught));
        }
        found.push((text(&default), Vec::new()));
    }
    if !other.is_empty() && !site.names.all.is_empty() {
        found.push((text(&other), site.names.all.clone()));
    }
    found
}

/// A route at its listeners and hosts, with its name.
pub(super) fn place(mut route: Route, listeners: &[String], hosts: &[String], host: &str) -> Route {
    route.listeners = listeners.to_vec();
    if route.hosts.is_empty() {
        route.hosts = hosts.to_vec();
    }
    route.name = format!("{host}{}", route.name);
    route
}

/// The routes, each rule once, with names that differ.
pub(super) fn unique(routes: Vec<Route>) -> Vec<Route> {
    let mut rules = BTreeSet::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut kept = Vec::with_capacity(routes.len());
    for mut route in routes {
        let path = match &route.path {
            PathRule::Prefix(path) => PathRule::Prefix(path.trim_end_matches('/').to_owned()),
            path => path.clone(),
        };
        let rule = (
            route.listeners.clone(),
            route.hosts.clone(),
            path,
            route.methods.clone(),
            route.headers.clone(),
        );
        if !rules.insert(rule) {
            continue;
        }
        let fits = |c: &char| c.is_ascii_graphic() && *c != '"' && *c != '\\';
        let plain: String = route.name.chars().filter(fits).take(100).collect();
        let plain = if plain.is_empty() { "route".to_owned() } else { plain };
        let count = names.entry(plain.clone()).or_default();
        route.name = loop {
            *count += 1;
            let name = if *count > 1 { format!("{plain}#{count}") } else { plain.clone() };
            if taken.insert(name.clone()) {
                break name;
            }
        };
        kept.push(route);
    }
    kept
}
