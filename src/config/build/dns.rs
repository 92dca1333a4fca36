//! `[dns]` and `[upstream.NAME.dns]`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Build;
use crate::config::model::{BackendAddress, Dns, Families, Login, Resolver, Sentinels};
use crate::config::tree::Table;
use crate::policy::removal::Guard;

/// The port of name servers.
const PORT: u16 = 53;
/// The port of Redis Sentinels.
const SENTINEL_PORT: u16 = 26379;

/// Who is asked where an upstream says nothing else.
pub(super) fn resolver(b: &mut Build<'_>, table: &Table) -> Arc<Resolver> {
    let timeout = table.duration("timeout").unwrap_or_default();
    let servers = servers(b, table);
    Arc::new(Resolver { servers, sentinels: None, timeout, families: families(table) })
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
        let servers = if servers { self::servers(b, table) } else { usual.servers.clone() };
        let sentinels = sentinels.then(|| self::sentinels(b, table));
        Arc::new(Resolver {
            servers,
            sentinels,
            timeout: table.duration("timeout").unwrap_or(usual.timeout),
            families: if families { self::families(table) } else { usual.families },
        })
    } else {
        Arc::clone(usual)
    };
    if resolver.sentinels.is_none() {
        for key in ["sentinel_user", "sentinel_password"] {
            if let Some((at, _)) = table.written(key) {
                b.error(
                    at,
                    format!("`{key}` is for `sentinels`, of which there are none"),
                    "leave it out",
                );
            }
        }
    }
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

/// The name servers that are asked.
fn servers(b: &mut Build<'_>, table: &Table) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for item in table.list("servers") {
        let text = item.text();
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let with_port = || bare.parse().ok().map(|ip| SocketAddr::new(ip, PORT));
        let address = text.parse().ok().or_else(with_port);
        if address.is_none() {
            let message = format!("`{text}` is no address of a name server");
            b.error(item.place, message, format!("write it like `10.0.0.2` or `10.0.0.2:{PORT}`"));
        }
        servers.extend(address);
    }
    servers
}

/// The Sentinels that are asked, and who asks them.
fn sentinels(b: &mut Build<'_>, table: &Table) -> Sentinels {
    let mut servers = Vec::new();
    for item in table.list("sentinels") {
        let text = item.text();
        let has_port =
            text.parse::<SocketAddr>().is_ok() || (text.contains(':') && !text.ends_with(']'));
        let port = |port| if has_port { port } else { SENTINEL_PORT };
        let server = match (text.parse::<IpAddr>(), super::address::backend(text)) {
            (Ok(ip), _) => (ip.to_string(), SENTINEL_PORT),
            (_, Ok(BackendAddress::Ip(at))) => (at.ip().to_string(), port(at.port())),
            (_, Ok(BackendAddress::Name(name, at))) => (name, port(at)),
            (_, Ok(BackendAddress::Unix(_)) | Err(_)) => {
                let message = format!("`{text}` is no address of a Sentinel");
                let help =
                    format!("write it like `10.0.0.5`, `sentinel-1` or `[::1]:{SENTINEL_PORT}`");
                b.error(item.place, message, help);
                continue;
            }
        };
        if servers.contains(&server) {
            let message = format!("`{text}` is there already");
            b.error(item.place, message, "each has one voice: leave it out");
            continue;
        }
        servers.push(server);
    }
    if table.list("sentinels").is_empty() && !table.refused.contains(&"sentinels") {
        let help = "write three of them, or leave `sentinels` out";
        b.error(table.place_of("sentinels"), "nobody is asked", help);
    }
    let user = table.written("sentinel_user").map(|(_, item)| item.text().to_owned());
    let password = table.written("sentinel_password").map(|(_, item)| {
        let bytes = b.bytes(item);
        String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()
    });
    if let (Some(_), None) = (&user, &password) {
        let help = "write `sentinel_password` too";
        b.error(table.place_of("sentinel_user"), "a user without a password is nobody", help);
    }
    let login = password.map(|password| Login { user: user.unwrap_or_default(), password });
    Sentinels { servers, login }
}

fn families(table: &Table) -> Families {
    match table.text("addresses") {
        "all" => Families::All,
        "ipv4" => Families::Ipv4,
        "ipv6" => Families::Ipv6,
        _ => Families::Ipv4First,
    }
}
