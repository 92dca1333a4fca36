//! `limit_req` and `limit_conn` → limits, and the limits of routes.

use std::collections::BTreeMap;

use super::findings::Findings;
use super::settings::{Settings, carried_flag, number};
use super::tree::Directive;
use super::units;
use super::variables::Scope;
use super::write::quote;
use crate::config::{Place, Stage};

/// Bytes of a state in the zones of `limit_req` and `limit_conn`, by which zones become numbers of
/// keys.
const STATE_OF_REQ: u64 = 128;
const STATE_OF_CONN: u64 = 64;
/// The largest burst that Plimsoll counts.
const MOST_BURST: u64 = 60_000;

/// `[limit.NAME]`
#[derive(Debug, Clone)]
pub(super) struct Zone {
    pub at: Place,
    pub name: String,
    /// Settings with their values as TOML, in order.
    pub settings: Vec<(&'static str, String)>,
    /// Whether it is a zone of `limit_req`.
    of_req: bool,
    pub used: bool,
}

/// `limit_req`, `limit_conn` and what goes with them.
#[derive(Debug, Default)]
pub(super) struct Limits<'t> {
    pub req: Vec<&'t Directive>,
    pub conn: Vec<&'t Directive>,
    pub req_rules: LimitRules,
    pub conn_rules: LimitRules,
}

/// What is written of `limit_…_status`, `_dry_run` and `_log_level`.
#[derive(Debug, Default)]
pub(super) struct LimitRules {
    pub status: Option<u16>,
    pub dry_run: bool,
    pub log_level: Option<&'static str>,
}

/// The zones of http, by name.
#[derive(Debug, Default)]
pub(super) struct Zones(BTreeMap<String, Zone>);

impl Zones {
    /// Takes in `limit_req_zone` or `limit_conn_zone`.
    pub(super) fn add(&mut self, d: &Directive, scope: &Scope, f: &mut Findings<'_>) {
        let of_req = d.name.text == "limit_req_zone";
        let value = |name: &str| {
            d.args.iter().skip(1).find_map(|arg| arg.text.strip_prefix(name)?.strip_prefix('='))
        };
        let zone = value("zone").and_then(|zone| zone.split_once(':'));
        let Some((name, size)) = zone.and_then(|(name, size)| Some((name, units::size(size)?)))
        else {
            f.missing(d, "it needs `zone=name:size`", "correct it: nginx refuses it too");
            return;
        };
        let key = match scope.template(d.arg(0), Stage::Request) {
            Ok(template) => {
                template.notes.iter().for_each(|note| f.differs(d, note));
                // Counted by, the bytes of an address are as good as its text.
                template.text.replace("${client_ip_bytes}", "${client_ip}")
            }
            Err(variable) => {
                let why = format!("`{variable}` has no counterpart: nothing is limited by it");
                f.missing(d, &why, "limit by another key");
                return;
            }
        };
        let mut settings = Vec::new();
        if key != "${client_ip}" {
            settings.push(("key", quote(&key)));
        }
        if of_req {
            let Some(rate) = value("rate").and_then(rate) else {
                f.missing(
                    d,
                    "it needs `rate=10r/s` or `rate=10r/m`",
                    "correct it: nginx refuses it too",
                );
                return;
            };
            settings.push(("rate", quote(&rate)));
        }
        settings.push(("status", "503".to_owned()));
        settings.push(("log_level", quote("error")));
        let keys = (size / if of_req { STATE_OF_REQ } else { STATE_OF_CONN }).clamp(16, 16 << 20);
        settings.push(("max_keys", keys.to_string()));
        f.carried(d);
        let zone = Zone { at: d.name.place, name: name.to_owned(), settings, of_req, used: false };
        self.0.insert(name.to_owned(), zone);
    }

    /// The limits of a route, each as TOML.
    pub(super) fn uses(&mut self, limits: &Limits<'_>, f: &mut Findings<'_>) -> Vec<String> {
        let req = limits.req.iter().map(|d| (*d, true));
        let conn = limits.conn.iter().map(|d| (*d, false));
        req.chain(conn).filter_map(|(d, of_req)| self.one(d, of_req, limits, f)).collect()
    }

