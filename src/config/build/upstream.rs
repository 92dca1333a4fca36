//! Upstreams and their backends.

use std::sync::Arc;

use ahash::AHashMap;

use super::action::weight;
use super::dns::dns;
use super::template::template;
use super::upstream_queue::queue;
use super::upstream_sticky::sticky;
use super::{
    Build, address, check, field, upstream_balance, upstream_ejection, upstream_file,
    upstream_load, upstream_policy, upstream_source, upstream_tls,
};
use crate::balance::Strategy;
use crate::config::faults::Place;
use crate::config::model::{
    Backend, BackendAddress, Check, Hung, Passive, Pool, Probe, Process, Protocol, ProxyVersion,
    Resolver, Retry, RetryOn, Source, Template, Timeouts, Upstream, UpstreamNginx,
    WhenNoneEligible,
};
use crate::config::tree::{Key, Table};
use crate::model::AdminState;

pub(super) fn upstream(
    b: &mut Build<'_>,
    key: &Key,
    table: &Table,
    (process, resolver): (&Process, &Arc<Resolver>),
) -> Upstream {
    let strategy = Strategy::ALL.into_iter().find(|one| one.name() == table.text("strategy"));
    let strategy = strategy.unwrap_or_default();
    upstream_balance::inputs(b, table, strategy);
    let nginx = nginx(table.section("nginx"));
    let passive = passive(b, table.section("passive"), nginx);
    let backends = backends(b, key, table, (strategy, &passive));
    let send_proxy = send_proxy(table);
    let checks = check::checks(b, table, &backends);
    let checks = checks.into_iter().map(|one| Check { send_proxy, ..one }).collect();
    let protocol = match table.text("protocol") {
        "h2c" | "h2" => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let tls_name = upstream_tls::name(b, table);
    let (source, transparent) = upstream_source::source(b, table);
    let for_one = transparent && matches!(source, Some(Source::Of(_)));
    let upstream = Upstream {
        name: field::name(b, key.place, &key.name),
        strategy,
        choices: table.integer("choices").unwrap_or(1),
        by_time: table.text("compare") == "time",
        measures_whole: table.text("measure") == "last_byte",
        key: template(b, table.place_of("key"), table.text("key")),
        bounded_load: table.float("bounded_load"),
        table_size: upstream_balance::table_size(b, table),
        hot_quantile: table.float("hot_quantile").unwrap_or_default(),
        subset: upstream_balance::subset(b, table, process),
        protocol,
        adaptive: upstream_load::adaptive(b, table),
        admission: upstream_load::admission(b, table, nginx),
        hedge: upstream_load::hedge(b, table, nginx),
        max_in_flight: table.integer("max_in_flight").unwrap_or_default(),
        queue: queue(b, table, &backends),
        pool: pool(
            table.section("pool"),
            nginx.connection_close || send_proxy.is_some() || tls_name.is_some() || for_one,
        ),
        timeouts: timeouts(b, table.section("timeouts")),
        retry: retry(table.section("retry")),
        passive,
        ejection: upstream_ejection::ejection(b, table, nginx),
        checks,
        flap: check::flap(b, table.section("flap")),
        slow_start: upstream_balance::slow_start(b, table, strategy),
        when_none_eligible: match table.text("when_none_eligible") {
            "reject" => WhenNoneEligible::Reject,
            _ => WhenNoneEligible::FailOpen,
        },
        dns: dns(b, table.section("dns"), resolver, nginx.empty_answer),
        panic: upstream_policy::panic(b, table),
        breaker: upstream_policy::breaker(b, table, nginx),
        failover: upstream_policy::failover(b, table, &backends),
        load: table.table("failover").and_then(|table| table.integer("load")),
        sticky: table.table("sticky").map(|table| sticky(b, table)),
        source,
        transparent,
        tls: upstream_tls::tls(b, table, &backends),
        tls_name,
        own_files: upstream_tls::own_files(b, table).map(Arc::new),
        send_proxy,
        nginx,
        backends,
    };
    check_probe(b, table, &upstream);
    check_retry_after(b, table, &upstream);
    check_send_proxy(b, table, &upstream);
    check_nginx(b, table, &upstream);
    upstream_balance::check_ring(b, key, &upstream);
    upstream
}

fn send_proxy(table: &Table) -> Option<ProxyVersion> {
    match table.text("send_proxy") {
        "v1" => Some(ProxyVersion::V1),
        "v2" => Some(ProxyVersion::V2),
        _ => None,
    }
}

/// Refuses a header for one client on connections that serve many.
fn check_send_proxy(b: &mut Build<'_>, table: &Table, upstream: &Upstream) {
    if upstream.send_proxy.is_none() {
        return;
    }
    if upstream.protocol == Protocol::Http2 {
        let message = "an HTTP/2 connection serves many clients, and `send_proxy` tells of one";
        let help =
            "leave `protocol` out, or `send_proxy`: `X-Forwarded-For` tells who the client is";
        b.error(table.place_of("send_proxy"), message, help);
    }
    for key in ["max_idle", "max_idle_total"] {
        if let Some((at, _)) = table.section("pool").written(key) {
            let message =
                format!("with `send_proxy` no connection is kept, and `{key}` has no effect");
            b.warning(at, message, "leave it out");
        }
    }
}

/// Refuses ways of reading HTTP/1 where HTTP/2 is spoken.
fn check_nginx(b: &mut Build<'_>, table: &Table, upstream: &Upstream) {
    let nginx = table.section("nginx");
    for key in ["bare_answers", "chunked_http10"] {
        if let Some((at, _)) = nginx.written(key)
            && nginx.bool(key)
            && upstream.protocol == Protocol::Http2
        {
            let message = format!("`{key}` is about HTTP/1, and these backends speak HTTP/2");
            b.error(at, message, "leave it out");
        }
    }
}

/// Refuses to leave backends alone that ask for it where only nginx's count parks anybody.
fn check_retry_after(b: &mut Build<'_>, table: &Table, upstream: &Upstream) {
    if upstream.nginx.failures && upstream.passive.retry_after.is_some() {
        let at = table.section("passive").place_of("retry_after");
        let message = "with `nginx.failures`, `Retry-After` of backends is not looked at";
        b.error(at, message, "leave one of the two out");
    }
}

/// Refuses a probe that asks in another protocol than the one the backends are said to speak.
fn check_probe(b: &mut Build<'_>, table: &Table, upstream: &Upstream) {
    for check in &upstream.checks {
        let (message, help) = match (&check.probe, upstream.protocol) {
            (Probe::Http(_), Protocol::Http2) => (
                "an HTTP probe speaks HTTP/1.1, which a backend of HTTP/2 need not",
                "write `type = \"grpc\"` or `type = \"tcp\"`",
            ),
            (Probe::Grpc(_), Protocol::Http1) if upstream.tls.is_some() => (
                "gRPC within TLS is spoken by backends of `h2`",
                "write `protocol = \"h2\"`, or another `type` of check",
            ),
            _ => continue,
        };
        b.error(table.place_of("protocol"), format!("check `{}`: {message}", check.name), help);
    }
}

fn backends(
    b: &mut Build<'_>,
    key: &Key,
    table: &Table,
    (strategy, passive): (Strategy, &Passive),
) -> Vec<Backend> {
    let mut places: AHashMap<String, Place> = AHashMap::new();
    let mut backends = Vec::new();
    let file = upstream_file::backends(b, table);
    let filed = file.iter().flat_map(|file| file.tables("backend"));
    for one in table.tables("backend").chain(filed) {
        let Some((_, item)) = one.written("address") else {
            continue;
        };
        let address = match address::backend(item.text()) {
            Ok(address) => address,
            Err((message, help)) => {
                b.error(item.place, message, help);
                continue;
            }
        };
        let service = check_service_name(b, one, item.text(), &address);
        let name = one.written("name").map(|(_, item)| field::name(b, item.place, item.text()));
        let identity = match (&name, &service) {
            (Some(name), _) => name.clone(),
            (None, Some(service)) => format!("{service}.{address}").to_ascii_lowercase(),
            (None, None) => address.to_string().to_ascii_lowercase(),
        };
        if let Some(first) = places.get(&identity) {
            let first = b.faults.locate(*first);
            let help =
                format!("first at {first}; give it a larger `weight`, or a `name` of its own");
            let what = name.clone().unwrap_or_else(|| address.to_string());
            b.error(item.place, format!("`{what}` is a backend of `{}` twice", key.name), help);
        } else {
            places.insert(identity, item.place);
        }
        if strategy == Strategy::RoundRobin
            && let Some((at, _)) = one.written("weight").filter(|_| weight(one).value() != 1)
        {
            let help = "use `strategy = \"weighted_round_robin\"`";
            b.warning(at, "`round_robin` takes no account of weights", help);
        }
        check_route(b, one);
        let tier = upstream_policy::tier(b, one);
        let [zone, region] = ["zone", "region"].map(|key| upstream_policy::locality(b, one, key));
        let own = Backend { name, tier, zone, region, service, ..backend(one, address, passive) };
        backends.push(own);
    }
    check_service(b, key, &backends);
    backends
}

fn backend(table: &Table, address: BackendAddress, passive: &Passive) -> Backend {
    Backend {
        name: None,
        address,
        weight: weight(table),
        tier: None,
        zone: None,
        region: None,
        state: match table.text("state") {
            "draining" => AdminState::Draining,
            "disabled" => AdminState::Disabled,
            _ => AdminState::Enabled,
        },
        max_connections: table.integer("max_connections").unwrap_or_default(),
        capacity: table.integer("capacity"),
        max_fails: table.integer("max_fails").unwrap_or(passive.max_fails),
        fail_timeout: table.duration("fail_timeout").unwrap_or(passive.fail_timeout),
        service: None,
        route: table.written("route").map(|(_, item)| item.text().to_owned()),
    }
}

/// Whether anything could serve.
fn check_service(b: &mut Build<'_>, key: &Key, backends: &[Backend]) {
    let enabled = || backends.iter().filter(|one| one.state == AdminState::Enabled);
    if backends.is_empty() {
        // None was written, which `whole` looks at, or all were refused, which is reported.
    } else if enabled().next().is_none() {
        let message = format!("no backend of upstream `{}` is enabled", key.name);
        b.warning(key.place, message, "every request will be answered with 503");
    } else if enabled().all(|one| one.tier == Some(1)) {
        let message = format!("every enabled backend of upstream `{}` is a backup", key.name);
        b.warning(key.place, message, "leave `backup` out of those that shall serve normally");
    }
}

fn pool(table: &Table, keeps_none: bool) -> Pool {
    let max_idle = table.integer("max_idle").unwrap_or_default();
    Pool {
        max_idle: if keeps_none { 0 } else { max_idle },
        max_idle_total: table.integer("max_idle_total"),
        idle_timeout: table.duration("idle_timeout").unwrap_or_default(),
        max_lifetime: table.duration("max_lifetime").unwrap_or_default(),
        max_requests: table.integer("max_requests").unwrap_or_default(),
    }
}

/// What tells how long a client waits, in the time-outs of an upstream or a route.
pub(super) fn client_time(b: &mut Build<'_>, table: &Table) -> Option<Template> {
    let (_, item) = table.written("client")?;
    Some(template(b, item.place, item.text()))
}

fn timeouts(b: &mut Build<'_>, table: &Table) -> Timeouts {
    Timeouts {
        connect: table.duration("connect").unwrap_or_default(),
        read: table.duration("read").unwrap_or_default(),
        write: table.duration("write").unwrap_or_default(),
        total: table.duration("total"),
        client: client_time(b, table),
    }
}

/// A retry policy, of an upstream or a route.
pub(super) fn retry(table: &Table) -> Retry {
    let on = |word| table.list("on").iter().any(|item| item.text() == word);
    Retry {
        tries: table.integer("tries").unwrap_or(1),
        timeout: table.duration("timeout"),
        budget: table.integer("budget").unwrap_or_default(),
        budget_min: table.integer("budget_min").unwrap_or_default(),
        backoff: table.duration("backoff"),
        on: RetryOn {
            reset: on("reset"),
            timeout: on("timeout"),
            invalid_response: on("invalid_response"),
        },
        unsent_always: table.text("unsent") == "always",
        statuses: table.integers("statuses"),
        non_idempotent: table.bool("non_idempotent"),
        replay_bytes: table.size("replay_body").unwrap_or_default() as usize,
    }
}

fn passive(b: &mut Build<'_>, table: &Table, nginx: UpstreamNginx) -> Passive {
    Passive {
        max_fails: table.integer("max_fails").unwrap_or_default(),
        fail_timeout: table.duration("fail_timeout").unwrap_or_default(),
        max_pause: table.duration("max_pause").unwrap_or_default(),
        trials: table.integer("trials").unwrap_or(1),
        retry_after: table.duration("retry_after"),
        statuses: table.integers("statuses"),
        hung: hung(b, table, nginx),
    }
}

/// When a backend is taken for hung, unless only nginx's count parks anybody.
fn hung(b: &mut Build<'_>, table: &Table, nginx: UpstreamNginx) -> Option<Hung> {
    let written = ["hung_factor", "hung_time", "hung_requests"].map(|key| table.written(key));
    let factor = table.integer("hung_factor").unwrap_or_default();
    if let Some((at, _)) = written.into_iter().flatten().next()
        && nginx.failures
        && factor > 0
    {
        let message = "with `nginx.failures`, nobody is taken for hung";
        b.error(at, message, "leave one of the two out");
    }
    (factor > 0 && !nginx.failures).then(|| Hung {
        factor,
        least: table.duration("hung_time").unwrap_or_default(),
        requests: table.integer("hung_requests").unwrap_or(1),
    })
}

/// The service of a backend, if its address is a name and no port.
fn check_service_name(
    b: &mut Build<'_>,
    table: &Table,
    written: &str,
    address: &BackendAddress,
) -> Option<String> {
    let (_, item) = table.written("service")?;
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if item.text().is_empty() || !item.text().chars().all(good) {
        let message = format!("`{}` is no name of a service", item.text());
        b.error(item.place, message, "write it like `http`, or `_http._tcp`");
    } else if !matches!(address, BackendAddress::Name(..)) {
        b.error(item.place, "only a name has services", "write a name as `address`");
    } else if written.contains(':') {
        let help = "leave the port out of `address`";
        b.error(item.place, "the port of a service comes with the answer", help);
    }
    Some(item.text().to_owned())
}

/// Refuses a route that could not stand in a cookie (RFC 6265 §4.1.1).
fn check_route(b: &mut Build<'_>, table: &Table) {
    let fits = |c: char| c.is_ascii_graphic() && !['"', ',', ';', '\\'].contains(&c);
    if let Some((_, item)) = table.written("route")
        && (item.text().is_empty() || !item.text().chars().all(fits))
    {
        let message = format!("`{}` cannot be the value of a cookie", item.text());
        b.error(item.place, message, "use letters, digits, `-` and `_`");
    }
}

fn nginx(table: &Table) -> UpstreamNginx {
    UpstreamNginx {
        failures: table.bool("failures"),
        turns: table.bool("turns"),
        empty_answer: table.bool("empty_answer"),
        none_eligible: table.integer("none_eligible").unwrap_or(503),
        bare_answers: table.bool("bare_answers"),
        chunked_http10: table.bool("chunked_http10"),
        connection_close: table.bool("connection_close"),
    }
}
