//! `[[listener]]`: what the default server of each address says of clients.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::{Client, over_http2};
use super::draft::{Listener, Route};
use super::listen::At;
use super::scope::effective;
use super::settings::Settings;
use super::table::Rule;
use super::translate::{Site, Translator};
use super::tree::Directive;
use super::write::{quote, quoted_list};
use crate::config::{is_name as is_host_name, show_duration, show_size};

/// nginx's limit of client connections' requests, and of the number of fields in newer versions.
pub(super) const MANY: u64 = 1000;

/// The listeners, in the order in which the files name them.
pub(super) fn listeners<'t>(
    t: &mut Translator<'t, '_>,
    http: &'t [Directive],
    sites: &[Site<'t>],
    defaults: &BTreeMap<At, usize>,
    routes: &[Route],
) -> Vec<Listener> {
    let body_limit = usual_body_limit(routes);
    let mut listeners: Vec<Listener> = Vec::new();
    for site in sites {
        for one in &site.listens {
            let address = one.address.to_string();
            if listeners.iter().any(|known| known.address == address) {
                continue;
            }
            let default =
                defaults.get(&one.address).map_or(site.block, |index| sites[*index].block);
            let client = client(t, &[http, default.inner()]);
            let mut settings = client_settings(&client);
            let first = defaults.get(&one.address).map_or("", |index| &*sites[*index].names.first);
            // Where a server is for requests without a host, they stay without.
            let nameless = |site: &Site<'_>| {
                site.listens.iter().any(|other| other.address == one.address)
                    && site.names.all.iter().any(String::is_empty)
            };
            if is_host_name(first) && !first.is_empty() && !sites.iter().any(nameless) {
                settings.push(("nginx.host", quote(first)));
            }
            let listens = sites.iter().flat_map(|site| &site.listens);
            if listens.filter(|other| other.address == one.address).any(|one| one.proxy_protocol) {
                settings.push(("proxy_protocol", "true".to_owned()));
                settings.push(("nginx.proxy_protocol_from_all", "true".to_owned()));
            }
            let mut same = sites
                .iter()
                .flat_map(|site| &site.listens)
                .filter(|other| other.address == one.address);
            let on = ("http2", "true".to_owned());
            match t.secured.get(&one.address) {
                Some(secured) => settings.extend(secured.iter().cloned()),
                None if same.any(|one| one.http2) || has_http2(http, default) => {
                    settings.push(on.clone());
                }
                None => {}
            }
            if settings.contains(&on) {
                settings.extend(over_http2(&client));
            }
            if body_limit > 0 {
                settings.push(("max_body", quote(&show_size(body_limit))));
            }
            listeners.push(Listener { at: one.at, address, settings });
        }
    }
    listeners
}

/// Whether the server of this block speaks HTTP/2 on all its ports.
fn has_http2(http: &[Directive], server: &Directive) -> bool {
    let mut all = server.inner().iter().chain(http);
    all.find(|d| d.name.text == "http2").is_some_and(|d| d.arg(0) == "on")
}

/// The limit that most routes have; of equals the largest, 0 (none) being more than any.
pub(super) fn usual_body_limit(routes: &[Route]) -> u64 {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for route in routes {
        *counts.entry(route.body_limit.min(1 << 40).wrapping_sub(1)).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(limit, count)| (*count, *limit));
    most.map_or(1 << 20, |(limit, _)| limit.wrapping_add(1))
}

/// What concerns the listener at these levels.
fn client<'t>(t: &mut Translator<'t, '_>, levels: &[&'t [Directive]]) -> Client {
    let mut s = Settings::default();
    for (d, row) in effective(levels) {
        if let Rule::Listener(setter) = row.rule {
            setter(&mut s, d, &mut t.findings);
        }
    }
    s.client
}

fn client_settings(client: &Client) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if !client.trusted.is_empty() {
        settings.push(("trusted_proxies", quoted_list(&client.trusted)));
        let field = client.real_ip_header.as_deref().unwrap_or("X-Real-IP");
        if !field.eq_ignore_ascii_case("X-Forwarded-For") {
            settings.push(("client_address", quote(field)));
        }
        if !client.real_ip_recursive {
            settings.push(("nginx.real_ip_recursive", "false".to_owned()));
        }
    }
    let second = Duration::from_secs;
    let idle = client.idle.unwrap_or(second(75));
    let times = [
        ("header_timeout", client.header.unwrap_or(second(60)), second(10)),
        ("body_timeout", client.body.unwrap_or(second(60)), second(60)),
        ("write_timeout", client.write.unwrap_or(second(60)), second(60)),
        ("idle_timeout", if idle.is_zero() { second(75) } else { idle }, second(75)),
    ];
    for (key, time, ours) in times {
        let time = time.clamp(Duration::from_millis(1), Duration::from_hours(24));
        if time != ours {
            settings.push((key, quote(&show_duration(time))));
        }
    }
    // nginx waits for ever for who sends a byte now and then.
    settings.push(("min_rate", "0".to_owned()));
    let requests = if idle.is_zero() { 1 } else { client.requests.unwrap_or(MANY) };
    settings.push(("max_requests", requests.min(u64::from(u32::MAX)).to_string()));
    if let Some(time) = client.keep_alive_field.filter(|time| time.as_secs() > 0) {
        settings.push(("nginx.keep_alive_field", quote(&show_duration(time))));
    }
    let lifetime = client.lifetime.unwrap_or(Duration::from_hours(1));
    let lifetime = lifetime.clamp(Duration::from_millis(1), Duration::from_hours(24));
    settings.push(("max_lifetime", quote(&show_duration(lifetime))));
    heads(client, &mut settings);
    settings
}

/// What request heads may be.
fn heads(client: &Client, settings: &mut Vec<(&'static str, String)>) {
    let fields = client.headers.unwrap_or(MANY).clamp(1, MANY);
    settings.push(("max_headers", fields.to_string()));
    let (count, size) = client.buffers.unwrap_or((4, 8 << 10));
    let first = client.buffer.unwrap_or(1 << 10);
    let head = count.saturating_mul(size).saturating_add(first).clamp(1 << 10, 1 << 20);
    let target = size.clamp(64, head);
    for (key, size, ours) in [("max_head", head, 32 << 10), ("max_target", target, 8 << 10)] {
        if size != ours {
            settings.push((key, quote(&show_size(size))));
        }
    }
    settings.push(("nginx.max_field", quote(&show_size(target))));
    settings.push(("nginx.oversized_head_is_400", "true".to_owned()));
    settings.push(("nginx.refuse_repeated_fields", "true".to_owned()));
    // nginx's default; what it would close is gone with those browsers.
    let closes_for = client.closes_for.clone().unwrap_or_default();
    if !closes_for.is_empty() {
        settings.push(("nginx.keepalive_disable", quoted_list(&closes_for)));
    }
    if client.keeps_slashes {
        settings.push(("nginx.merge_slashes", "false".to_owned()));
    }
    if client.ignore_invalid != Some(false) {
        settings.push(("nginx.ignore_invalid_headers", "true".to_owned()));
        if client.underscores == Some(true) {
            settings.push(("nginx.underscores_in_headers", "true".to_owned()));
        }
    }
}
