//! The listeners' part of a snapshot: routes, each built once and shared by its listeners.

use std::sync::Arc;

use ahash::AHashMap;

use crate::config::model as config;
use crate::model::UpstreamIx;
use crate::snapshot::{
    Action, Destination, Listener, ListenerTcp, ListenerTls, Route, RouteCaptures, RouteEntry,
    RouteTable, Snapshot, Split,
};
use crate::telemetry::{Registry, RouteSeries};
use crate::tls::Challenges;

use super::limits::{Limits, uses};
use super::secured;

/// The name under which requests that no route took are counted.
const UNROUTED: &str = "_none";

/// The name under which connections are counted that are passed through.
const PASSED: &str = "_tcp";

/// The upstreams by name: section, place in the snapshot, shared retry policy.
type Upstreams<'a> = AHashMap<&'a str, (&'a config::Upstream, UpstreamIx, Arc<config::Retry>)>;

/// Builds every listener with its routes.
pub(super) fn listeners(
    config: &config::Config,
    limits: &Limits<'_>,
    previous: Option<&Snapshot>,
    (registry, challenges): (&Registry, &Arc<Challenges>),
) -> Box<[Arc<Listener>]> {
    let upstreams: Upstreams<'_> = (0..)
        .zip(config.upstreams.values())
        .map(|(place, section)| {
            let retry = Arc::new(section.retry.clone());
            (section.name.as_str(), (section, UpstreamIx(place), retry))
        })
        .collect();
    let routes: Vec<_> =
        config.routes.iter().map(|section| Arc::new(route(section, &upstreams, limits))).collect();
    config
        .listeners
        .iter()
        .map(|section| {
            let tls = secured::tls(section, previous, registry, challenges);
            let tcp = section.tcp.as_ref().map(|tcp| {
                Box::new(passage(tcp, &upstreams, registry.route(&section.name, PASSED)))
            });
            let routes = (&*config.routes, &*routes);
            let challenges = section.answers_challenges.then(|| Arc::clone(challenges));
            Arc::new(Listener { challenges, ..listener(section, (tls, tcp), routes, registry) })
        })
        .collect()
}

/// `routes` are the built `sections`, in the same order.
fn listener(
    listener: &config::Listener,
    (tls, tcp): (Option<Arc<ListenerTls>>, Option<Box<ListenerTcp>>),
    (sections, routes): (&[config::Route], &[Arc<Route>]),
    registry: &Registry,
) -> Listener {
    let name = &listener.name;
    let (sections, routes): (Vec<_>, Vec<_>) = sections
        .iter()
        .zip(routes)
        .filter(|_| tcp.is_none())
        .filter(|(section, _)| section.listeners.is_empty() || section.listeners.contains(name))
        .enumerate()
        .map(|(place, (section, route))| {
            let series = registry.route(name, &route.name);
            let behind = section.first.then_some(place + 1);
            (section, RouteEntry { route: Arc::clone(route), behind, series })
        })
        .unzip();
    Listener {
        name: name.clone(),
        address: listener.address.clone(),
        tls,
        tcp,
        challenges: None,
        client: listener.client.clone(),
        forwarded: listener.forwarded.clone(),
        error_pages: listener.error_pages.clone(),
        table: RouteTable::build(&sections),
        routes: routes.into(),
        series: registry.listener(name),
        unrouted: registry.route(name, UNROUTED),
    }
}

/// Where connections go that are passed through.
fn passage(tcp: &config::Tcp, upstreams: &Upstreams<'_>, series: Arc<RouteSeries>) -> ListenerTcp {
    let destination = |name: &String| {
        // The configuration is checked: every name is an upstream's.
        let (section, upstream, retry) = &upstreams[name.as_str()];
        let (timeouts, retry) = (section.timeouts.clone(), Arc::clone(retry));
        Destination { upstream: *upstream, timeouts, retry }
    };
    let asked = tcp.asked.iter().map(|one| (one.clone(), destination(&one.upstream)));
    let route = Arc::new(Route {
        name: PASSED.to_owned(),
        before: None,
        action: Action::Pass,
        after: None,
        prefix: String::new(),
        captures: None,
        access: None,
        request_headers: Box::default(),
        response_headers: Box::default(),
        response: None,
        request_buffering: None,
        max_body_bytes: None,
        limits: None,
        sending: None,
        trace_sample: None,
        logs: true,
        more_logs: None,
        ignore_client_abort: false,
        upgrades: Box::default(),
    });
    let entry = RouteEntry { route, behind: None, series };
    let otherwise = tcp.upstream.as_ref().map(destination);
    ListenerTcp::new(entry, otherwise, asked, tcp.idle_timeout)
}

fn route(section: &config::Route, upstreams: &Upstreams<'_>, limits: &Limits<'_>) -> Route {
    let action = match &section.action {
        config::Action::Proxy(proxy) => Action::Proxy {
            split: Split::new(
                proxy
                    .split
                    .iter()
                    .map(|share| (destination(section, share, upstreams), share.weight.value()))
                    .collect(),
            ),
            rewrite: proxy.rewrite.clone(),
            host: proxy.host.clone(),
        },
        config::Action::Redirect(redirect) => Action::Redirect(redirect.clone()),
        config::Action::Respond(respond) => Action::Respond(respond.clone()),
        config::Action::GoTo(target) => Action::GoTo(target.clone()),
        config::Action::Close => Action::Close,
        config::Action::Pass => Action::Pass,
    };
    let prefix = match &section.path {
        config::PathMatch::Prefix(prefix)
        | config::PathMatch::BytePrefix(prefix)
        | config::PathMatch::RegexWithin(prefix, _)
        | config::PathMatch::Exact(prefix) => prefix.clone(),
        config::PathMatch::Regex(_) => String::new(),
    };
    Route {
        name: section.name.clone(),
        before: section.before.clone().map(Box::new),
        action,
        after: section.after.clone().map(Box::new),
        prefix,
        sending: section.sending.clone(),
        captures: RouteCaptures::of(section).map(Box::new),
        access: section.access.clone(),
        request_headers: section.request_headers.clone().into(),
        response_headers: section.response_headers.clone().into(),
        response: section.response.clone(),
        request_buffering: section.request_buffering.clone(),
        max_body_bytes: section.max_body_bytes,
        limits: uses(section, limits),
        trace_sample: section.trace_sample,
        logs: section.logs,
        more_logs: Some(section.more_logs.clone().into_boxed_slice())
            .filter(|logs| !logs.is_empty()),
        ignore_client_abort: section.ignore_client_abort,
        upgrades: section.upgrades.clone().into(),
    }
}

/// The route's own settings go before the upstream's.
fn destination(
    route: &config::Route,
    share: &config::Share,
    upstreams: &Upstreams<'_>,
) -> Destination {
    // The configuration is checked: every name in a split is an upstream's.
    let (section, upstream, retry) = &upstreams[share.upstream.as_str()];
    let (own, theirs) = (&route.timeouts, &section.timeouts);
    Destination {
        upstream: *upstream,
        timeouts: config::Timeouts {
            connect: own.connect.unwrap_or(theirs.connect),
            read: own.read.unwrap_or(theirs.read),
            write: own.write.unwrap_or(theirs.write),
            total: own.total.or(theirs.total),
            client: own.client.as_ref().or(theirs.client.as_ref()).cloned(),
        },
        retry: match &route.retry {
            Some(own) => Arc::new(own.clone()),
            None => Arc::clone(retry),
        },
    }
}
