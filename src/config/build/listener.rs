//! Listeners.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::address::listening;
use super::{Build, field, listener_tcp, listener_tls, onward};
use crate::config::model::{
    AddressSource, Client, ForwardPolicy, Forwarded, Http2, Listener, NginxHeads, OldBrowsers,
    ProxyProtocol, RequestIdField, XForwarded,
};
use crate::config::tree::{Item, Table};
use crate::model::UNIX_CLIENT;

pub(super) fn listener(b: &mut Build<'_>, table: &Table) -> Listener {
    let address = listening(b, table.item("address"));
    let name = match table.written("name") {
        Some((_, item)) => field::name(b, item.place, item.text()),
        None => table.text("address").to_owned(),
    };
    let client = client(table);
    let tcp = listener_tcp::tcp(b, table);
    if tcp.is_none() && client.max_target_bytes > client.max_head_bytes {
        b.error(
            table.place_of_either(["max_target", "max_head"]),
            "max_target is more than max_head, of which the target is a part",
            "raise `max_head` or lower `max_target`",
        );
    }
    if tcp.is_none() {
        check_http2(b, table, client.http2);
    }
    check_proxy_protocol(b, table);
    Listener {
        name,
        address,
        socket_mode: socket_mode(b, table),
        tls: table.table("tls").map(|table| Arc::new(listener_tls::tls(b, table, client.http2.on))),
        tcp,
        // Of all listeners, once what they need is known.
        answers_challenges: false,
        client,
        forwarded: forwarded(b, table),
        error_pages: onward::error_pages(b, table),
    }
}

/// `"0660"` as in `chmod`.
pub(super) fn socket_mode(b: &mut Build<'_>, table: &Table) -> u32 {
    let text = table.text("socket_mode");
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777 && mode & 0o222 > 0);
    if mode.is_none() {
        let message = format!("`{text}` is no mode of a socket");
        let help = "write it in octal, with somebody who may write, like `0660`";
        b.error(table.place_of("socket_mode"), message, help);
    }
    if !table.text("address").starts_with("unix:")
        && let Some((at, _)) = table.written("socket_mode")
    {
        let help = "leave it out, or listen on `unix:/path`";
        b.error(at, "`socket_mode` is for Unix sockets, and this is an IP address", help);
    }
    mode.unwrap_or(0o666)
}

fn client(table: &Table) -> Client {
    let time = |key| table.duration(key).unwrap_or_default();
    Client {
        header_timeout: time("header_timeout"),
        idle_timeout: time("idle_timeout"),
        body_timeout: time("body_timeout"),
        write_timeout: time("write_timeout"),
        max_requests: table.integer("max_requests").unwrap_or_default(),
        max_connections: table.integer("max_connections").unwrap_or_default(),
        max_connections_per_client: table.integer("max_connections_per_client").unwrap_or_default(),
        min_bytes: min_bytes(table),
        min_rate_over: time("min_rate_over"),
        max_head_bytes: table.size("max_head").unwrap_or_default() as usize,
        max_headers: table.integer("max_headers").unwrap_or_default(),
        max_target_bytes: table.size("max_target").unwrap_or_default() as usize,
        max_body_bytes: table.size("max_body"),
        max_lifetime: table.duration("max_lifetime"),
        proxy_protocol: match (
            table.bool("proxy_protocol"),
            table.section("nginx").bool("proxy_protocol_from_all"),
        ) {
            (false, _) => ProxyProtocol::Off,
            (true, false) => ProxyProtocol::FromTrusted,
            (true, true) => ProxyProtocol::FromAll,
        },
        http2: Http2 {
            on: match table.written("http2") {
                Some(_) => table.bool("http2"),
                None => table.mentions("tls"),
            },
            max_streams: table.integer("max_streams").unwrap_or_default(),
            window: table.size("http2_window").unwrap_or_default() as u32,
        },
        nginx: nginx(table.section("nginx")),
    }
}

/// Warns of limits of what clients do not speak.
fn check_http2(b: &mut Build<'_>, table: &Table, http2: Http2) {
    let written = |key| Some((key, table.written(key)?.0));
    for (key, at) in ["max_streams", "http2_window"].into_iter().filter_map(written) {
        if !http2.on {
            let message = format!("`{key}` is about HTTP/2, which is not spoken here");
            b.warning(at, message, "add `http2 = true`, or leave it out");
        }
    }
}

