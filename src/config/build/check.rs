//! Checks: one by one, and what they name of each other.

use std::collections::{BTreeMap, BTreeSet};

use super::action::is_path;
use super::address::is_authority;
use super::{Build, field};
use crate::config::faults::Place;
use crate::config::model::{
    Backend, BackendAddress, Check, FlapDamping, HttpProbe, Login, NodePart, NodeProbe, Probe,
    RedisProbe, Role, SqlProbe, TcpProbe,
};
use crate::config::tree::{Item, Table, Value};
use crate::config::units::show_duration;

/// Settings that only some types look at.
const OF_TYPES: [(&str, &[&str]); 21] = [
    ("path", &["http", "disk"]),
    ("method", &["http"]),
    ("host", &["http"]),
    ("headers", &["http"]),
    ("expect", &["http"]),
    ("body", &["http"]),
    ("send", &["tcp", "agent"]),
    ("receive", &["tcp"]),
    ("service", &["grpc"]),
    ("user", &["postgres", "mysql", "redis"]),
    ("password", &["postgres", "mysql", "redis"]),
    ("database", &["postgres", "mysql"]),
    ("role", &["postgres", "mysql", "redis"]),
    ("max_lag", &["postgres", "mysql"]),
    ("command", &["exec"]),
    ("warn", &["system", "memory", "disk"]),
    ("limit", &["system", "memory", "disk"]),
    ("checks", &["composite"]),
    ("at_least", &["composite"]),
    ("max_latency", &["http", "tcp", "grpc", "postgres", "mysql", "redis", "exec"]),
    ("port", &["http", "tcp", "grpc", "postgres", "mysql", "redis", "agent"]),
];

/// Settings of probes, which a check that is made of others does not send.
const OF_PROBES: [&str; 8] = [
    "interval",
    "fast_interval",
    "down_interval",
    "timeout",
    "rise",
    "fall",
    "jitter",
    "start_period",
];

/// A check as it is written, which may name others.
struct Draft<'t> {
    check: Check,
    table: &'t Table,
    /// Where its name is.
    place: Place,
}

/// All checks of an upstream, each behind those that it names.
pub(super) fn checks(b: &mut Build<'_>, upstream: &Table, backends: &[Backend]) -> Vec<Check> {
    let mut drafts = Vec::new();
    if let Some(table) = upstream.table("health") {
        let check = check(b, "health", table, backends);
        drafts.push(Draft { check, table, place: table.place });
    }
    for (key, item) in upstream.map("check") {
        let Some(table) = item.table() else { continue };
        let name = field::name(b, key.place, &key.name);
        if drafts.iter().any(|draft| draft.check.name == name) {
            let message = format!("the check `{name}` is written twice");
            b.error(key.place, message, "`[upstream.NAME.health]` is the check `health`");
            continue;
        }
        let check = check(b, &name, table, backends);
        drafts.push(Draft { check, table, place: key.place });
    }
    in_order(b, drafts)
}

/// Puts each check behind those that it names, and writes their places into it.
fn in_order(b: &mut Build<'_>, mut drafts: Vec<Draft<'_>>) -> Vec<Check> {
    let names: Vec<_> = drafts.iter().map(|draft| draft.check.name.clone()).collect();
    for draft in &drafts {
        let mut twice = BTreeSet::new();
        for (setting, item) in named(draft.table) {
            if !twice.insert((setting, item.text())) {
                let message = format!("`{}` stands in `{setting}` twice", item.text());
                b.error(item.place, message, "each counts once: leave it out");
            }
            if !names.iter().any(|name| name == item.text()) {
                let message =
                    format!("`{}` in `{setting}` is no check of this upstream", item.text());
                b.error(item.place, message, format!("its checks are {}", names.join(", ")));
            }
        }
    }
    let mut done: Vec<Check> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    while !drafts.is_empty() {
        let stands = |draft: &Draft<'_>| {
            named(draft.table).all(|(_, item)| {
                places.contains_key(item.text()) || !names.iter().any(|n| n == item.text())
            })
        };
        let Some(next) = drafts.iter().position(stands) else {
            let of: Vec<_> = drafts.iter().map(|draft| &*draft.check.name).collect();
            let message = format!("checks name each other in a circle: {}", of.join(", "));
            b.error(drafts[0].place, message, "leave one of the names out");
            break;
        };
        let Draft { mut check, table, .. } = drafts.remove(next);
        let place_of = |item: &Item| places.get(item.text()).copied();
        check.depends_on = table.list("depends_on").iter().filter_map(place_of).collect();
        if let Probe::Composite(of, _) = &mut check.probe {
            *of = table.list("checks").iter().filter_map(place_of).collect();
        }
        for place in named(table).filter_map(|(_, item)| place_of(item)) {
            done[place].counts = false;
        }
        places.insert(check.name.clone(), done.len());
        done.push(check);
    }
    done
}

