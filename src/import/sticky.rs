//! `sticky` of an upstream.

use std::time::Duration;

use super::findings::Findings;
use super::tree::Directive;
use super::units;
use super::upstream::Group;
use super::variables::Scope;
use super::write::{quote, quoted_list};
use crate::config::{Stage, is_token, show_duration};

/// nginx's `expires=max`.
const FOR_EVER: Duration = Duration::from_hours(3650 * 24);

pub(super) fn sticky(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    match d.arg(0) {
        "cookie" => cookie(group, d, f),
        "route" => route(group, d, f),
        "learn" => f.missing(
            d,
            "sessions are not learnt from responses",
            "use `sticky.cookie`, or `consistent_hash` with the session's cookie as `key`",
        ),
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

fn route(group: &mut Group, d: &Directive, f: &mut Findings<'_>) {
    let mut texts = Vec::new();
    for arg in d.args.iter().skip(1) {
        match Scope::default().template(&arg.text, Stage::Request) {
            Ok(text) => texts.push(text.text),
            Err(variable) => {
                f.missing(d, &format!("`{variable}` is not known"), "use a cookie or an argument");
            }
        }
    }
    if !texts.is_empty() {
        f.carried(d);
        group.sticky = vec![("sticky.route", quoted_list(&texts))];
    }
}
