//! `resolver`, `resolver_timeout` and `proxy_bind`: who is asked for names, and from where one connects.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::draft::Setting;
use super::findings::Findings;
use super::settings::Settings;
use super::tree::Directive;
use super::units;
use super::upstream::Group;
use super::write::{quote, quoted_list};
use crate::config::show_duration;

/// Who is asked for names.
#[derive(Debug, Default, Clone)]
pub(super) struct Asked {
    servers: Vec<String>,
    families: Option<&'static str>,
    pub valid: Option<Duration>,
    pub timeout: Option<Duration>,
}

/// Reads a `resolver`.
pub(super) fn asked(d: &Directive, f: &mut Findings<'_>) -> Asked {
    let mut asked = Asked::default();
    f.carried(d);
    for arg in &d.args {
        match arg.text.split_once('=') {
            Some(("valid", time)) => asked.valid = units::time(time),
            Some(("ipv6", "off")) => asked.families = Some("ipv4"),
            Some(("ipv4", "off")) => asked.families = Some("ipv6"),
            Some(("ipv4" | "ipv6", "on") | ("status_zone", _)) => {}
            _ if is_address(&arg.text) => asked.servers.push(arg.text.clone()),
            _ => {
                let note = format!("`{}` is no address: it is not asked", arg.text);
                f.differs(d, &note);
            }
        }
    }
    asked
}

fn is_address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    text.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok()
}

impl Asked {
    /// The settings of an upstream that has names; `asks_again`: nginx resolves them while it runs.
    pub(super) fn settings(&self, asks_again: bool) -> Vec<Setting> {
        let mut settings = Vec::new();
        let families = self.families.filter(|_| asks_again).unwrap_or("all");
        settings.push(("dns.addresses", quote(families)));
        if !asks_again {
            return settings;
        }
        if !self.servers.is_empty() {
            settings.push(("dns.servers", quoted_list(&self.servers)));
        }
        if let Some(time) = self.timeout {
            let time = time.clamp(Duration::from_millis(1), Duration::from_hours(24));
            settings.push(("dns.timeout", quote(&show_duration(time))));
        }
        if let Some(valid) = self.valid {
            let valid = valid.clamp(Duration::from_secs(1), Duration::from_hours(30 * 24));
            settings.push(("dns.min_ttl", quote(&show_duration(valid))));
            settings.push(("dns.max_ttl", quote(&show_duration(valid))));
        }
        settings
    }
}

/// `resolver` of an upstream.
pub(super) fn of_group(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let timeout = group.asked.as_ref().and_then(|asked| asked.timeout);
    group.asked = Some(Asked { timeout, ..asked(d, f) });
}

/// `resolver_timeout` of an upstream.
pub(super) fn timeout_of_group(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    match units::time(d.arg(0)) {
        Some(time) => {
            f.carried(d);
            group.asked.get_or_insert_default().timeout = Some(time);
        }
        None => f.missing(d, "this is no time", "correct it"),
    }
}

/// `resolver` of a level.
pub(super) fn resolver<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.resolver = Some(asked(d, f));
}

/// `resolver_timeout` of a level.
pub(super) fn timeout<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    match units::time(d.arg(0)) {
        Some(time) => {
            f.carried(d);
            s.resolver_timeout = Some(time);
        }
        None => f.missing(d, "this is no time", "correct it"),
    }
}

/// `proxy_bind`
pub(super) fn bind<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    s.source = None;
    let text = d.arg(0);
    if matches!(text, "off" | "") {
        return f.carried(d);
    }
    if !is_address(text) {
        let why = "connections leave from an address that is written, not from a variable's";
        return f.missing(d, why, "write `source` into the upstream");
    }
    f.carried(d);
    if d.arg(1) == "transparent" {
        f.missing(d, "connections are not transparent", "take the address out of X-Forwarded-For");
    }
    s.source = Some(text.trim_matches(['[', ']']).to_owned());
}