/// The names that stand in a check, with the setting that they stand in.
fn named(table: &Table) -> impl Iterator<Item = (&'static str, &Item)> {
    ["checks", "depends_on"]
        .into_iter()
        .flat_map(|setting| table.list(setting).iter().map(move |item| (setting, item)))
}

fn check(b: &mut Build<'_>, name: &str, table: &Table, backends: &[Backend]) -> Check {
    let kind = table.text("type");
    refuse_strange(b, table, kind);
    let time = |key| table.duration(key).unwrap_or_default();
    let (interval, timeout) = (time("interval"), time("timeout"));
    check_times(b, table);
    let port = table.integer("port");
    let is_unix = |one: &Backend| matches!(one.address, BackendAddress::Unix(_));
    if let (Some((at, _)), true) = (table.written("port"), backends.iter().any(is_unix)) {
        b.error(at, "a Unix socket has no port", "leave `port` out, or use another upstream");
    }
    Check {
        name: name.to_owned(),
        send_proxy: None,
        probe: probe(b, table, kind, backends),
        interval,
        fast_interval: time("fast_interval").min(interval),
        down_interval: table.duration("down_interval").unwrap_or(interval * 3),
        timeout,
        max_latency: table.duration("max_latency"),
        rise: table.integer("rise").unwrap_or(1),
        fall: table.integer("fall").unwrap_or(1),
        jitter: table.float("jitter").unwrap_or_default(),
        start_period: match table.written("start_period") {
            Some(_) => time("start_period"),
            None => interval * 6,
        },
        port,
        depends_on: Vec::new(),
        counts: true,
    }
}

fn refuse_strange(b: &mut Build<'_>, table: &Table, kind: &str) {
    let of_probes =
        OF_PROBES.iter().map(|key| (*key, kind != "composite", "a check that asks itself"));
    let of_types = OF_TYPES.iter().map(|(key, types)| (*key, types.contains(&kind), ""));
    for (key, fits, of) in of_probes.chain(of_types) {
        if let (Some((at, _)), false) = (table.written(key), fits) {
            let types =
                OF_TYPES.iter().find(|one| one.0 == key).map_or(of.to_owned(), |(_, types)| {
                    let words: Vec<_> = types.iter().map(|word| format!("`{word}`")).collect();
                    format!("checks of the type {}", words.join(", "))
                });
            let message = format!("`{key}` is a setting of {types}, and this one is `{kind}`");
            b.error(at, message, "leave it out, or use another `type`");
        }
    }
}

