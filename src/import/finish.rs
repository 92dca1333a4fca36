//! What can only be said when all routes are known: listeners, fields that all routes set alike, and
//! upstreams with what most of their routes want of them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::{Client, over_http2};
use super::draft::{Action, Backend, Draft, HeaderEdit, Listener, Policy, Proxy, Route, Upstream};
use super::listen::At;
use super::scope::effective;
use super::settings::Settings;
use super::table::Rule;
use super::translate::{Site, Translator};
use super::tree::Directive;
use super::upstream::{Group, Server, is_name};
use super::used::Use;
use super::write::{quote, quoted_list};
use crate::config::{is_name as is_host_name, show_duration, show_size};

/// nginx's limit of client connections' requests, and of the number of fields in newer versions.
const MANY: u64 = 1000;
/// The largest weight, and the largest sum of weights on a ring.
const MOST_WEIGHT: u64 = 65_535;
const MOST_ON_RING: u64 = 100_000;

/// The listeners, in the order in which the files name them.
pub(super) fn listeners<'t>(
    t: &mut Translator<'t, '_>,
    http: &'t [Directive],
    sites: &[Site<'t>],
    defaults: &BTreeMap<At, usize>,
    routes: &[Route],
) -> Vec<Listener> {
    let body_limit = usual_body_limit(routes);
    let mut listeners: Vec<Listener> = Vec::new();
    for site in sites {
        for one in &site.listens {
            let address = one.address.to_string();
            if listeners.iter().any(|known| known.address == address) {
                continue;
            }
            let default =
                defaults.get(&one.address).map_or(site.block, |index| sites[*index].block);
            let client = client(t, &[http, default.inner()]);
            let mut settings = client_settings(&client);
            let first = defaults.get(&one.address).map_or("", |index| &*sites[*index].names.first);
            // Where a server is for requests without a host, they stay without.
            let nameless = |site: &Site<'_>| {
                site.listens.iter().any(|other| other.address == one.address)
                    && site.names.all.iter().any(String::is_empty)
            };
            if is_host_name(first) && !first.is_empty() && !sites.iter().any(nameless) {
                settings.push(("nginx.host", quote(first)));
            }
            let listens = sites.iter().flat_map(|site| &site.listens);
            if listens.filter(|other| other.address == one.address).any(|one| one.proxy_protocol) {
                settings.push(("proxy_protocol", "true".to_owned()));
                settings.push(("nginx.proxy_protocol_from_all", "true".to_owned()));
            }
            let mut same = sites
                .iter()
                .flat_map(|site| &site.listens)
                .filter(|other| other.address == one.address);
            let on = ("http2", "true".to_owned());
            match t.secured.get(&one.address) {
                Some(secured) => settings.extend(secured.iter().cloned()),
                None if same.any(|one| one.http2) || has_http2(http, default) => {
                    settings.push(on.clone());
                }
                None => {}
            }
            if settings.contains(&on) {
                settings.extend(over_http2(&client));
            }
            if body_limit > 0 {
                settings.push(("max_body", quote(&show_size(body_limit))));
            }
            listeners.push(Listener { at: one.at, address, settings });
        }
    }
    listeners
}

/// Whether the server of this block speaks HTTP/2 on all its ports.
fn has_http2(http: &[Directive], server: &Directive) -> bool {
    let mut all = server.inner().iter().chain(http);
    all.find(|d| d.name.text == "http2").is_some_and(|d| d.arg(0) == "on")
}

/// The limit that most routes have; of equals the largest, 0 (none) being more than any.
pub(super) fn usual_body_limit(routes: &[Route]) -> u64 {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for route in routes {
        *counts.entry(route.body_limit.min(1 << 40).wrapping_sub(1)).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(limit, count)| (*count, *limit));
    most.map_or(1 << 20, |(limit, _)| limit.wrapping_add(1))
}

/// What concerns the listener at these levels.
fn client<'t>(t: &mut Translator<'t, '_>, levels: &[&'t [Directive]]) -> Client {
    let mut s = Settings::default();
    for (d, row) in effective(levels) {
        if let Rule::Listener(setter) = row.rule {
            setter(&mut s, d, &mut t.findings);
        }
    }
    s.client
}

