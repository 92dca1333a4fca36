//! What can only be said when all routes are known: fields that all routes set alike, and upstreams with what most of their routes want of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::draft::{
    Action, Backend, Draft, HeaderEdit, Listener, Policy, Proxy, Route, Setting, Upstream,
};
use super::listeners::MANY;
use super::translate::Translator;
use super::upstream::{Group, Server, is_name};
use super::used::Use;
use super::write::quote;
use crate::config::show_duration;

/// The largest weight, and the largest sum of weights on a ring.
const MOST_WEIGHT: u64 = 65_535;
const MOST_ON_RING: u64 = 100_000;

fn proxies(routes: &mut [Route]) -> impl Iterator<Item = &mut Proxy> {
    routes.iter_mut().filter_map(|route| match &mut route.action {
        Action::Proxy(proxy) => Some(&mut **proxy),
        _ => None,
    })
}

/// nginx adds no field of its own accord: listeners say so, unless all routes ask for the same.
pub(super) fn fields(draft: &mut Draft) {
    let mut count = 0;
    let (mut appending, mut real) = (0, 0);
    for proxy in proxies(&mut draft.routes) {
        count += 1;
        appending += usize::from(proxy.appends);
        real += usize::from(proxy.real_ip);
    }
    if count == 0 {
        return;
    }
    // Behind trusted proxies nginx appends the client's address, a listener the proxy's.
    let trusting =
        |listener: &Listener| listener.settings.iter().any(|(key, _)| *key == "trusted_proxies");
    let all_append = appending == count && !draft.listeners.iter().any(trusting);
    let all_real = real == count;
    for listener in &mut draft.listeners {
        let x_forwarded = if all_append {
            r#"{ for = "append", proto = "off", host = "off" }"#.to_owned()
        } else {
            quote("off")
        };
        listener.settings.push(("x_forwarded", x_forwarded));
        listener.settings.push(("forwarded", quote("off")));
        listener.settings.push(("request_id", quote("off")));
        if !all_real {
            listener.settings.push(("x_real_ip", "false".to_owned()));
        }
    }
    for proxy in proxies(&mut draft.routes) {
        if proxy.real_ip && !all_real {
            proxy.headers.push(HeaderEdit::Set("X-Real-IP".into(), "${client_ip}".into()));
        }
        if proxy.appends && !all_append {
            proxy
                .headers
                .push(HeaderEdit::Set("X-Forwarded-For".into(), "${forwarded_for}".into()));
        }
    }
}

/// The upstreams, in the order of their use; those without a route are left out by the writer.
pub(super) fn upstreams(t: &mut Translator<'_, '_>, routes: &[Route]) -> Vec<Upstream> {
    let uses = std::mem::take(&mut t.uses);
    let mut made = Vec::with_capacity(uses.len());
    for (index, one) in uses.into_iter().enumerate() {
        let proxies: Vec<&Proxy> = routes
            .iter()
            .filter_map(|route| match &route.action {
                Action::Proxy(proxy) => Some(&**proxy),
                _ => None,
            })
            .filter(|proxy| {
                proxy.split.iter().any(|(to, _)| *to == index) || (one.named && proxy.by_request)
            })
            .collect();
        made.push(upstream(t, one, &proxies));
    }
    made
}

