//! `sticky` of an upstream.

use std::time::Duration;

use super::findings::Findings;
use super::tree::Directive;
use super::units;
use super::upstream::Group;
use super::variables::Scope;
use super::write::{quote, quoted_list};
use crate::config::{Stage, is_token, show_duration};

/// What a session takes of a zone on machines of 64 bits, as nginx's manual has it.
const BYTES_A_SESSION: u64 = 256;
/// Without a size of the zone.
const DEFAULT_SESSIONS: u64 = 100_000;
/// nginx's `expires=max`.
const FOR_EVER: Duration = Duration::from_hours(3650 * 24);

pub(super) fn sticky(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    match d.arg(0) {
        "cookie" => cookie(group, d, f),
        "route" => route(group, d, f),
        "learn" => learn(group, d, f),
        other => f.missing(d, &format!("`{other}` is not known"), "it is `cookie` or `route`"),
    }
}

fn cookie(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    if !is_token(d.arg(1)) {
        return f.missing(d, "this cannot be the name of a cookie", "correct it");
    }
    f.carried(d);
    group.sticky = vec![("sticky.cookie", quote(d.arg(1)))];
    for arg in d.args.iter().skip(2) {
        let (key, value) = arg.text.split_once('=').unwrap_or((&arg.text, ""));
        let setting = match key {
            "expires" if value == "max" => {
                Some(("sticky.expires", quote(&show_duration(FOR_EVER))))
            }
            "expires" => units::time(value).map(|time| {
                let time = time.clamp(Duration::from_secs(1), FOR_EVER);
                ("sticky.expires", quote(&show_duration(time)))
            }),
            "domain" => Some(("sticky.domain", quote(value))),
            "path" => Some(("sticky.path", quote(value))),
            "secure" => Some(("sticky.secure", "true".to_owned())),
            "httponly" => Some(("sticky.http_only", "true".to_owned())),
            "samesite" => match Scope::default().template(value, Stage::Request) {
                Ok(text) => Some(("sticky.same_site", quote(&text.text))),
                Err(variable) => {
                    f.differs(d, &format!("`{variable}` is not known: no SameSite is sent"));
                    continue;
                }
            },
            _ => None,
        };
        match setting {
            Some(setting) => group.sticky.push(setting),
            None => f.missing(d, &format!("`{}` is not known", arg.text), "correct it"),
        }
    }
}

/// `learn create=$upstream_cookie_NAME… lookup=$cookie_NAME… zone=NAME:SIZE [timeout=] [header] [sync]`
fn learn(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let (mut create, mut lookup) = (Vec::new(), Vec::new());
    let mut more = Vec::new();
    f.carried(d);
    for arg in d.args.iter().skip(1) {
        let (key, value) = arg.text.split_once('=').unwrap_or((&arg.text, ""));
        match key {
            "create" => create.extend(text(d, value, Stage::Response, f)),
            "lookup" => lookup.extend(text(d, value, Stage::Request, f)),
            "timeout" => match units::time(value) {
                Some(time) => {
                    let time = time.clamp(Duration::from_secs(1), FOR_EVER);
                    more.push(("sticky.timeout", quote(&show_duration(time))));
                }
                None => f.missing(d, "`timeout` is no time", "write it like `10m`"),
            },
            "zone" => {
                let size = value.split_once(':').and_then(|(_, size)| units::size(size));
                let most = size.map_or(DEFAULT_SESSIONS, |size| size / BYTES_A_SESSION);
                more.push(("sticky.max_sessions", most.clamp(1, 100_000_000).to_string()));
            }
            "header" => {}
            "sync" => f.differs(d, "sessions are not shared with other machines"),
            _ => f.missing(d, &format!("`{}` is not known", arg.text), "correct it"),
        }
    }
    if !d.args.iter().any(|arg| arg.text == "header") {
        more.push(("sticky.known", quote("end")));
    }
    if create.is_empty() || lookup.is_empty() {
        let help = "write both with variables that Plimsoll has";
        return f.missing(d, "nothing says what names a session: clients are not bound", help);
    }
    group.sticky =
        vec![("sticky.learn", quoted_list(&create)), ("sticky.lookup", quoted_list(&lookup))];
    group.sticky.extend(more);
}

/// A text with variables; `None`, and told, if one of them has no counterpart.
fn text(d: &Directive, text: &str, stage: Stage, f: &mut Findings<'_>) -> Option<String> {
    match Scope::default().template(text, stage) {
        Ok(text) => Some(text.text).filter(|text| !text.is_empty()),
        Err(variable) => {
            f.missing(d, &format!("`{variable}` is not known"), "use a cookie or an argument");
            None
        }
    }
}

fn route(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let texts: Vec<_> =
        d.args.iter().skip(1).filter_map(|arg| text(d, &arg.text, Stage::Request, f)).collect();
    if !texts.is_empty() {
        f.carried(d);
        group.sticky = vec![("sticky.route", quoted_list(&texts))];
    }
}