    fn one(
        &mut self,
        d: &Directive,
        of_req: bool,
        limits: &Limits<'_>,
        f: &mut Findings<'_>,
    ) -> Option<String> {
        let value = |name: &str| {
            d.args.iter().find_map(|arg| arg.text.strip_prefix(name)?.strip_prefix('='))
        };
        let name = if of_req { value("zone").unwrap_or_default() } else { d.arg(0) };
        let Some(zone) = self.0.get_mut(name).filter(|zone| zone.of_req == of_req) else {
            f.missing(d, &format!("there is no such zone, or it is not carried: `{name}`"), "");
            return None;
        };
        zone.used = true;
        f.carried(d);
        let mut parts = Vec::new();
        if of_req {
            let burst = value("burst").and_then(|burst| burst.parse::<u64>().ok()).unwrap_or(0);
            if burst > MOST_BURST {
                f.differs(d, &format!("a burst is at most {MOST_BURST}"));
            }
            let burst = burst.min(MOST_BURST);
            let delay = value("delay").and_then(|delay| delay.parse::<u64>().ok()).unwrap_or(0);
            let undelayed = !d.args.iter().any(|arg| arg.text == "nodelay");
            if burst > 0 {
                parts.push(format!("burst = {burst}"));
            }
            if burst > 0 && undelayed {
                parts.push(format!("undelayed = {}", delay.min(burst)));
            }
        } else {
            let Some(most) = d.arg(1).parse::<u32>().ok().filter(|most| (1..65_536).contains(most))
            else {
                f.missing(d, "the number is from 1 to 65535", "correct it: nginx refuses it too");
                return None;
            };
            parts.push(format!("concurrency = {most}"));
        }
        let rules = if of_req { &limits.req_rules } else { &limits.conn_rules };
        parts.extend(others(rules));
        if parts.is_empty() {
            return Some(quote(name));
        }
        Some(format!("{{ name = {}, {} }}", quote(name), parts.join(", ")))
    }

    /// The zones that routes use.
    pub(super) fn into_used(self, f: &mut Findings<'_>, all: &[Directive]) -> Vec<Zone> {
        for d in all {
            let unused = self.0.values().any(|zone| zone.at == d.name.place && !zone.used);
            if unused {
                f.carried_as(d, "nothing uses it: it is left out");
            }
        }
        self.0.into_values().filter(|zone| zone.used).collect()
    }
}

/// What differs from nginx's defaults, which the zones say.
fn others(rules: &LimitRules) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(status) = rules.status.filter(|status| *status != 503) {
        parts.push(format!("status = {status}"));
    }
    if rules.dry_run {
        parts.push("dry_run = true".to_owned());
    }
    if let Some(level) = rules.log_level.filter(|level| *level != "error") {
        parts.push(format!("log_level = {}", quote(level)));
    }
    parts
}

/// `10r/s` and `10r/m` → `10/s` and `10/min`.
fn rate(text: &str) -> Option<String> {
    let (count, unit) = match (text.strip_suffix("r/s"), text.strip_suffix("r/m")) {
        (Some(count), _) => (count, "s"),
        (_, Some(count)) => (count, "min"),
        _ => return None,
    };
    let count = count.parse::<u64>().ok().filter(|count| (1..=1_000_000).contains(count))?;
    Some(format!("{count}/{unit}"))
}

pub(super) fn limit_req<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
    s.limits.req.push(d);
}

pub(super) fn limit_conn<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
    s.limits.conn.push(d);
}

/// `limit_req_status` and its like: what they set goes by their name.
pub(super) fn limit_rule<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    let name = &*d.name.text;
    let rules = if name.starts_with("limit_req_") {
        &mut s.limits.req_rules
    } else {
        &mut s.limits.conn_rules
    };
    if name.ends_with("_status") {
        rules.status = number(d, 0, f).filter(|status| (400..600).contains(status));
    } else if name.ends_with("_dry_run") {
        rules.dry_run = carried_flag(d, f) == Some(true);
    } else {
        rules.log_level = match d.arg(0) {
            "info" | "notice" => Some("info"),
            "warn" => Some("warn"),
            "error" => Some("error"),
            _ => None,
        };
        match rules.log_level {
            Some(_) => f.carried(d),
            None => f.missing(d, "this is no level", "use info, notice, warn or error"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_nginx_reads_them() {
        assert_eq!(rate("10r/s").as_deref(), Some("10/s"));
        assert_eq!(rate("30r/m").as_deref(), Some("30/min"));
        for text in ["", "r/s", "0r/s", "10", "10/s", "-1r/s", "1.5r/s"] {
            assert_eq!(rate(text), None, "{text}");
        }
    }
}