/// Looks whether there is anybody who may tell by the PROXY protocol.
fn check_proxy_protocol(b: &mut Build<'_>, table: &Table) {
    let nginx = table.section("nginx");
    let from_all = nginx.bool("proxy_protocol_from_all");
    if table.bool("proxy_protocol") {
        if !from_all && table.list("trusted_proxies").is_empty() {
            let message = "the PROXY protocol is for trusted proxies, and none is trusted";
            b.error(table.place_of("proxy_protocol"), message, "name them in `trusted_proxies`");
        }
        return;
    }
    let source = table.written("client_address");
    let source = source.filter(|(_, item)| item.text().eq_ignore_ascii_case("proxy_protocol"));
    let from_all = nginx.written("proxy_protocol_from_all").filter(|_| from_all);
    for (at, _) in from_all.into_iter().chain(source) {
        let message = "without `proxy_protocol`, nobody tells anything by it";
        b.warning(at, message, "add `proxy_protocol = true`, or leave this out");
    }
}

/// What `min_rate` comes to over its time: at least a byte, if it is any.
fn min_bytes(table: &Table) -> u64 {
    let over = table.duration("min_rate_over").unwrap_or_default();
    let rate = table.size("min_rate").unwrap_or_default();
    let bytes = u128::from(rate) * over.as_millis() / 1000;
    u64::try_from(bytes).unwrap_or(u64::MAX).max(u64::from(rate > 0))
}

fn nginx(table: &Table) -> NginxHeads {
    let closes_for = |name| table.list("keepalive_disable").iter().any(|item| item.text() == name);
    NginxHeads {
        ignore_invalid_headers: table.bool("ignore_invalid_headers"),
        underscores_in_headers: table.bool("underscores_in_headers"),
        refuse_repeated_fields: table.bool("refuse_repeated_fields"),
        oversized_is_400: table.bool("oversized_head_is_400"),
        host: table.written("host").map(|(_, item)| item.text().to_ascii_lowercase()),
        keep_alive_field: table.duration("keep_alive_field").map(|time| time.as_secs() as u32),
        max_field_bytes: table.size("max_field").map(|bytes| bytes as usize),
        closes_for: OldBrowsers { msie6: closes_for("msie6"), safari: closes_for("safari") },
        keeps_slashes: !table.bool("merge_slashes"),
    }
}

fn forwarded(b: &mut Build<'_>, table: &Table) -> Forwarded {
    let items = table.list("trusted_proxies").iter();
    Forwarded {
        trusted_proxies: items.filter_map(|item| network(b, item)).collect(),
        client_address: address_source(b, table),
        recursive: table.section("nginx").bool("real_ip_recursive"),
        x_forwarded: x_forwarded(table),
        forwarded: policy(table.text("forwarded")),
        x_real_ip: table.bool("x_real_ip"),
        request_id: request_id(b, table),
    }
}

fn x_forwarded(table: &Table) -> XForwarded {
    match table.table("x_forwarded") {
        Some(each) => XForwarded {
            address: policy(each.text("for")),
            proto: policy(each.text("proto")),
            host: policy(each.text("host")),
        },
        None => XForwarded::all(policy(table.text("x_forwarded"))),
    }
}

fn address_source(b: &mut Build<'_>, table: &Table) -> AddressSource {
    let name = table.text("client_address");
    match &*name.to_ascii_lowercase() {
        "off" => AddressSource::None,
        "proxy_protocol" => AddressSource::ProxyProtocol,
        "x-forwarded-for" => AddressSource::XForwardedFor,
        "forwarded" => AddressSource::Forwarded,
        lower => {
            field::field_name(b, table.place_of("client_address"), name);
            AddressSource::Field(lower.to_owned())
        }
    }
}

fn request_id(b: &mut Build<'_>, table: &Table) -> Option<RequestIdField> {
    let name = table.text("request_id");
    match &*name.to_ascii_lowercase() {
        "off" => None,
        "x-request-id" => Some(RequestIdField::Usual),
        _ => {
            field::changed_field(b, table.place_of("request_id"), name, field::Head::Request);
            Some(RequestIdField::Named(name.to_owned()))
        }
    }
}

pub(super) fn network(b: &mut Build<'_>, item: &Item) -> Option<IpNet> {
    let text = item.text();
    if text == "unix:" {
        return Some(UNIX_CLIENT.into());
    }
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(network.trunc());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.into());
    }
    let message = format!("`{text}` is neither a network nor an address");
    b.error(item.place, message, "write it like `10.0.0.0/8`, `192.0.2.7` or `fd00::/8`");
    None
}

fn policy(word: &str) -> ForwardPolicy {
    match word {
        "append" => ForwardPolicy::Append,
        "set" => ForwardPolicy::Set,
        "remove" => ForwardPolicy::Remove,
        "off" => ForwardPolicy::Off,
        _ => ForwardPolicy::Auto,
    }
}
