//! `proxy_set_header`, `add_header` and their like → changes to header fields.

use super::draft::{Added, HeaderEdit, ResponseEdits};
use super::findings::Findings;
use super::maps::Maps;
use super::messages;
use super::settings::Settings;
use super::tree::Directive;
use super::units;
use super::variables::Scope;
use crate::config::{Stage, is_authority, is_token, is_value};

/// Fields that are between two ends of one connection, or frame the message.
const OWN: [&str; 6] =
    ["content-length", "transfer-encoding", "keep-alive", "te", "trailer", "proxy-connection"];

/// What is sent to the backend.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Default)]
pub(super) struct RequestFields {
    /// `None`: as the client sent it.
    pub host: Option<String>,
    pub edits: Vec<HeaderEdit>,
    /// The client's address is appended to X-Forwarded-For.
    pub appends: bool,
    /// X-Real-IP is the client's address.
    pub real_ip: bool,
    pub websocket: bool,
    /// Whether nothing in Connection asks the backend to close.
    pub keeps: bool,
}

/// Reads the fields that hold at a place, with what nginx sends in `Host` if told nothing.
pub(super) fn request(
    settings: &[&Directive],
    proxy_host: &str,
    pass: &Directive,
    (scope, maps): (&Scope, &Maps<'_>),
    f: &mut Findings<'_>,
) -> RequestFields {
    let mut fields = RequestFields::default();
    let mut upgrade = false;
    let mut connection = false;
    let mut host = None;
    for d in settings {
        let name = d.arg(0);
        let value = d.arg(1);
        match &*name.to_ascii_lowercase() {
            "host" => host = Some(*d),
            "upgrade" => {
                upgrade = value == "$http_upgrade" || value.eq_ignore_ascii_case("websocket");
                f.carried(d);
            }
            "connection" => {
                let (upgrades, keeps) = connection_of(value, maps);
                connection = upgrades;
                fields.keeps = keeps;
                f.carried_as(d, "Connection is written for each connection anew");
            }
            "x-forwarded-for" if scope.fold(value) == "${proxy_add_x_forwarded_for}" => {
                fields.appends = true;
                f.carried(d);
            }
            "x-real-ip" if scope.fold(value) == "${remote_addr}" => {
                fields.real_ip = true;
                f.carried(d);
            }
            name if OWN.contains(&name) && value.is_empty() => {
                f.carried_as(d, "this field is made anew for each connection");
            }
            name if OWN.contains(&name) => {
                f.missing(d, "this field is made anew for each connection", "");
            }
            _ => edit(&mut fields.edits, d, scope, f),
        }
    }
    if upgrade && connection {
        fields.websocket = true;
        fields.keeps |= true;
    } else if upgrade || connection {
        for d in settings.iter().filter(|d| d.arg(0).eq_ignore_ascii_case("upgrade")) {
            f.lint(
                d.name.place,
                "Upgrade without a Connection that says so upgrades nothing",
                "add `proxy_set_header Connection \"upgrade\";`",
            );
        }
    }
    fields.host = match host {
        Some(d) => host_of(d, scope, f),
        None => usual_host(proxy_host, scope).or_else(|| {
            f.differs(pass, &format!("`{proxy_host}` cannot be a Host; the client's is sent"));
            None
        }),
    };
    fields
}

/// Whether a value of Connection asks for an upgrade, and whether it lets the connection live.
fn connection_of(value: &str, maps: &Maps<'_>) -> (bool, bool) {
    let lower = value.to_ascii_lowercase();
    if let Some(map) = maps.of_text(value) {
        let upgrades = map.values().any(|one| one.eq_ignore_ascii_case("upgrade"));
        return (upgrades, !map.without().eq_ignore_ascii_case("close"));
    }
    let upgrades = lower.contains("upgrade") || lower == "$http_connection";
    (upgrades, !lower.contains("close"))
}

/// What is sent in `Host` where the file says nothing of it, if that can be sent.
fn usual_host(proxy_host: &str, scope: &Scope) -> Option<String> {
    if proxy_host == "${to.host}" || is_authority(proxy_host) {
        return Some(proxy_host.to_owned());
    }
    let host = scope.template(proxy_host, Stage::Request).ok()?.text;
    host.contains("${").then_some(host)
}

fn host_of(d: &Directive, scope: &Scope, f: &mut Findings<'_>) -> Option<String> {
    if scope.fold(d.arg(1)) == "${http_host}" {
        f.carried(d);
        return None;
    }
    match scope.template(d.arg(1), Stage::Request) {
        Ok(host) if host.text.is_empty() => {
            f.missing(d, "Host cannot be left out; the client's is sent", "");
            None
        }
        Ok(host) if host.text.contains("${") || is_authority(&host.text) => {
            f.carried(d);
            host.notes.iter().for_each(|note| f.differs(d, note));
            Some(host.text)
        }
        Ok(_) => {
            let why = "such a Host cannot be made; the client's is sent";
            f.missing(d, why, "write a fixed name");
            None
        }
        Err(variable) => {
            let why = format!("`{variable}` has no counterpart; the client's Host is sent");
            f.missing(d, &why, "use a variable that Plimsoll knows");
            None
        }
    }
}

/// A change of an ordinary field of requests.
fn edit(edits: &mut Vec<HeaderEdit>, d: &Directive, scope: &Scope, f: &mut Findings<'_>) {
    let (name, value) = (d.arg(0), d.arg(1));
    if !is_token(name) {
        f.missing(d, &format!("`{name}` is no name of a header field"), "correct it");
        return;
    }
    let named = |edit: &HeaderEdit| match edit {
        HeaderEdit::Set(other, _) | HeaderEdit::Remove(other) => other.eq_ignore_ascii_case(name),
    };
    if edits.iter().any(named) {
        f.missing(d, "the field is set twice in one place; the first is taken", "");
        return;
    }
    match scope.template(value, Stage::Request) {
        Ok(template) if template.text.is_empty() => {
            f.carried(d);
            edits.push(HeaderEdit::Remove(name.to_owned()));
        }
        Ok(template) if is_value(template.text.as_bytes()) => {
            f.carried(d);
            template.notes.iter().for_each(|note| f.differs(d, note));
            edits.push(HeaderEdit::Set(name.to_owned(), template.text));
        }
        Ok(_) => f.missing(d, "the value holds control characters", "correct it"),
        Err(variable) => {
            // nginx lets no client say what stands here: neither may Plimsoll.
            let why = format!("`{variable}` has no counterpart; the field is removed");
            f.missing(d, &why, "use a variable that Plimsoll knows");
            edits.push(HeaderEdit::Remove(name.to_owned()));
        }
    }
}

/// What is changed in responses at a place.
pub(super) fn response(s: &Settings<'_>, scope: &Scope, f: &mut Findings<'_>) -> ResponseEdits {
    let mut edits = ResponseEdits::default();
    for d in &s.hide_headers {
        let name = d.arg(0);
        let own = OWN.contains(&&*name.to_ascii_lowercase())
            || ["connection", "upgrade", "host"].contains(&&*name.to_ascii_lowercase());
        let passed = s.pass_headers.iter().any(|d| d.arg(0).eq_ignore_ascii_case(name));
        if passed {
            f.carried_as(d, "`proxy_pass_header` lets it pass");
        } else if messages::is_hidden(name) {
            f.carried_as(d, "`nginx.hidden_headers` keeps it from clients");
        } else if own {
            f.carried_as(d, "this field is made anew for each connection");
        } else if !edits.remove.iter().any(|one| one.eq_ignore_ascii_case(name)) {
            edits.remove.push(name.to_owned());
        }
    }
    for d in &s.add_headers {
        add(&mut edits, d, scope, f);
    }
    if let Some(d) = s.expires {
        expires(&mut edits, d, f);
    }
    edits
}

fn add(edits: &mut ResponseEdits, d: &Directive, scope: &Scope, f: &mut Findings<'_>) {
    let name = d.arg(0);
    let lower = name.to_ascii_lowercase();
    let own = OWN.contains(&&*lower) || ["connection", "upgrade", "host"].contains(&&*lower);
    if !is_token(name) || own {
        f.missing(d, &format!("`{name}` cannot be added"), "");
        return;
    }
    match scope.template(d.arg(1), Stage::Response) {
        Ok(template) if template.text.is_empty() => f.carried(d),
        Ok(template) if is_value(template.text.as_bytes()) => {
            f.carried(d);
            template.notes.iter().for_each(|note| f.differs(d, note));
            put(edits, d, template.text);
        }
        Ok(_) => f.missing(d, "the value holds control characters", "correct it"),
        Err(variable) => {
            f.missing(d, &format!("`{variable}` has no counterpart"), "leave it to the backend");
        }
    }
}

fn put(edits: &mut ResponseEdits, d: &Directive, value: String) {
    let name = d.arg(0).to_owned();
    // nginx has one of these, and puts its own in place of the backend's.
    let single = ["last-modified", "etag"];
    let replace = single.contains(&&*name.to_ascii_lowercase());
    edits.add.push(Added { name, value, always: d.arg(2) == "always", replace });
}

fn expires(edits: &mut ResponseEdits, d: &Directive, f: &mut Findings<'_>) {
    let has_own = edits.add.iter().any(|one| one.name.eq_ignore_ascii_case("cache-control"));
    let long_ago = "Thu, 01 Jan 1970 00:00:01 GMT".to_owned();
    let time = |text: &str| units::time(text).and_then(|time| u32::try_from(time.as_secs()).ok());
    let (control, date) = match d.arg(0) {
        "off" => {
            f.carried(d);
            return;
        }
        "epoch" => ("no-cache".to_owned(), long_ago),
        "max" => ("max-age=315360000".to_owned(), "Thu, 31 Dec 2037 23:55:55 GMT".to_owned()),
        text => match (text.starts_with('-'), time(text.trim_start_matches(['-', '+']))) {
            (true, Some(_)) => ("no-cache".to_owned(), long_ago),
            (false, Some(time)) => (format!("max-age={time}"), format!("${{time.http.{time}}}")),
            _ => {
                f.missing(d, "such a time cannot be said", "add Expires and Cache-Control");
                return;
            }
        },
    };
    f.carried(d);
    let replace =
        |name: &str, value| Added { name: name.to_owned(), value, always: false, replace: true };
    edits.add.push(replace("Expires", date));
    if !has_own {
        edits.add.push(replace("Cache-Control", control));
    }
}
