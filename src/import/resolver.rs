//! `resolver`, `resolver_timeout` and `proxy_bind`: who is asked for names, and from where one connects.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::draft::Setting;
use super::findings::Findings;
use super::settings::Settings;
use super::tree::Directive;
use super::units;
use super::upstream::Group;
use super::variables::Scope;
use super::write::{quote, quoted_list};
use crate::config::{Stage, show_duration};

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

/// The address that connections to backends leave from, as `proxy_bind` has it; `shared`: connections serve
/// many clients.
pub(super) fn source(
    d: &Directive,
    shared: bool,
    scope: &Scope,
    f: &mut Findings<'_>,
) -> Vec<Setting> {
    f.carried(d);
    let Some(address) = address(d, scope, f) else { return Vec::new() };
    let mut settings = vec![("source", quote(&address))];
    match d.arg(1) {
        "" => {}
        "transparent" if shared && address.contains("${") => {
            let why = "a connection of HTTP/2 serves many clients: it leaves from this machine";
            f.missing(d, why, "take the address out of X-Forwarded-For");
            return Vec::new();
        }
        "transparent" => settings.push(("transparent", "true".to_owned())),
        other => {
            let why = format!("`{other}` is not known");
            f.missing(d, &why, "correct it: nginx refuses it too");
        }
    }
    settings
}

fn address(d: &Directive, scope: &Scope, f: &mut Findings<'_>) -> Option<String> {
    let text = d.arg(0);
    if matches!(text, "off" | "") {
        return None;
    }
    match scope.template(text, Stage::Request) {
        Ok(source) if source.text.contains("${") => {
            source.notes.iter().for_each(|note| f.differs(d, note));
            Some(source.text)
        }
        Ok(source) if is_address(&source.text) => {
            let v6 = source.text.parse::<SocketAddr>().is_err();
            let bare = source.text.trim_matches(['[', ']']);
            Some(if v6 { bare.to_owned() } else { source.text })
        }
        Ok(_) => {
            f.missing(d, "this is no address", "correct it: nginx refuses it too");
            None
        }
        Err(variable) => {
            let why = format!("`{variable}` has no counterpart: the system chooses the address");
            f.missing(d, &why, "write `source` into the upstream");
            None
        }
    }
}
