//! Directives within `upstream`.

use super::{Contexts, MANY, Parameter, Part, Rule, missing, needless, row};
use crate::import::findings::Verdict;
use crate::import::{settings, upstream};

const UP: Contexts = Contexts::UPSTREAM;

pub(super) const UPSTREAM: Part = Part {
    title: "Upstreams",
    rows: &[
        row("upstream", Contexts::HTTP, (1, 1), Rule::Shape,
            "`[upstream.NAME]`, if a route leads to it."),
        row("ip_hash", UP, (0, 0), Rule::Upstream(upstream::ip_hash), "`strategy = \"ip_hash\"`, which places as nginx does."),
        row("least_conn", UP, (0, 0), Rule::Upstream(upstream::least_conn), "`strategy = \"least_connections\"`."),
        row("hash", UP, (1, 2), Rule::Upstream(upstream::hash),
            "`url_hash`, or `consistent_hash` with `consistent`, which place as nginx does; the key is a \
             text with `${variables}`."),
        row("random", UP, (0, 2), Rule::Upstream(upstream::random),
            "`strategy = \"random\"`; `two` is `choices = 2`, by least connections."),
        row("least_time", UP, (1, 2), Rule::Upstream(upstream::least_time),
            "`strategy = \"least_response_time\"`, which weighs recent answers more.").differs(),
        row("keepalive", UP, (1, 2), Rule::Upstream(upstream::keepalive),
            "`pool.max_idle`, where routes speak HTTP/1.1 and clear Connection, as nginx asks for. It \
             counts per worker and backend, nginx's per worker and upstream. Without it no connection is \
             kept."),
        row("resolver", Contexts::LEVELS.and(UP), (1, MANY), Rule::Route(settings::resolver),
            "The system's name servers are asked (`/etc/resolv.conf`); `valid=` is `dns.min_ttl` and \
             `dns.max_ttl`.").differs(),
        needless("resolver_timeout", Contexts::ANY, "The system's resolver has its own."),
        needless("zone", UP, "Workers share the state of backends anyhow."),
        missing("sticky", "There are no sticky sessions by a cookie of the balancer's own.",
            "use `consistent_hash` with `key = \"${cookie.NAME}\"` of a cookie that the application sets"),
        missing("queue", "Requests are not queued: when all backends are full the answer is 503.", ""),
        missing("ntlm", "Connections are not tied to clients.", ""),
        missing("health_check*", "Probes are not carried over.", "write `[upstream.NAME.health]`"),
        missing("state", "Backends come from the file and from DNS.", "write the backends into the file"),
        missing("check*", "Probes of this module are not carried over.", "write `[upstream.NAME.health]`"),
        missing("fair", "This module's strategy is not known.", "use `strategy = \"least_connections\"`"),
    ],
};

const fn parameter(
    name: &'static str,
    verdict: Verdict,
    doc: &'static str,
    instead: &'static str,
) -> Parameter {
    Parameter { name, verdict, doc, instead }
}

/// Parameters of `server` in an upstream.
pub(in crate::import) const SERVER: &[Parameter] = &[
    parameter("weight=", Verdict::Carried, "`weight`.", ""),
    parameter(
        "max_fails=",
        Verdict::Carried,
        "`passive.max_fails` of the upstream, one for all backends; 1 if not written. Of an upstream \
         with one address it has no effect.",
        "",
    ),
    parameter(
        "fail_timeout=",
        Verdict::Carried,
        "`passive.fail_timeout` of the upstream, one for all backends; 10 seconds if not written.",
        "",
    ),
    parameter("max_conns=", Verdict::Carried, "`max_connections`, over all workers.", ""),
    parameter("backup", Verdict::Carried, "`backup = true`.", ""),
    parameter("down", Verdict::Carried, "`state = \"disabled\"`.", ""),
    parameter("drain", Verdict::Carried, "`state = \"draining\"`.", ""),
    parameter("resolve", Verdict::Carried, "Names are always resolved again.", ""),
    parameter(
        "service=",
        Verdict::NotCarried,
        "Names are resolved to addresses (A, AAAA), not to services (SRV): the port must be written.",
        "write the port behind the name",
    ),
    parameter(
        "route=",
        Verdict::NotCarried,
        "There are no sticky routes.",
        "use `consistent_hash` on a cookie",
    ),
    parameter(
        "slow_start=",
        Verdict::NotCarried,
        "A backend that comes back gets its full share at once.",
        "",
    ),
];
