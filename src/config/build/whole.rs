//! Checks over all sections and files: names, references, and routes that can never be taken.
//!
//! Every check is one pass with a hash table, so that ten thousand routes cost what they should.

use std::net::SocketAddr;

use ahash::{AHashMap, AHashSet};

use super::{Build, Named, Sourced, listener_tcp, onward};
use crate::config::faults::Place;
use crate::config::model::{
    Action, Admin, HeaderValueMatch, HostMatch, Listener, PathMatch, Route, Upstream,
};
use crate::config::nearest::did_you_mean;
use crate::config::tree::{Item, Table};
use crate::model::Address;

/// Unknown names for which the nearest known one is looked for.
const MOST_PROPOSALS: usize = 100;

pub(super) fn check(
    b: &mut Build<'_>,
    parts: &[Table],
    admin: Option<&Admin>,
    listeners: &[Sourced<'_, Listener>],
    routes: &[Sourced<'_, Route>],
    upstreams: &[Named<'_>],
) {
    if !parts.iter().any(|part| part.mentions("listener")) {
        let help = "add `[[listener]]` with an `address`";
        b.error(Place::top(0), "there is no listener", help);
    }
    let all_pass = !listeners.is_empty() && listeners.iter().all(|one| one.model.tcp.is_some());
    if !all_pass && !parts.iter().any(|part| part.mentions("route")) {
        b.error(Place::top(0), "there is no route", "add `[[route]]` with an `upstream`");
    }
    let names = listeners.iter().map(|one| (&*one.model.name, one.table.place_of("name")));
    unique(b, "the name of two listeners", names);
    let names = routes.iter().map(|one| (&*one.model.name, one.table.place_of("name")));
    unique(b, "the name of two routes", names);
    let names = upstreams.iter().map(|one| (&*one.model.name, one.key.place));
    unique(b, "the name of two upstreams", names);
    addresses(b, parts, admin, listeners);
    references(b, listeners, routes, upstreams);
    bare_upstreams(b, routes, upstreams);
    let by_name: AHashMap<&str, &Upstream> =
        upstreams.iter().map(|one| (&*one.model.name, &one.model)).collect();
    listener_tcp::check_upstreams(b, listeners, |name| by_name.get(name).copied());
    onward::check_names(b, listeners, routes);
    // After errors, such as a name with a slip, warnings would mostly be false alarms.
    if !b.faults.any_error() {
        unused(b, listeners, routes, upstreams);
        shadowed(b, routes);
    }
}

/// Reports names that occur twice, with both places.
fn unique<'n>(b: &mut Build<'_>, what: &str, names: impl Iterator<Item = (&'n str, Place)>) {
    let mut first: AHashMap<&str, Place> = AHashMap::new();
    for (name, place) in names.filter(|(name, _)| !name.is_empty()) {
        if let Some(other) = first.get(name) {
            let help = format!("first at {}; choose another name", b.faults.locate(*other));
            b.error(place, format!("`{name}` is {what}"), help);
        } else {
            first.insert(name, place);
        }
    }
}

/// Reports addresses on which two would listen.
fn addresses(
    b: &mut Build<'_>,
    parts: &[Table],
    admin: Option<&Admin>,
    listeners: &[Sourced<'_, Listener>],
) {
    let admin = admin.zip(parts[0].table("admin"));
    let admin = admin.map(|(admin, table)| (admin.address.clone(), table.place_of("address")));
    for (one, (admin, place)) in listeners.iter().filter_map(|one| Some((one, admin.clone()?))) {
        let (Address::Ip(address), Address::Ip(admin)) = (&one.model.address, admin) else {
            continue;
        };
        let address = *address;
        if covers(address, admin) || covers(admin, address) {
            let at = b.faults.locate(place);
            let message = format!(
                "`{}` and the admin listener's {admin} are in each other's way",
                one.model.address
            );
            let help = format!("which is at {at}; choose another port for one of the two");
            b.error(one.table.place_of("address"), message, help);
        }
    }
    let all =
        listeners.iter().map(|one| (one.model.address.clone(), one.table.place_of("address")));
    let mut first = AHashMap::new();
    let is_fixed = |one: &Address| !matches!(one, Address::Ip(address) if address.port() == 0);
    for (address, place) in admin.into_iter().chain(all).filter(|(one, _)| is_fixed(one)) {
        if let Some(other) = first.get(&address) {
            let help = format!("first at {}; choose another port", b.faults.locate(*other));
            b.error(place, format!("`{address}` is listened on twice"), help);
        } else {
            first.insert(address, place);
        }
    }
}

/// Whether `every` is every address of a family with the port of `one`, which is another address.
fn covers(every: SocketAddr, one: SocketAddr) -> bool {
    every != one
        && every.port() == one.port()
        && every.port() != 0
        && every.ip().is_unspecified()
        && every.is_ipv4() == one.is_ipv4()
}

/// The places in which a route names upstreams.
fn upstreams_of(table: &Table) -> impl Iterator<Item = &Item> {
    let single = table.written("upstream").map(|(_, item)| item);
    let parts = table.tables("split").filter_map(|part| Some(part.written("upstream")?.1));
    single.into_iter().chain(parts)
}

/// Reports names that routes use and nobody defines.
fn references(
    b: &mut Build<'_>,
    listeners: &[Sourced<'_, Listener>],
    routes: &[Sourced<'_, Route>],
    upstreams: &[Named<'_>],
) {
    let known_listeners: AHashSet<&str> = listeners.iter().map(|one| &*one.model.name).collect();
    let passing: AHashSet<&str> = listeners
        .iter()
        .filter(|one| one.model.tcp.is_some())
        .map(|one| &*one.model.name)
        .collect();
    let known_upstreams: AHashSet<&str> = upstreams.iter().map(|one| &*one.model.name).collect();
    let mut unknown: Vec<(Place, &str, &str)> = Vec::new();
    for Sourced { table, .. } in routes {
        let strange = table.list("listeners").iter();
        let strange = strange.filter(|item| !known_listeners.contains(item.text()));
        unknown.extend(strange.map(|item| (item.place, "listener", item.text())));
        for item in table.list("listeners").iter().filter(|item| passing.contains(item.text())) {
            let message = format!("listener `{}` passes connections through", item.text());
            b.error(item.place, message, "remove it here: a route is for `mode = \"http\"`");
        }
        let strange = upstreams_of(table).filter(|item| !known_upstreams.contains(item.text()));
        unknown.extend(strange.map(|item| (item.place, "upstream", item.text())));
    }
    for Sourced { table, .. } in listeners {
        let strange = listener_tcp::upstreams_of(table);
        let strange = strange.filter(|item| !known_upstreams.contains(item.text()));
        unknown.extend(strange.map(|item| (item.place, "upstream", item.text())));
    }
    for (n, (place, what, name)) in unknown.into_iter().enumerate() {
        let help = match what {
            // To look for the nearest of thousands of names, thousands of times, takes too long.
            _ if n >= MOST_PROPOSALS => "correct the name, as above".to_owned(),
            "listener" => did_you_mean(name, listeners.iter().map(|one| &*one.model.name)),
            _ => did_you_mean(name, upstreams.iter().map(|one| &*one.model.name)),
        };
        b.error(place, format!("unknown {what} `{name}`"), help);
    }
}

/// Reports upstreams without backends, unless all routes that name one say where to send by themselves.
fn bare_upstreams(b: &mut Build<'_>, routes: &[Sourced<'_, Route>], upstreams: &[Named<'_>]) {
    if !upstreams.iter().any(|one| one.bare) {
        return;
    }
    let leads = |route: &Route| route.sending.as_ref().is_some_and(|one| one.to.is_some());
    let (mut led, mut plain) = (AHashSet::new(), AHashSet::new());
    for Sourced { model, table } in routes {
        let names = upstreams_of(table).map(Item::text);
        if leads(model) { led.extend(names) } else { plain.extend(names) }
    }
    for Named { key, model, .. } in upstreams.iter().filter(|one| one.bare) {
        if plain.contains(&*model.name) || !led.contains(&*model.name) {
            let help = format!("add `[[upstream.{}.backend]]` with an `address`", key.name);
            b.error(key.place, format!("upstream `{}` has no backend", key.name), help);
        }
    }
}

/// Warns of listeners without a route and of upstreams that no route leads to.
fn unused(
    b: &mut Build<'_>,
    listeners: &[Sourced<'_, Listener>],
    routes: &[Sourced<'_, Route>],
    upstreams: &[Named<'_>],
) {
    let names = routes.iter().flat_map(|one| &one.model.listeners);
    let used: AHashSet<&str> = names.map(String::as_str).collect();
    let every_listener = routes.iter().any(|one| one.model.listeners.is_empty());
    for Sourced { model: listener, table } in listeners {
        if listener.tcp.is_none() && !every_listener && !used.contains(&*listener.name) {
            let message = format!("no route holds on listener `{}`", listener.name);
            b.warning(table.place_of("name"), message, "every request there is answered with 404");
        }
    }
    let names = routes.iter().flat_map(|one| upstreams_of(one.table));
    let passed = listeners.iter().flat_map(|one| listener_tcp::upstreams_of(one.table));
    let used: AHashSet<&str> = names.chain(passed).map(Item::text).collect();
    // Where a request's values say where to, any upstream may be meant.
    let leads = |one: &Sourced<'_, Route>| {
        one.model.sending.as_ref().is_some_and(|sending| sending.to.is_some())
    };
    if routes.iter().any(leads) {
        return;
    }
    for Named { key, model: upstream, .. } in upstreams {
        if !used.contains(&*upstream.name) {
            let message = format!("no route leads to upstream `{}`", upstream.name);
            b.warning(key.place, message, "add a route, or remove the upstream");
        }
    }
}

/// What a request must fit, but for its method.
#[derive(PartialEq, Eq, Hash, Clone, Copy)]
struct Match<'r> {
    /// `None` is every listener.
    listener: Option<&'r str>,
    host: Option<&'r HostMatch>,
    first: bool,
    path: (u8, &'r str, &'r str),
    /// What it asks of a request beside the method.
    conditions: &'r str,
}

/// The routes seen so far for one [`Match`].
#[derive(Default)]
struct Seen<'r> {
    /// The first without methods.
    without_methods: Option<&'r str>,
    /// The first of each method.
    methods: AHashMap<&'r str, &'r str>,
}

/// Warns of routes that can never be taken: for each of its hosts and listeners there are earlier
/// routes that match the same by the same conditions.
fn shadowed(b: &mut Build<'_>, routes: &[Sourced<'_, Route>]) {
    let conditions: Vec<String> = routes.iter().map(|one| condition_text(&one.model)).collect();
    let mut seen: AHashMap<Match<'_>, Seen<'_>> = AHashMap::new();
    for (Sourced { model: route, table }, conditions) in routes.iter().zip(&conditions) {
        let matches = matches(route, conditions);
        let by = |one: &Match<'_>| {
            let on_every_listener = Match { listener: None, ..*one };
            let earlier = seen.get(one).and_then(|seen| seen.covers(route));
            earlier.or_else(|| seen.get(&on_every_listener).and_then(|seen| seen.covers(route)))
        };
        let shadows: Option<Vec<&str>> = matches.iter().map(by).collect();
        if let Some(shadow) = shadows.and_then(|shadows| shadows.first().copied()) {
            let message = format!("route `{}` can never be taken", route.name);
            let help = format!("`{shadow}` before it matches the same; remove one of the two");
            b.warning(table.place, message, help);
        }
        if matches!(route.action, Action::Pass) {
            // What has the same rule is looked for behind it.
            continue;
        }
        for one in matches {
            let seen = seen.entry(one).or_default();
            if route.methods.is_empty() {
                seen.without_methods.get_or_insert(&route.name);
            }
            for method in &route.methods {
                seen.methods.entry(method).or_insert(&route.name);
            }
        }
    }
}

impl<'r> Seen<'r> {
    /// The name of an earlier route, if every request that fits `route` fits earlier ones. Routes
    /// with methods go before those without, so that only their like can stand in their way.
    fn covers(&self, route: &Route) -> Option<&'r str> {
        match &*route.methods {
            [] => self.without_methods,
            methods => {
                let names: Option<Vec<_>> =
                    methods.iter().map(|method| self.methods.get(&**method)).collect();
                names?.first().map(|name| **name)
            }
        }
    }
}

fn matches<'r>(route: &'r Route, conditions: &'r str) -> Vec<Match<'r>> {
    let path = match &route.path {
        PathMatch::Exact(path) => (0, &**path, ""),
        PathMatch::Regex(regex) => (1, "", regex.as_str()),
        PathMatch::RegexWithin(prefix, regex) => (1, &**prefix, regex.as_str()),
        PathMatch::Prefix(path) => (2 + u8::from(route.before_regex), &**path, ""),
        PathMatch::BytePrefix(path) => (4 + u8::from(route.before_regex), &**path, ""),
    };
    let first = route.first;
    let listeners: Vec<_> = match &*route.listeners {
        [] => vec![None],
        names => names.iter().map(|name| Some(&**name)).collect(),
    };
    let hosts: Vec<_> = match &*route.hosts {
        [] => vec![None],
        hosts => hosts.iter().map(Some).collect(),
    };
    let pairs =
        listeners.iter().flat_map(|listener| hosts.iter().map(move |host| (listener, host)));
    pairs
        .map(|(listener, host)| Match { listener: *listener, host: *host, first, path, conditions })
        .collect()
}

/// The conditions as a text that is equal for equal ones, whatever their order.
fn condition_text(route: &Route) -> String {
    let mut rules: Vec<String> = route
        .headers
        .iter()
        .map(|rule| match &rule.value {
            HeaderValueMatch::Present => format!("{} present", rule.name),
            HeaderValueMatch::Absent => format!("{} absent", rule.name),
            HeaderValueMatch::Exact(value) => format!("{} = {value:?}", rule.name),
            HeaderValueMatch::Regex(regex) => format!("{} ~ {:?}", rule.name, regex.as_str()),
        })
        .collect();
    rules.extend(route.when.iter().map(|condition| format!("{condition:?}")));
    rules.sort();
    rules.join("; ")
}
