//! Where the routes of each server hold: listeners and hosts, as nginx chooses a server.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Action, Route};
use super::listen::At;
use super::translate::Site;

/// The server that answers for each address when no name fits: the one that says so, or the first.
pub(super) fn defaults(sites: &[Site<'_>]) -> BTreeMap<At, usize> {
    let mut defaults = BTreeMap::new();
    for by_word in [true, false] {
        for (index, site) in sites.iter().enumerate() {
            for one in site.listens.iter().filter(|one| one.default || !by_word) {
                defaults.entry(one.address.clone()).or_insert(index);
            }
        }
    }
    defaults
}

/// Makes an expression that fits every name, after all others.
const EVERY: &str = "|";

/// Whether routes with these hosts go after all others.
pub(super) fn is_last(hosts: &[String]) -> bool {
    matches!(hosts, [only] if only.starts_with('~') && only.ends_with(EVERY))
}

/// The pairs of listeners and hosts for which a server's routes hold; no hosts is every host.
pub(super) fn placements(
    sites: &[Site<'_>],
    index: usize,
    defaults: &BTreeMap<At, usize>,
) -> Vec<(Vec<String>, Vec<String>)> {
    let site = &sites[index];
    let text = |all: &[At]| {
        let every = all.len() == defaults.len();
        if every { Vec::new() } else { all.iter().map(At::to_string).collect() }
    };
    let addresses = || site.listens.iter().map(|one| one.address.clone());
    let (default, other): (Vec<_>, Vec<_>) =
        addresses().partition(|address| defaults.get(address) == Some(&index));
    let mut found = Vec::new();
    // A name of the default server must be met before what another server takes by a pattern.
    let others = || sites.iter().enumerate().filter(|(other, _)| *other != index);
    let names = || others().flat_map(|(_, site)| &site.names.all);
    let caught = |name: &&String| names().any(|pattern| catches(pattern, name));
    let groups = site.names.with_groups();
    // What texts ask for has to be found, or looked for at least.
    let caught = |name: &&String| groups.is_some() || caught(name);
    let every = groups.map(|regex| format!("~(?:{regex}){EVERY}"));
    let caught: Vec<String> = site.names.all.iter().filter(caught).cloned().collect();
    if !default.is_empty() {
        if !caught.is_empty() {
            found.push((text(&default), caught));
        }
        found.push((text(&default), every.into_iter().collect()));
    }
    if !other.is_empty() && !site.names.all.is_empty() {
        found.push((text(&other), site.names.all.clone()));
    }
    found
}

/// Whether a pattern of another server may fit what a name fits.
fn catches(pattern: &str, name: &str) -> bool {
    let is_pattern = |one: &str| one.starts_with(['*', '~']) || one.ends_with(".*");
    if is_pattern(name) {
        return is_pattern(pattern);
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*'), pattern.strip_prefix('~')) {
        (Some(suffix), ..) => name.ends_with(suffix),
        (_, Some(prefix), _) => name.starts_with(prefix),
        (.., Some(_)) => true,
        _ => false,
    }
}

/// A route at its listeners and hosts, with its name.
pub(super) fn place(mut route: Route, listeners: &[String], hosts: &[String], host: &str) -> Route {
    route.listeners = listeners.to_vec();
    route.hosts = hosts.to_vec();
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
        let rule = (
            route.listeners.clone(),
            route.hosts.clone(),
            (route.first, route.path.clone()),
            route.when.clone(),
        );
        // Behind rewrites what has the same rule is looked at too.
        if !matches!(route.action, Action::Pass) && !rules.insert(rule) {
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
