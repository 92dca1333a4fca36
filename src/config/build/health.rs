//! Probes.

use super::action::is_path;
use super::address::is_authority;
use super::{Build, field};
use crate::config::model::{Backend, BackendAddress, Health, HttpProbe, Probe};
use crate::config::tree::{Item, Table, Value};
use crate::config::units::show_duration;

/// Settings that only HTTP probes look at.
const OF_HTTP: [&str; 6] = ["path", "method", "host", "headers", "expect", "body"];

pub(super) fn health(b: &mut Build<'_>, table: &Table, backends: &[Backend]) -> Health {
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
    let fast_interval = time("fast_interval");
    if table.written("fast_interval").is_some() && fast_interval > interval {
        let message = format!("fast_interval is not faster than {}", show_duration(interval));
        b.warning(table.place_of("fast_interval"), message, "lower `fast_interval`");
    }
    let port = table.integer("port");
    let is_unix = |one: &Backend| matches!(one.address, BackendAddress::Unix(_));
    if let (Some((at, _)), true) = (table.written("port"), backends.iter().any(is_unix)) {
        b.error(at, "a Unix socket has no port", "leave `port` out, or use another upstream");
    }
    let probe = match table.text("type") {
        "tcp" => {
            for (key, at) in
                OF_HTTP.into_iter().filter_map(|key| Some((key, table.written(key)?.0)))
            {
                let message = format!("`{key}` is a setting of HTTP probes");
                b.error(at, message, "leave it out, or use `type = \"http\"`");
            }
            Probe::Tcp
        }
        _ => Probe::Http(http(b, table)),
    };
    Health {
        send_proxy: None,
        probe,
        interval,
        fast_interval: fast_interval.min(interval),
        timeout,
        rise: table.integer("rise").unwrap_or(1),
        fall: table.integer("fall").unwrap_or(1),
        jitter: table.float("jitter").unwrap_or_default(),
        port,
    }
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
