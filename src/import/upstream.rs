//! `upstream` blocks → what is known of each group of servers.

use std::time::Duration;

use super::draft::Backend;
use super::findings::{Findings, Verdict};
use super::made::MadeVariables;
use super::resolver::{self, Asked};
use super::table::{self, SERVER};
use super::tree::Directive;
use super::units;
use super::variables::Scope;
use crate::config::{Place, Stage, backend_address};

/// A group of servers.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Default, Clone)]
pub(super) struct Group {
    pub at: Option<Place>,
    /// Variables that a key may be made of.
    made: MadeVariables,
    pub strategy: Option<&'static str>,
    pub key: Option<String>,
    pub two: bool,
    /// Of the two the faster one.
    pub by_time: bool,
    /// Answers are timed to their last byte.
    pub whole_time: bool,
    pub servers: Vec<Server>,
    /// Idle connections, and where that is said.
    pub keepalive: Option<(u64, Place)>,
    pub idle: Option<Duration>,
    pub lifetime: Option<Duration>,
    pub requests: Option<u64>,
    /// Who is asked for names.
    pub asked: Option<Asked>,
    /// Names are resolved again while nginx runs.
    pub resolves: bool,
    /// Requests that wait for a server, and for how long.
    pub queue: Option<(u32, Duration)>,
    /// Settings of `sticky` with their values as TOML, in order.
    pub sticky: Vec<(&'static str, String)>,
}

/// A server of a group.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub id: usize,
    pub backend: Backend,
    pub max_fails: u32,
    pub fail_timeout: Duration,
    /// How long it takes to get its whole weight when it is back; zero is at once.
    pub slow_start: Duration,
}

impl Group {
    /// The group that a `proxy_pass` to an address makes by itself.
    pub(super) fn of_address(at: Place, address: &str) -> Self {
        let backend = Backend {
            at,
            name: None,
            address: address.to_owned(),
            weight: 1,
            backup: false,
            state: None,
            max_connections: 0,
            max_fails: None,
            fail_timeout: None,
            route: None,
            service: None,
        };
        let fail_timeout = Duration::from_secs(10);
        let slow_start = Duration::ZERO;
        let server = Server { id: usize::MAX, backend, max_fails: 1, fail_timeout, slow_start };
        Self { at: Some(at), servers: vec![server], ..Self::default() }
    }

    /// The group without servers of a `proxy_pass` where each request says which.
    pub(super) fn of_requests(at: Place, asked: Option<Asked>) -> Self {
        Self { at: Some(at), resolves: asked.is_some(), asked, ..Self::default() }
    }

    /// Whether there is exactly one address.
    pub(super) fn is_alone(&self) -> bool {
        matches!(&*self.servers, [one] if !is_name(&one.backend.address))
    }
}

/// Whether an address has to be asked of DNS.
pub(super) fn is_name(address: &str) -> bool {
    matches!(backend_address(address), Ok(crate::config::model::BackendAddress::Name(..)))
}

/// Reads an `upstream` block.
pub(super) fn group(block: &Directive, made: &MadeVariables, f: &mut Findings<'_>) -> Group {
    let (at, made) = (Some(block.name.place), made.clone());
    let mut group = Group { at, made, ..Group::default() };
    f.carried(block);
    for directive in block.inner() {
        match &*directive.name.text {
            "server" => server(&mut group, directive, f),
            "keepalive_timeout" => group.idle = timed(directive, f),
            "keepalive_time" => group.lifetime = timed(directive, f),
            "keepalive_requests" => match directive.arg(0).parse() {
                Ok(count) => {
                    f.carried(directive);
                    group.requests = Some(count);
                }
                Err(_) => f.missing(directive, "this is no number", "correct it"),
            },
            "resolver" => resolver::of_group(&mut group, directive, f),
            "resolver_timeout" => resolver::timeout_of_group(&mut group, directive, f),
            name => {
                if let Some(table::Rule::Upstream(setter)) = table::find(name).map(|row| row.rule) {
                    setter(&mut group, directive, f);
                }
            }
        }
    }
    no_backups_for_hashes(&mut group, block, f);
    group
}

fn timed(directive: &Directive, f: &mut Findings<'_>) -> Option<Duration> {
    let time = units::time(directive.arg(0));
    match time {
        Some(_) => f.carried(directive),
        None => f.missing(directive, "this is no time", "correct it"),
    }
    time
}

/// nginx refuses `backup` beside these strategies.
fn no_backups_for_hashes(group: &mut Group, block: &Directive, f: &mut Findings<'_>) {
    let hashes =
        matches!(group.strategy, Some("ip_hash" | "url_hash" | "consistent_hash" | "random"));
    if hashes && group.servers.iter().any(|server| server.backend.backup) {
        f.differs(block, "nginx takes no backups beside this strategy; Plimsoll does");
    }
}

fn server(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let address = d.arg(0);
    if address.is_empty() || d.block.is_some() {
        f.missing(d, "a server needs an address", "write it like `10.0.0.1:8080`");
        return;
    }
    if let Err((message, help)) = backend_address(address) {
        f.missing(d, &message, &help);
        return;
    }
    f.carried(d);
    let mut server =
        Server { id: d.id, ..Group::of_address(d.name.place, address).servers.remove(0) };
    for arg in &d.args[1..] {
        parameter(&mut server, d, &arg.text, f);
    }
    // One address on several lines is several servers, each with its own limits.
    let same = |one: &&Server| one.backend.address.eq_ignore_ascii_case(address);
    let twins = group.servers.iter().filter(same).count();
    if twins > 0 {
        server.backend.name = Some(format!("{address}#{}", twins + 1));
    }
    group.resolves |= d.args.iter().any(|arg| arg.text == "resolve");
    group.servers.push(server);
}