fn check_times(b: &mut Build<'_>, table: &Table) {
    let time = |key| table.duration(key).unwrap_or_default();
    let (interval, timeout) = (time("interval"), time("timeout"));
    if timeout > interval {
        let [of_timeout, of_interval] = [timeout, interval].map(show_duration);
        let message = format!("timeout of {of_timeout} is longer than interval of {of_interval}");
        let help = if table.written("timeout").is_some() {
            "a probe waits for the one before: lower `timeout` or raise `interval`".to_owned()
        } else {
            format!("a probe waits for the one before: write `timeout = \"{of_interval}\"` too")
        };
        b.warning(table.place_of_either(["timeout", "interval"]), message, help);
    }
    if table.written("fast_interval").is_some() && time("fast_interval") > interval {
        let message = format!("fast_interval is not faster than {}", show_duration(interval));
        b.warning(table.place_of("fast_interval"), message, "lower `fast_interval`");
    }
    if table.duration("max_latency").is_some_and(|most| most >= timeout) {
        let message =
            format!("no good answer takes longer than timeout of {}", show_duration(timeout));
        b.warning(table.place_of("max_latency"), message, "lower `max_latency`");
    }
}

fn probe(b: &mut Build<'_>, table: &Table, kind: &str, backends: &[Backend]) -> Probe {
    let text = |key| table.text(key).to_owned();
    match kind {
        "tcp" => Probe::Tcp(TcpProbe { send: text("send"), receive: text("receive") }),
        "grpc" => Probe::Grpc(text("service")),
        "postgres" => Probe::Postgres(sql(b, table)),
        "mysql" => Probe::Mysql(sql(b, table)),
        "redis" => Probe::Redis(RedisProbe { login: login(b, table), role: role(table) }),
        "agent" => {
            if !table.mentions("port") {
                b.error(table.place, "an agent listens on a port of its own", "write its `port`");
            }
            Probe::Agent(text("send"))
        }
        "exec" => Probe::Exec(command(b, table)),
        "system" => Probe::Node(node(b, table, NodePart::Load, backends)),
        "memory" => Probe::Node(node(b, table, NodePart::Memory, backends)),
        "disk" => Probe::Node(node(b, table, NodePart::Disk(text("path")), backends)),
        "composite" => composite(b, table),
        _ => Probe::Http(http(b, table)),
    }
}

fn composite(b: &mut Build<'_>, table: &Table) -> Probe {
    let of = table.list("checks").len();
    let at_least = table.integer("at_least").unwrap_or(of);
    if of == 0 && !table.refused.contains(&"checks") {
        b.error(table.place, "this check is made of others, and names none", "write `checks`");
    } else if at_least > of {
        let message = format!("{at_least} of {of} checks can never be good");
        b.error(table.place_of("at_least"), message, "lower `at_least`");
    }
    Probe::Composite(Vec::new(), at_least)
}

fn sql(b: &mut Build<'_>, table: &Table) -> SqlProbe {
    let login = login(b, table);
    for key in ["role", "max_lag", "database", "password"] {
        if let (Some((at, _)), None) = (table.written(key), &login) {
            let message = format!("`{key}` is of use only to somebody who logs in");
            b.error(at, message, "write a `user`");
        }
    }
    let database = table.text("database").to_owned();
    SqlProbe { login, database, role: role(table), max_lag: table.duration("max_lag") }
}

/// Who logs in. Redis has a user without a name.
fn login(b: &mut Build<'_>, table: &Table) -> Option<Login> {
    let user = table.written("user").map(|(_, item)| item.text().to_owned());
    let password = table.written("password").map(|(_, item)| {
        let bytes = b.bytes(item);
        String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()
    });
    for (key, text) in [("user", &user), ("password", &password)] {
        if text.as_ref().is_some_and(|text| text.contains('\0')) {
            b.error(table.place_of(key), "no protocol has room for a zero byte", "leave it out");
        }
    }
    match (user, password, table.text("type")) {
        (None, None, _) | (None, Some(_), "postgres" | "mysql") => None,
        (user, password, _) => {
            Some(Login { user: user.unwrap_or_default(), password: password.unwrap_or_default() })
        }
    }
}

fn role(table: &Table) -> Option<Role> {
    match table.text("role") {
        "primary" => Some(Role::Primary),
        "standby" => Some(Role::Standby),
        _ => None,
    }
}