fn upstream(t: &mut Translator<'_, '_>, one: Use, proxies: &[&Proxy]) -> Upstream {
    let mut group = one.group;
    let mut policy = usual_policy(proxies);
    let up = group.servers.iter().filter(|server| server.backend.state != Some("disabled")).count();
    let names = group.servers.iter().any(|server| is_name(&server.backend.address));
    let alone = group.is_alone();
    // A name may stand for any number of addresses.
    let by_request = group.servers.is_empty();
    let most_tries = (!names && !by_request).then_some(up.max(1) as u32);
    if alone {
        policy.tries = 0;
    }
    let mut settings = Vec::new();
    settings.extend(strategy(&group));
    let http2 = one.grpc || one.met.http2;
    if http2 {
        settings.push(("protocol", quote(if one.met.tls.is_empty() { "h2c" } else { "h2" })));
    }
    settings.extend(group.sticky.iter().cloned());
    if let Some((depth, timeout)) = group.queue {
        settings.push(("queue.depth", depth.to_string()));
        settings.push(("queue.timeout", quote(&show_duration(timeout))));
    }
    if let Some(time) = slow_start(t, &group, alone) {
        settings.push(("slow_start", quote(&show_duration(time))));
    }
    let silent = http2 || proxies.iter().any(|proxy| proxy.keeps);
    let keeps = group.keepalive.is_some() && proxies.iter().any(|proxy| proxy.keeps);
    settings.extend(like_nginx(&group, alone, (!silent, http2)));
    if silent && group.keepalive.is_none() && !http2 {
        settings.push(("pool.max_idle", "0".to_owned()));
    }
    if keeps {
        pool(&mut settings, &group);
    }
    if !alone && !by_request {
        passive(&mut settings, &mut group);
    }
    if names || by_request {
        settings.extend(group.asked.clone().unwrap_or_default().settings(group.resolves));
    }
    settings.extend(one.met.source.iter().cloned());
    settings.extend(one.met.tls);
    Upstream {
        at: one.at,
        name: plain_name(&one.name),
        settings,
        backends: weighed(t, &group),
        policy,
        most_tries,
        alone,
        used: !proxies.is_empty(),
    }
}

/// How a server of a group is picked. Of several directives the last one counts.
pub(super) fn strategy(group: &Group) -> Vec<Setting> {
    let Some(strategy) = group.strategy else { return Vec::new() };
    let mut settings = vec![("strategy", quote(strategy))];
    match (strategy, &group.key) {
        ("random", _) if group.two => {
            settings.push(("choices", "2".to_owned()));
            if group.by_time {
                settings.push(("compare", quote("time")));
            }
        }
        ("url_hash" | "consistent_hash", Some(key)) => settings.push(("key", quote(key))),
        _ => {}
    }
    if group.whole_time {
        settings.push(("measure", quote("last_byte")));
    }
    settings
}

/// How long servers of a group that are back take to get their whole weight, where that can be said.
fn slow_start(t: &mut Translator<'_, '_>, group: &Group, alone: bool) -> Option<Duration> {
    let slow = || group.servers.iter().filter(|server| !server.slow_start.is_zero());
    let longest = slow().map(|server| server.slow_start).max()?;
    let same =
        slow().count() == group.servers.len() && slow().all(|server| server.slow_start == longest);
    let takes = matches!(group.strategy, None | Some("least_connections" | "random"));
    for server in slow() {
        if alone || !takes {
            let why =
                "`slow_start` does nothing for one server, or beside a strategy that moves clients";
            t.findings.differs_at(server.id, why);
        } else if !same {
            t.findings.differs_at(server.id, "all servers start as slowly as the slowest");
        }
    }
    (takes && !alone).then(|| longest.clamp(Duration::from_millis(1), Duration::from_hours(24)))
}

/// A name that may be an upstream's.
pub(super) fn plain_name(name: &str) -> String {
    let fits = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
    let plain: String = name.chars().map(|c| if fits(c) { c } else { '-' }).take(120).collect();
    if plain.is_empty() { "upstream".to_owned() } else { plain }
}

/// The policy that most routes want; of equals the first.
fn usual_policy(proxies: &[&Proxy]) -> Policy {
    let count = |one: &Proxy| proxies.iter().filter(|other| other.policy == one.policy).count();
    let most = proxies.iter().map(|one| count(one)).max().unwrap_or_default();
    let usual = proxies.iter().find(|one| count(one) == most);
    usual.map_or_else(default_policy, |proxy| proxy.policy.clone())
}

pub(super) fn default_policy() -> Policy {
    let minute = Duration::from_mins(1);
    Policy {
        connect: minute,
        read: minute,
        write: minute,
        tries: 0,
        timeout: None,
        reset: true,
        timed_out: true,
        invalid: false,
        statuses: Vec::new(),
        non_idempotent: false,
        streams: false,
    }
}