fn parameter(server: &mut Server, d: &Directive, text: &str, f: &mut Findings<'_>) {
    let Some(row) = table::parameter(SERVER, text) else {
        f.missing(d, &format!("`{text}` is not known"), "correct it, or leave it out");
        return;
    };
    let value = text.split_once('=').map_or("", |(_, value)| value);
    let backend = &mut server.backend;
    let good = match row.name {
        "weight=" => value.parse().is_ok_and(|weight: u64| {
            backend.weight = weight;
            weight > 0
        }),
        "max_fails=" => value.parse().is_ok_and(|count| {
            server.max_fails = count;
            true
        }),
        "fail_timeout=" => units::time(value).is_some_and(|time| {
            server.fail_timeout = time;
            true
        }),
        "slow_start=" => units::time(value).is_some_and(|time| {
            server.slow_start = time;
            true
        }),
        "max_conns=" => value.parse().is_ok_and(|count| {
            backend.max_connections = count;
            true
        }),
        "backup" => {
            backend.backup = true;
            true
        }
        "down" => {
            backend.state = Some("disabled");
            true
        }
        "service=" => {
            backend.service = Some(value.to_owned());
            !value.is_empty()
        }
        "route=" => {
            backend.route = Some(value.to_owned());
            !value.is_empty()
        }
        "drain" => {
            backend.state = Some("draining");
            true
        }
        _ => true,
    };
    if !good {
        backend.weight = backend.weight.max(1);
        f.missing(d, &format!("`{text}` has no good value"), "correct it: nginx refuses it too");
    } else if row.verdict == Verdict::NotCarried {
        f.missing(d, &format!("`{text}`: {}", row.doc), row.instead);
    }
    if server.fail_timeout >= Duration::from_hours(1) {
        f.lint(
            d.name.place,
            "a server that failed stays out for hours, long after it is well again",
            "a `fail_timeout` of some seconds is usual: it is also the time in which failures count",
        );
    }
}

pub(super) fn ip_hash(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    group.whole_time = false;
    group.strategy = Some("ip_hash");
}

pub(super) fn least_conn(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    group.whole_time = false;
    group.strategy = Some("least_connections");
}

pub(super) fn least_time(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let known = matches!(d.arg(0), "header" | "last_byte") && matches!(d.arg(1), "" | "inflight");
    if !known {
        let why = "it takes `header` or `last_byte`, and `inflight`";
        return f.missing(d, why, "correct it: nginx refuses it too");
    }
    f.differs(d, "`least_response_time` weighs recent answers more");
    group.whole_time = d.arg(0) == "last_byte";
    if d.arg(1).is_empty() {
        f.differs(d, "requests under way count by themselves, as with `inflight`");
    }
    group.strategy = Some("least_response_time");
}

pub(super) fn random(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    f.carried(d);
    group.strategy = Some("random");
    group.two = d.arg(0) == "two";
    group.by_time = group.two && d.arg(1).starts_with("least_time=");
    group.whole_time = group.by_time && d.arg(1) == "least_time=last_byte";
    match (d.arg(0), d.arg(1)) {
        ("", _) | ("two", "" | "least_conn") => {}
        ("two", "least_time=header" | "least_time=last_byte") => {
            f.differs(d, "recent answers weigh more, and requests under way count");
        }
        ("two", other) => f.missing(d, &format!("`{other}` is not known"), "it is `least_conn`"),
        (other, _) => f.missing(d, &format!("`{other}` is not known"), "it is `two`"),
    }
}

pub(super) fn hash(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let key = match Scope::with(&group.made).template(d.arg(0), Stage::Request) {
        Ok(key) if !key.text.is_empty() => key,
        Ok(_) => {
            f.missing(d, "an empty key sends all to one server", "use `round_robin`");
            return;
        }
        Err(variable) => {
            let why = format!("`{variable}` cannot be hashed; backends are picked in turn");
            f.missing(d, &why, "choose a key of Plimsoll's variables");
            return;
        }
    };
    match d.arg(1) {
        "" => group.strategy = Some("url_hash"),
        "consistent" => group.strategy = Some("consistent_hash"),
        other => {
            f.missing(d, &format!("`{other}` is not known"), "it is `consistent`");
            return;
        }
    }
    f.carried(d);
    key.notes.iter().for_each(|note| f.differs(d, note));
    group.key = Some(key.text);
}

pub(super) fn queue(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let depth = d.arg(0).parse().ok().filter(|depth| (1..=1_000_000).contains(depth));
    let timeout = match d.arg(1).split_once('=') {
        None if d.arg(1).is_empty() => Some(Duration::from_mins(1)),
        Some(("timeout", time)) => units::time(time).filter(|time| !time.is_zero()),
        _ => None,
    };
    match (depth, timeout) {
        (Some(depth), Some(timeout)) => {
            f.carried(d);
            group.queue = Some((depth, timeout));
        }
        (None, _) => f.missing(d, "this is no number from 1 to 1000000", "correct it"),
        (_, None) => f.missing(d, "this is no time to wait", "write it like `timeout=60s`"),
    }
}

pub(super) fn keepalive(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    match d.arg(0).parse() {
        Ok(count @ 1..=65_536) => {
            f.carried(d);
            group.keepalive = Some((count, d.name.place));
        }
        _ => f.missing(d, "this is no number from 1 to 65536", "correct it"),
    }
    if !d.arg(1).is_empty() {
        f.differs(d, &format!("`{}` needs nothing in its place", d.arg(1)));
    }
}