fn command(b: &mut Build<'_>, table: &Table) -> Vec<String> {
    let words: Vec<_> = table.list("command").iter().map(|item| item.text().to_owned()).collect();
    let help = "write it like `[\"/usr/local/bin/check\", \"--fast\"]`";
    match words.first() {
        Some(program) if !program.starts_with('/') => {
            b.error(table.place_of("command"), "a program is named by its whole path", help);
        }
        None if !table.refused.contains(&"command") => {
            b.error(table.place_of("command"), "`exec` needs a program", help);
        }
        _ => {}
    }
    words
}

/// A check of this machine, which says nothing of a backend that is elsewhere.
fn node(b: &mut Build<'_>, table: &Table, what: NodePart, backends: &[Backend]) -> NodeProbe {
    let (warn, limit) =
        (table.float("warn").unwrap_or_default(), table.float("limit").unwrap_or_default());
    if warn > limit {
        let help = "backends are degraded first: lower `warn` or raise `limit`";
        b.error(table.place_of_either(["warn", "limit"]), "`warn` is above `limit`", help);
    }
    let elsewhere = backends.iter().find(|one| match &one.address {
        BackendAddress::Ip(at) => !at.ip().is_loopback(),
        BackendAddress::Name(name, _) => name != "localhost",
        BackendAddress::Unix(_) => false,
    });
    if let Some(backend) = elsewhere {
        let message = format!("this looks at this machine, and {} is another", backend.address);
        let help = "run an agent there that knows, and ask it with `type = \"agent\"`";
        b.error(table.place_of("type"), message, help);
    }
    NodeProbe { what, warn, limit }
}

fn http(b: &mut Build<'_>, table: &Table) -> HttpProbe {
    let path = table.text("path").to_owned();
    if !is_path(&path) {
        let help = "write it like `/healthz`, with other characters percent-encoded";
        b.error(table.place_of("path"), "path must begin with `/` and have no spaces", help);
    }
    let method = field::method(b, table.place_of("method"), table.text("method"));
    let host = table.written("host").map(|(_, item)| item);
    if let Some(item) = host.filter(|item| !is_authority(item.text())) {
        let message = format!("`{}` cannot be a `Host`", item.text());
        b.error(item.place, message, "write a name, perhaps with a port");
    }
    let body = table.written("body").map(|(_, item)| item);
    if let Some(item) = body.filter(|_| method == "HEAD") {
        b.error(item.place, "a response to HEAD has no body", "use `method = \"GET\"`");
    }
    if let Some(item) = body.filter(|item| item.text().is_empty()) {
        b.error(item.place, "every body contains the empty text", "leave `body` out");
    }
    let range = |item: &Item| match item.value {
        Value::Statuses(first, last) => Some((first, last)),
        _ => None,
    };
    let expect: Vec<_> = table.list("expect").iter().filter_map(range).collect();
    if table.list("expect").is_empty() {
        let help = "leave it out to expect 200-399";
        b.error(table.place_of("expect"), "without expected statuses no probe can succeed", help);
    }
    HttpProbe {
        path,
        method,
        host: host.map(|item| item.text().to_owned()),
        headers: field::fields(b, table.map("headers")),
        expect,
        body: body.map(|item| item.text().to_owned()),
    }
}

/// Keeping down who goes down again and again.
/// Who is kept down; `None`: nobody.
pub(super) fn flap(b: &mut Build<'_>, table: &Table) -> Option<FlapDamping> {
    let number = |key| f64::from(table.integer::<u32>(key).unwrap_or_default());
    let (suppress, reuse) = (number("suppress"), number("reuse"));
    if reuse >= suppress {
        let help = "raise `suppress` or lower `reuse`";
        let at = table.place_of_either(["reuse", "suppress"]);
        b.error(at, "who is kept down would never be let go", help);
    }
    let half_life = table.duration("half_life").unwrap_or_default();
    Some(FlapDamping { half_life, suppress, reuse, max: table.duration("max")? })
}
