//! Directives within `upstream`.

use super::{Contexts, MANY, Parameter, Part, Rule, missing, needless, row};
use crate::import::findings::Verdict;
use crate::import::{resolver, sticky, upstream};

const UP: Contexts = Contexts::UPSTREAM;

pub(super) const UPSTREAM: Part = Part {
    title: "Upstreams",
    rows: &[
        row(
            "upstream",
            Contexts::HTTP,
            (1, 1),
            Rule::Shape,
            "`[upstream.NAME]`, if a route leads to it.",
        ),
        row(
            "ip_hash",
            UP,
            (0, 0),
            Rule::Upstream(upstream::ip_hash),
            "`strategy = \"ip_hash\"`, which places as nginx does.",
        ),
        row(
            "least_conn",
            UP,
            (0, 0),
            Rule::Upstream(upstream::least_conn),
            "`strategy = \"least_connections\"`.",
        ),
        row(
            "hash",
            UP,
            (1, 2),
            Rule::Upstream(upstream::hash),
            "`url_hash`, or `consistent_hash` with `consistent`, which place as nginx does; the key is a \
             text with `${variables}`.",
        ),
        row(
            "random",
            UP,
            (0, 2),
            Rule::Upstream(upstream::random),
            "`strategy = \"random\"`; `two` is `choices = 2`, by least connections, or with `least_time` by `compare` and `measure`.",
        ),
        row(
            "least_time",
            UP,
            (1, 2),
            Rule::Upstream(upstream::least_time),
            "`strategy = \"least_response_time\"`: the time to the response's head, or with `last_byte` by \
             `measure` to its end, in which recent answers weigh more, times the requests under way.",
        )
        .differs(),
        row(
            "keepalive",
            UP,
            (1, 2),
            Rule::Upstream(upstream::keepalive),
            "`pool.max_idle_total`, where routes speak HTTP/1.1 and clear Connection, as nginx asks for. \
             Without it no connection is kept (`nginx.connection_close`).",
        ),
        row(
            "resolver",
            Contexts::LEVELS.and(UP),
            (1, MANY),
            Rule::Route(resolver::resolver),
            "`dns.servers` of upstreams whose names are resolved while nginx runs; `valid=` is \
             `dns.min_ttl` and `dns.max_ttl`, `ipv4=off` and `ipv6=off` are `dns.addresses`.",
        ),
        row(
            "resolver_timeout",
            Contexts::LEVELS.and(UP),
            (1, 1),
            Rule::Route(resolver::timeout),
            "`dns.timeout`.",
        ),
        needless(
            "zone",
            UP,
            "Workers share failures and requests under way anyhow; turns are each one's own.",
        ),
        row(
            "sticky",
            UP,
            (1, MANY),
            Rule::Upstream(sticky::sticky),
            "`sticky` of the upstream, by `cookie`, by `route`, or by `learn`; \
             the cookie's value is that of nginx.",
        ),
        row(
            "queue",
            UP,
            (1, 2),
            Rule::Upstream(upstream::queue),
            "`queue` of the upstream; whoever waits in vain gets 502 (`none_eligible` of `[upstream.nginx]`).",
        ),
        missing("ntlm", "Connections are not tied to clients.", ""),
        missing("health_check*", "Probes are not carried over.", "write `[upstream.NAME.health]`"),
        missing(
            "state",
            "Backends come from the file and from DNS.",
            "write the backends into the file",
        ),
        missing(
            "check*",
            "Probes of this module are not carried over.",
            "write `[upstream.NAME.health]`",
        ),
        missing(
            "fair",
            "This module's strategy is not known.",
            "use `strategy = \"least_connections\"`",
        ),
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
        "`max_fails` of the backend or, of most of them, `passive.max_fails`; 1 if not written. \
         Failures are counted as nginx does (`nginx.failures`).",
        "",
    ),
    parameter(
        "fail_timeout=",
        Verdict::Carried,
        "`fail_timeout` of the backend or, of most of them, `passive.fail_timeout`.",
        "",
    ),
    parameter("max_conns=", Verdict::Carried, "`max_connections`, over all workers.", ""),
    parameter("backup", Verdict::Carried, "`backup = true`.", ""),
    parameter("down", Verdict::Carried, "`state = \"disabled\"`.", ""),
    parameter(
        "drain",
        Verdict::Carried,
        "`state = \"draining\"`: only whoever is bound to it by `sticky` gets there.",
        "",
    ),
    parameter(
        "resolve",
        Verdict::Carried,
        "Names are always resolved again; an answer without addresses then leaves nobody \
         (`nginx.empty_answer`).",
        "",
    ),
    parameter("service=", Verdict::Carried, "`service`.", ""),
    parameter("route=", Verdict::Carried, "`route`.", ""),
    parameter(
        "slow_start=",
        Verdict::Carried,
        "`slow_start` of the upstream, as long as that of the slowest server.",
        "",
    ),
];
