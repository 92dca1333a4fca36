//! Traces: what of `[tracing]` is checked.

use std::sync::Arc;

use super::listener_tls::roots;
use super::template::hostname;
use super::upstream_tls::system;
use super::{Build, Sourced, address, field};
use crate::config::model::{BackendAddress, Collector, Parent, Process, Ratio, Route, Tracing};
use crate::config::tree::{Item, Table};
use crate::tls::{BackendTerms, Crls, ToBackend, Trust};

/// Certificates between the collector's and its authority's at most.
const DEPTH: usize = 8;

/// Where collectors take spans, as OTLP has it.
const PATH: &str = "/v1/traces";

pub(super) fn tracing(b: &mut Build<'_>, root: &Table, process: &Process) -> Option<Arc<Tracing>> {
    let table = root.table("tracing")?;
    let resource = resource(b, table, process);
    let collector = collector(b, table)?;
    Some(Arc::new(Tracing {
        collector,
        sample: Ratio::of(table.float("sample").unwrap_or(1.0)),
        parent: match table.text("parent") {
            "any" => Parent::Any,
            "none" => Parent::None,
            _ => Parent::Trusted,
        },
        resource,
        queue: table.integer("queue").unwrap_or(usize::MAX),
    }))
}

/// Routes may have a ratio of their own only where there is tracing.
pub(super) fn check(b: &mut Build<'_>, root: &Table, routes: &[Sourced<'_, Route>]) {
    if root.mentions("tracing") {
        return;
    }
    for route in routes {
        if let Some((at, _)) = route.table.written("trace_sample") {
            let help = "add `[tracing]` with an `endpoint`, or leave it out";
            b.warning(at, "nothing is traced, so that `trace_sample` has no effect", help);
        }
    }
}

/// What is told of this process: what is written goes before what is usual.
fn resource(b: &mut Build<'_>, table: &Table, process: &Process) -> Vec<(String, String)> {
    let mut all = vec![("service.name".to_owned(), table.text("service").to_owned())];
    for (key, item) in table.map("resource") {
        if key.name == "service.name" {
            b.error(key.place, "the service's name has a setting of its own", "use `service`");
        }
        all.push((key.name.clone(), item.text().to_owned()));
    }
    let node = process.node.clone().unwrap_or_else(hostname);
    let usual = [
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", node),
        ("host.name", hostname()),
    ];
    for (name, value) in usual {
        if !all.iter().any(|(known, _)| known == name) {
            all.push((name.to_owned(), value));
        }
    }
    all
}

fn collector(b: &mut Build<'_>, table: &Table) -> Option<Collector> {
    let (_, item) = table.written("endpoint")?;
    let url = url(item.text());
    let headers = field::fields(b, table.map("headers"));
    let Some(url) = url else {
        let message = format!("`{}` is no http:// or https:// URL of a collector", item.text());
        b.error(item.place, message, "write it like `http://127.0.0.1:4318`");
        return None;
    };
    let ca = table.written("ca");
    if let (Some((at, _)), false) = (ca, url.secure) {
        b.error(at, "`ca` has no effect without `https://`", "leave one of the two out");
    }
    let tls = if url.secure {
        let ca = ca.map(|(_, item)| item);
        Some(meet(b, table, ca, url.host)?)
    } else {
        None
    };
    Some(Collector {
        authority: url.authority.to_owned(),
        host: url.host.trim_matches(['[', ']']).to_owned(),
        port: url.port,
        path: url.path.to_owned(),
        tls,
        headers,
        timeout: table.duration("timeout").unwrap_or_default(),
    })
}

/// How the collector is met.
fn meet(
    b: &mut Build<'_>,
    table: &Table,
    ca: Option<&Item>,
    host: &str,
) -> Option<(Arc<BackendTerms>, Arc<ToBackend>)> {
    let roots = match ca {
        Some(ca) => roots(b, ca),
        None => system(b, table),
    }?;
    let trust = Trust::In(roots, Crls::default(), DEPTH);
    let terms = BackendTerms::new(trust, None, (None, true), b"http/1.1").map_err(|why| {
        let message = format!("the collector cannot be verified: {why}");
        b.error(table.place, message, "correct the file");
    });
    let terms = Arc::new(terms.ok()?);
    let met = terms.meet(host);
    Some((terms, met))
}

/// The parts of a collector's URL.
#[derive(Debug, PartialEq, Eq)]
struct Url<'t> {
    secure: bool,
    authority: &'t str,
    host: &'t str,
    port: u16,
    path: &'t str,
}

fn url(text: &str) -> Option<Url<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let (secure, usual) = match scheme {
        "http" => (false, 80),
        "https" => (true, 443),
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>".contains(&byte));
    if !address::is_authority(authority) || !is_path {
        return None;
    }
    let is_v6 = authority.ends_with(']');
    let (host, port) = match authority.rsplit_once(':').filter(|_| !is_v6) {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, usual),
    };
    // A name that is one only by its letters, like `1.2.3`, is none.
    match address::backend(&format!("{host}:{port}")).ok()? {
        BackendAddress::Unix(_) => return None,
        BackendAddress::Ip(_) | BackendAddress::Name(..) => {}
    }
    let path = if matches!(path, "" | "/") { PATH } else { path };
    Some(Url { secure, authority, host, port, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, secure, authority, host, port, path) in [
            ("http://127.0.0.1:4318", false, "127.0.0.1:4318", "127.0.0.1", 4318, PATH),
            ("https://otel.example.com/", true, "otel.example.com", "otel.example.com", 443, PATH),
            ("http://[::1]:4318/a/b", false, "[::1]:4318", "[::1]", 4318, "/a/b"),
            ("http://[::1]", false, "[::1]", "[::1]", 80, PATH),
        ] {
            let expected = Url { secure, authority, host, port, path };
            assert_eq!(url(text), Some(expected), "{text}");
        }
        for text in [
            "127.0.0.1:4318",
            "grpc://host:4317",
            "http://",
            "http://:4318",
            "http://host:port",
            "http://host:70000",
            "http://a b",
            "http://host/a b",
            "http://host/?q",
            "http://unix:/run/x",
        ] {
            assert_eq!(url(text), None, "{text}");
        }
    }
}