fn client_settings(client: &Client) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if !client.trusted.is_empty() {
        settings.push(("trusted_proxies", quoted_list(&client.trusted)));
        let field = client.real_ip_header.as_deref().unwrap_or("X-Real-IP");
        if !field.eq_ignore_ascii_case("X-Forwarded-For") {
            settings.push(("client_address", quote(field)));
        }
        if !client.real_ip_recursive {
            settings.push(("nginx.real_ip_recursive", "false".to_owned()));
        }
    }
    let second = Duration::from_secs;
    let idle = client.idle.unwrap_or(second(75));
    let times = [
        ("header_timeout", client.header.unwrap_or(second(60)), second(10)),
        ("body_timeout", client.body.unwrap_or(second(60)), second(60)),
        ("write_timeout", client.write.unwrap_or(second(60)), second(60)),
        ("idle_timeout", if idle.is_zero() { second(75) } else { idle }, second(75)),
    ];
    for (key, time, ours) in times {
        let time = time.clamp(Duration::from_millis(1), Duration::from_hours(24));
        if time != ours {
            settings.push((key, quote(&show_duration(time))));
        }
    }
    // nginx waits for ever for who sends a byte now and then.
    settings.push(("min_rate", "0".to_owned()));
    let requests = if idle.is_zero() { 1 } else { client.requests.unwrap_or(MANY) };
    settings.push(("max_requests", requests.min(u64::from(u32::MAX)).to_string()));
    if let Some(time) = client.keep_alive_field.filter(|time| time.as_secs() > 0) {
        settings.push(("nginx.keep_alive_field", quote(&show_duration(time))));
    }
    let lifetime = client.lifetime.unwrap_or(Duration::from_hours(1));
    let lifetime = lifetime.clamp(Duration::from_millis(1), Duration::from_hours(24));
    settings.push(("max_lifetime", quote(&show_duration(lifetime))));
    heads(client, &mut settings);
    settings
}

/// What request heads may be.
fn heads(client: &Client, settings: &mut Vec<(&'static str, String)>) {
    settings.push(("max_headers", MANY.to_string()));
    let (count, size) = client.buffers.unwrap_or((4, 8 << 10));
    let first = client.buffer.unwrap_or(1 << 10);
    let head = count.saturating_mul(size).saturating_add(first).clamp(1 << 10, 1 << 20);
    let target = size.clamp(64, head);
    for (key, size, ours) in [("max_head", head, 32 << 10), ("max_target", target, 8 << 10)] {
        if size != ours {
            settings.push((key, quote(&show_size(size))));
        }
    }
    settings.push(("nginx.max_field", quote(&show_size(target))));
    settings.push(("nginx.oversized_head_is_400", "true".to_owned()));
    settings.push(("nginx.refuse_repeated_fields", "true".to_owned()));
    if client.ignore_invalid != Some(false) {
        settings.push(("nginx.ignore_invalid_headers", "true".to_owned()));
        if client.underscores == Some(true) {
            settings.push(("nginx.underscores_in_headers", "true".to_owned()));
        }
    }
}

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
    if let Some(strategy) = group.strategy {
        settings.push(("strategy", quote(strategy)));
    }
    if group.two {
        settings.push(("choices", "2".to_owned()));
    }
    if let Some(key) = &group.key {
        settings.push(("key", quote(key)));
    }
    if one.grpc {
        settings.push(("protocol", quote(if one.tls.is_empty() { "h2c" } else { "h2" })));
    }
    settings.extend(group.sticky.iter().cloned());
    if let Some((depth, timeout)) = group.queue {
        settings.push(("queue.depth", depth.to_string()));
        settings.push(("queue.timeout", quote(&show_duration(timeout))));
    }
    let silent = one.grpc || proxies.iter().any(|proxy| proxy.keeps);
    let keeps = group.keepalive.is_some() && proxies.iter().any(|proxy| proxy.keeps);
    settings.extend(like_nginx(&group, alone, (!silent, one.grpc)));
    if silent && group.keepalive.is_none() && !one.grpc {
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
    if let Some(source) = proxies.iter().find_map(|proxy| proxy.source.as_ref()) {
        settings.push(("source", quote(source)));
    }
    settings.extend(one.tls);
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
        like.push("bare_answers = true");
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
