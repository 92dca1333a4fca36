//! Listeners that pass connections through.

use super::{Build, Sourced};
use crate::balance::Need;
use crate::config::model::{
    AskedFor, Listener, Piece, ServerName, Source, Tcp, Template, Upstream, Variable,
};
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
    let asked: Vec<_> = table.tables("sni").flat_map(|one| asked_for(b, one)).collect();
    let upstream = table.written("upstream").map(|(_, item)| item.text().to_owned());
    if upstream.is_none() && table.list("sni").is_empty() {
        let message = "it is not said where the connections go";
        b.error(table.place, message, "add `upstream = \"NAME\"`");
    }
    for (place, one) in asked.iter().enumerate() {
        let same =
            |other: &AskedFor| (&other.name, &other.protocols) == (&one.name, &one.protocols);
        if asked[..place].iter().any(same) {
            let what = match &one.name {
                Some(ServerName::Exact(text) | ServerName::Suffix(text)) => text.clone(),
                None => one.protocols.join(", "),
            };
            let message = format!("`{what}` is written twice in `sni`");
            b.error(table.place_of("sni"), message, "remove one of the two");
        }
    }
    Some(Tcp {
        upstream,
        asked,
        idle_timeout: table.duration("tunnel_timeout").unwrap_or_default(),
    })
}

/// What one section of `sni` stands for.
fn asked_for(b: &mut Build<'_>, table: &Table) -> Vec<AskedFor> {
    let mut protocols = Vec::new();
    for item in table.list("protocols") {
        if !(1..=255).contains(&item.text().len()) {
            let help = "write it like `h2`, `http/1.1` or `acme-tls/1`";
            b.error(item.place, "a protocol has 1 to 255 bytes", help);
        }
        protocols.push(item.text().to_owned());
    }
    let names = table.list("names");
    if names.is_empty() && protocols.is_empty() {
        let help = "add `names` or `protocols`, or say `upstream` of the listener itself";
        b.error(table.place, "it is not said what clients ask for", help);
    }
    let upstream = table.text("upstream");
    let one = |name| AskedFor { name, protocols: protocols.clone(), upstream: upstream.to_owned() };
    if names.is_empty() {
        return vec![one(None)];
    }
    names.iter().filter_map(|item| server_name(b, item)).map(|name| one(Some(name))).collect()
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
            if upstream.strategy.needs() == Need::Key
                && !upstream.key.0.iter().all(is_known_of_connection)
            {
                let strategy = upstream.strategy.name();
                let message =
                    format!("the key of `{strategy}` in upstream `{name}` speaks of a request");
                let help = "hash `${client_ip}`, or use `ip_hash` or `least_connections`";
                b.error(item.place, message, help);
            }
            for (key, text) in rendered(upstream) {
                if !text.0.iter().all(is_known_of_connection) {
                    let message = format!("`{key}` of upstream `{name}` speaks of a request");
                    let help = "say it by what is known of a connection, like `${client_ip}`";
                    b.error(item.place, message, help);
                }
            }
            if upstream.sticky.is_some() {
                let message =
                    format!("upstream `{name}` binds clients by HTTP, and this listener has none");
                b.error(item.place, message, "use `ip_hash`, or an upstream without `sticky`");
            }
        }
    }
}

/// The texts from which connections to backends are made, with the settings that have them.
fn rendered(upstream: &Upstream) -> impl Iterator<Item = (&'static str, &Template)> {
    let source = match &upstream.source {
        Some(Source::Of(text)) => Some(text),
        _ => None,
    };
    let own = upstream.own_files.as_deref();
    let all = [
        ("source", source),
        ("tls.server_name", upstream.tls_name.as_ref()),
        ("tls.certificate", own.map(|files| &files.chain)),
        ("tls.key", own.map(|files| &files.key)),
    ];
    all.into_iter().filter_map(|(key, text)| Some((key, text?)))
}

/// Whether a part of a text is there without a request.
fn is_known_of_connection(piece: &Piece) -> bool {
    let Piece::Variable(variable) = piece else { return true };
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
}
