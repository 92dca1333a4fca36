//! Listeners that pass connections through.

use super::{Build, Sourced};
use crate::balance::Need;
use crate::config::model::{Listener, Piece, ServerName, Tcp, Upstream, Variable};
use crate::config::tree::{Item, Table};

/// What holds for every listener.
const TAKEN: [&str; 8] = [
    "name",
    "address",
    "mode",
    "trusted_proxies",
    "proxy_protocol",
    "header_timeout",
    "max_connections",
    "max_connections_per_client",
];
/// What holds for those that pass connections through.
const OWN: [&str; 3] = ["upstream", "sni", "tunnel_timeout"];

pub(super) fn tcp(b: &mut Build<'_>, table: &Table) -> Option<Tcp> {
    let is_tcp = table.text("mode") == "tcp";
    for entry in &table.entries {
        let Some(at) = entry.written else { continue };
        let key = entry.key;
        if is_tcp && !TAKEN.contains(&key) && !OWN.contains(&key) {
            let message = format!("`{key}` is about HTTP, which `mode = \"tcp\"` does not look at");
            b.error(at, message, "leave it out");
        } else if !is_tcp && OWN.contains(&key) {
            let message =
                format!("`{key}` of a listener is for connections that are passed through");
            b.error(at, message, "add `mode = \"tcp\"`, or say it in a `[[route]]`");
        }
    }
    if !is_tcp {
        return None;
    }
    let mut names = Vec::new();
    for one in table.tables("sni") {
        let upstream = one.text("upstream");
        for item in one.list("names") {
            names.extend(server_name(b, item).map(|name| (name, upstream.to_owned())));
        }
    }
    let upstream = table.written("upstream").map(|(_, item)| item.text().to_owned());
    if upstream.is_none() && table.list("sni").is_empty() {
        let message = "it is not said where the connections go";
        b.error(table.place, message, "add `upstream = \"NAME\"`");
    }
    for (place, (name, _)) in names.iter().enumerate() {
        if names[..place].iter().any(|(other, _)| other == name) {
            let (ServerName::Exact(text) | ServerName::Suffix(text)) = name;
            let message = format!("`{text}` is written twice in `sni`");
            b.error(table.place_of("sni"), message, "remove one of the two");
        }
    }
    Some(Tcp {
        upstream,
        names,
        idle_timeout: table.duration("tunnel_timeout").unwrap_or_default(),
    })
}

fn server_name(b: &mut Build<'_>, item: &Item) -> Option<ServerName> {
    let text = item.text().to_ascii_lowercase();
    let (name, is_suffix) = match text.strip_prefix("*.") {
        Some(rest) => (rest, true),
        None => (&*text, false),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
    };
    if !name.split('.').all(is_label) {
        let message = format!("`{}` is no name that a client of TLS asks for", item.text());
        b.error(item.place, message, "write it like `example.com` or `*.example.com`");
        return None;
    }
    Some(if is_suffix {
        ServerName::Suffix(format!(".{name}"))
    } else {
        ServerName::Exact(name.to_owned())
    })
}

/// The places in which a listener names upstreams.
pub(super) fn upstreams_of(table: &Table) -> impl Iterator<Item = &Item> {
    let single = table.written("upstream").map(|(_, item)| item);
    let by_name = table.tables("sni").filter_map(|one| Some(one.written("upstream")?.1));
    single.into_iter().chain(by_name)
}

/// Refuses upstreams of which something cannot be without HTTP.
pub(super) fn check_upstreams<'u>(
    b: &mut Build<'_>,
    listeners: &[Sourced<'_, Listener>],
    find: impl Fn(&str) -> Option<&'u Upstream>,
) {
    for one in listeners.iter().filter(|one| one.model.tcp.is_some()) {
        for item in upstreams_of(one.table) {
            let Some(upstream) = find(item.text()) else { continue };
            let name = &upstream.name;
            if upstream.strategy.needs() == Need::Key && !is_of_connection(upstream) {
                let strategy = upstream.strategy.name();
                let message =
                    format!("the key of `{strategy}` in upstream `{name}` speaks of a request");
                let help = "hash `${client_ip}`, or use `ip_hash` or `least_connections`";
                b.error(item.place, message, help);
            }
            if upstream.sticky.is_some() {
                let message =
                    format!("upstream `{name}` binds clients by HTTP, and this listener has none");
                b.error(item.place, message, "use `ip_hash`, or an upstream without `sticky`");
            }
        }
    }
}

/// Whether what is hashed is there without a request.
fn is_of_connection(upstream: &Upstream) -> bool {
    let is_known = |variable: &Variable| {
        matches!(
            variable,
            Variable::ClientIp
                | Variable::ClientIpBytes
                | Variable::ClientPort
                | Variable::DownstreamIp
                | Variable::ServerIp
                | Variable::ServerPort
                | Variable::Proxied(_)
                | Variable::Connection
                | Variable::Listener
        )
    };
    upstream.key.0.iter().all(|piece| match piece {
        Piece::Text(_) => true,
        Piece::Variable(variable) => is_known(variable),
    })
}
