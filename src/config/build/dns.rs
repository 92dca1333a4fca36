//! `[dns]` and `[upstream.NAME.dns]`.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Build;
use crate::config::model::{Dns, Families, Resolver};
use crate::config::tree::Table;

/// The port of name servers.
const PORT: u16 = 53;

/// Who is asked where an upstream says nothing else.
pub(super) fn resolver(b: &mut Build<'_>, table: &Table) -> Arc<Resolver> {
    let timeout = table.duration("timeout").unwrap_or_default();
    Arc::new(Resolver { servers: servers(b, table), timeout, families: families(table) })
}

pub(super) fn dns(b: &mut Build<'_>, table: &Table, usual: &Arc<Resolver>, empties: bool) -> Dns {
    let time = |key| table.duration(key).unwrap_or_default();
    let [servers, timeout, families] =
        ["servers", "timeout", "addresses"].map(|key| table.written(key).is_some());
    let resolver = if servers || timeout || families {
        Arc::new(Resolver {
            servers: if servers { self::servers(b, table) } else { usual.servers.clone() },
            timeout: table.duration("timeout").unwrap_or(usual.timeout),
            families: if families { self::families(table) } else { usual.families },
        })
    } else {
        Arc::clone(usual)
    };
    let dns = Dns { min_ttl: time("min_ttl"), max_ttl: time("max_ttl"), resolver, empties };
    if dns.min_ttl > dns.max_ttl {
        let help = "raise `max_ttl` or lower `min_ttl`";
        b.error(
            table.place_of_either(["min_ttl", "max_ttl"]),
            "min_ttl is more than max_ttl",
            help,
        );
    }
    dns
}

fn servers(b: &mut Build<'_>, table: &Table) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for item in table.list("servers") {
        let text = item.text();
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let with_port = || bare.parse().ok().map(|ip| SocketAddr::new(ip, PORT));
        let address = text.parse().ok().or_else(with_port);
        if address.is_none() {
            let message = format!("`{text}` is no address of a name server");
            b.error(item.place, message, "write it like `10.0.0.2` or `10.0.0.2:53`");
        }
        servers.extend(address);
    }
    servers
}

fn families(table: &Table) -> Families {
    match table.text("addresses") {
        "all" => Families::All,
        "ipv4" => Families::Ipv4,
        "ipv6" => Families::Ipv6,
        _ => Families::Ipv4First,
    }
}
