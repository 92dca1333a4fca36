//! `[dns]` and `[upstream.NAME.dns]`.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Build;
use crate::config::model::{Dns, Families, Resolver};
use crate::config::tree::Table;
use crate::policy::removal::Guard;

/// The port of name servers.
const PORT: u16 = 53;
/// The port of Redis Sentinels.
const SENTINEL_PORT: u16 = 26379;

/// Who is asked where an upstream says nothing else.
pub(super) fn resolver(b: &mut Build<'_>, table: &Table) -> Arc<Resolver> {
    let timeout = table.duration("timeout").unwrap_or_default();
    let servers = servers(b, table, "servers", PORT);
    Arc::new(Resolver { servers, sentinels: false, timeout, families: families(table) })
}

pub(super) fn dns(b: &mut Build<'_>, table: &Table, usual: &Arc<Resolver>, empties: bool) -> Dns {
    let time = |key| table.duration(key).unwrap_or_default();
    let [servers, sentinels, timeout, families] =
        ["servers", "sentinels", "timeout", "addresses"].map(|key| table.written(key).is_some());
    if servers && sentinels {
        let help = "leave one of the two out";
        b.error(table.place_of("sentinels"), "Sentinels are asked in place of name servers", help);
    }
    let resolver = if servers || sentinels || timeout || families {
        let servers = match () {
            () if sentinels => self::servers(b, table, "sentinels", SENTINEL_PORT),
            () if servers => self::servers(b, table, "servers", PORT),
            () => usual.servers.clone(),
        };
        Arc::new(Resolver {
            servers,
            sentinels,
            timeout: table.duration("timeout").unwrap_or(usual.timeout),
            families: if families { self::families(table) } else { usual.families },
        })
    } else {
        Arc::clone(usual)
    };
    let most = table.integer("max_removal").unwrap_or(100);
    let guard = Guard { most, confirm: time("confirm") };
    let guard = (most < 100 && !empties).then_some(guard);
    let dns = Dns { min_ttl: time("min_ttl"), max_ttl: time("max_ttl"), resolver, empties, guard };
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

/// Who is asked; a port that is not written is `usual`.
fn servers(b: &mut Build<'_>, table: &Table, key: &str, usual: u16) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for item in table.list(key) {
        let text = item.text();
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let with_port = || bare.parse().ok().map(|ip| SocketAddr::new(ip, usual));
        let address = text.parse().ok().or_else(with_port);
        if address.is_none() {
            let whose = if key == "sentinels" { "Sentinel" } else { "name server" };
            let message = format!("`{text}` is no address of a {whose}");
            let help = format!("write it like `10.0.0.2` or `10.0.0.2:{usual}`");
            b.error(item.place, message, help);
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