fn pool(settings: &mut Vec<(&'static str, String)>, group: &Group) {
    let idle = group.keepalive.map_or(0, |(idle, _)| idle);
    if idle > 64 {
        settings.push(("pool.max_idle", idle.to_string()));
    }
    settings.push(("pool.max_idle_total", idle.to_string()));
    let within = |time: Duration| time.clamp(Duration::from_secs(1), Duration::from_hours(30 * 24));
    if let Some(time) = group.idle.map(within).filter(|time| *time != Duration::from_mins(1)) {
        settings.push(("pool.idle_timeout", quote(&show_duration(time))));
    }
    if let Some(time) = group.lifetime.map(within).filter(|time| *time != Duration::from_hours(1)) {
        settings.push(("pool.max_lifetime", quote(&show_duration(time))));
    }
    let requests = group.requests.unwrap_or(MANY).min(u64::from(u32::MAX));
    settings.push(("pool.max_requests", requests.to_string()));
}

/// `max_fails` and `fail_timeout` of most servers; the others have their own.
pub(super) fn passive(settings: &mut Vec<(&'static str, String)>, group: &mut Group) {
    let of = |server: &Server| {
        let time = server.fail_timeout.clamp(Duration::from_millis(1), Duration::from_hours(24));
        (server.max_fails.min(1_000_000), time)
    };
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    for server in &group.servers {
        *counts.entry(of(server)).or_default() += 1;
    }
    let most = counts.values().max().copied().unwrap_or_default();
    let usual = group.servers.iter().map(of).find(|one| counts.get(one) == Some(&most));
    let (max_fails, fail_timeout) = usual.unwrap_or((1, Duration::from_secs(10)));
    for server in &mut group.servers {
        let (own_fails, own_time) = of(server);
        server.backend.max_fails = Some(own_fails).filter(|own| *own != max_fails);
        server.backend.fail_timeout = Some(own_time).filter(|own| *own != fail_timeout);
    }
    if max_fails != 5 {
        settings.push(("passive.max_fails", max_fails.to_string()));
    }
    if fail_timeout != Duration::from_secs(10) {
        settings.push(("passive.fail_timeout", quote(&show_duration(fail_timeout))));
    }
}

/// What is done as nginx does it.
pub(super) fn like_nginx(
    group: &Group,
    alone: bool,
    (closes, grpc): (bool, bool),
) -> Vec<(&'static str, String)> {
    let mut like = Vec::new();
    let limited =
        |server: &Server| server.backend.max_connections > 0 || server.backend.state.is_some();
    if group.servers.is_empty() {
        like.push("turns = true");
    } else if !alone {
        like.extend(["failures = true", "turns = true"]);
    }
    if !alone || group.servers.iter().any(limited) {
        like.push("none_eligible = 502");
    }
    if group.resolves {
        like.push("empty_answer = true");
    }
    if !grpc {
        like.extend(["bare_answers = true", "chunked_http10 = true"]);
    }
    if closes {
        like.push("connection_close = true");
    }
    match &*like {
        [] => Vec::new(),
        some => vec![("nginx", format!("{{ {} }}", some.join(", ")))],
    }
}

/// The backends, with weights that may stand in the file.
pub(super) fn weighed(t: &mut Translator<'_, '_>, group: &Group) -> Vec<Backend> {
    let mut backends: Vec<Backend> =
        group.servers.iter().map(|server| server.backend.clone()).collect();
    let largest = backends.iter().map(|one| one.weight).max().unwrap_or(1);
    let sum = backends.iter().fold(0_u64, |sum, one| sum.saturating_add(one.weight));
    let most = if group.strategy == Some("consistent_hash") { MOST_ON_RING } else { u64::MAX };
    let divisor = largest.div_ceil(MOST_WEIGHT).max(sum.div_ceil(most / 2));
    if largest > MOST_WEIGHT || sum > most {
        for (backend, server) in backends.iter_mut().zip(&group.servers) {
            backend.weight = (backend.weight / divisor).max(1);
            let note = format!("weights are divided by {divisor}: they were too large");
            t.findings.differs_at(server.id, &note);
        }
    }
    for backend in &mut backends {
        backend.max_connections = backend.max_connections.min(u64::from(u32::MAX));
    }
    backends
}
