//! What becomes of bodies and responses → a route's settings: buffering, redirects, cookies,
//! trailers, hidden fields.

use regex::bytes::Regex;

use super::draft::Setting;
use super::findings::Findings;
use super::location::Spot;
use super::pass::Target;
use super::settings::Settings;
use super::tree::Directive;
use super::units;
use super::variables::{Part, Scope, parts};
use super::write::{quote, quoted_list};
use crate::config::{Stage, is_token, show_size};

/// Statuses to which `add_header` and `add_trailer` add without `always`.
pub(super) const ADDED_TO: &str = "[\"200-201\", 204, 206, \"301-304\", \"307-308\"]";

/// The fields of responses that nginx keeps from clients.
const HIDDEN: [&str; 8] = [
    "date",
    "server",
    "x-pad",
    "x-accel-expires",
    "x-accel-redirect",
    "x-accel-limit-rate",
    "x-accel-buffering",
    "x-accel-charset",
];

/// Whether nginx keeps a field from clients of its own accord.
pub(super) fn is_hidden(name: &str) -> bool {
    HIDDEN.contains(&&*name.to_ascii_lowercase())
}

/// The settings of a route with this `proxy_pass`.
pub(super) fn messages(
    pass: &Directive,
    target: &Target,
    s: &Settings<'_>,
    spot: &Spot<'_>,
    f: &mut Findings<'_>,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    if !s.request_streaming && !target.grpc {
        let memory = s.body_memory.unwrap_or(16 << 10).min(1 << 30);
        settings.push(("request_buffering.memory", quote(&show_size(memory))));
    }
    pacing(&mut settings, s, (target.grpc, &spot.scope), f);
    let redirects = redirects(pass, target, s, spot, f);
    let absolute = !redirects.is_empty() && !s.relative_redirect;
    list(&mut settings, "redirect_rewrite", &redirects);
    list(&mut settings, "cookie_rewrite.domain", &pairs(&s.cookie_domains, &spot.scope, f));
    list(&mut settings, "cookie_rewrite.path", &pairs(&s.cookie_paths, &spot.scope, f));
    let flags: Vec<_> = s.cookie_flags.iter().filter_map(|d| flags(d, &spot.scope, f)).collect();
    list(&mut settings, "cookie_rewrite.flags", &flags);
    if !target.grpc {
        if !s.pass_trailers {
            settings.push(("response_trailers.pass", "false".to_owned()));
        }
        hints(&mut settings, s, &spot.scope, f);
    }
    let trailers: Vec<_> = s.trailers.iter().filter_map(|d| trailer(d, &spot.scope, f)).collect();
    list(&mut settings, "response_trailers.add", &trailers);
    settings.push(("nginx.hidden_headers", "true".to_owned()));
    settings.push(("nginx.first_of_repeated", "true".to_owned()));
    if s.no_chunks {
        settings.push(("nginx.chunked", "false".to_owned()));
    }
    let passed: Vec<String> = s.pass_headers.iter().map(|d| d.arg(0).to_owned()).collect();
    let passed: Vec<String> = passed.into_iter().filter(|name| is_hidden(name)).collect();
    if !passed.is_empty() {
        settings.push(("nginx.passed_headers", quoted_list(&passed)));
    }
    if absolute {
        settings.push(("nginx.absolute_redirect", "true".to_owned()));
    }
    settings
}

/// How responses are passed on. Where nginx would go on in a file, 1 MiB is read ahead.
fn pacing(
    settings: &mut Vec<Setting>,
    s: &Settings<'_>,
    (grpc, scope): (bool, &Scope),
    f: &mut Findings<'_>,
) {
    let buffers = s.buffers.unwrap_or(64 << 10);
    let ahead = if s.no_temp_file { buffers } else { buffers.max(1 << 20) };
    if !s.streaming && !grpc {
        settings.push(("response_buffer", quote(&show_size(ahead.min(16 << 20)))));
    }
    let after = s.rate_after.and_then(|d| rate(d, "", scope, f));
    // What `set $limit_rate` says goes before the directive.
    let set = if scope.knows("limit_rate") { "$limit_rate" } else { "" };
    let client = match (s.rate, set) {
        (Some(d), set) => rate(d, set, scope, f),
        (None, "") => None,
        (None, set) => scope.template(set, Stage::Response).ok().and_then(|text| sized(&text.text)),
    };
    let backend = s.backend_rate.and_then(|d| rate(d, "", scope, f));
    settings.extend(client.iter().map(|rate| ("rate.client", quote(rate))));
    let after = after.filter(|text| client.is_some() && !text.contains("${"));
    settings.extend(after.map(|size| ("rate.client_after", quote(&size))));
    let backend = backend.filter(|_| !s.streaming);
    settings.extend(backend.map(|rate| ("rate.backend", quote(&rate))));
    let ignored = |name: &str| {
        let mut all = s.ignored.iter().flat_map(|d| &d.args);
        all.any(|arg| arg.text.eq_ignore_ascii_case(name))
    };
    let commands = [("x-accel-buffering", "buffering"), ("x-accel-limit-rate", "limit_rate")];
    let heeded = commands.iter().filter(|(name, _)| !ignored(name));
    let heeded: Vec<String> = heeded.map(|(_, word)| (*word).to_owned()).collect();
    if !heeded.is_empty() && !grpc {
        settings.push(("nginx.x_accel", quoted_list(&heeded)));
    }
}

fn list(settings: &mut Vec<Setting>, key: &'static str, values: &[String]) {
    match values {
        [] => {}
        [one] => settings.push((key, format!("[{one}]"))),
        many => settings.push((key, format!("[\n  {},\n]", many.join(",\n  ")))),
    }
}

/// A rate as a size, or as a text that gives one; `None` is no limit. `set` stands in its place.
fn rate(d: &Directive, set: &str, scope: &Scope, f: &mut Findings<'_>) -> Option<String> {
    let text = if set.is_empty() { d.arg(0) } else { set };
    match scope.template(text, Stage::Response) {
        Ok(rate) if rate.text.contains("${") || units::size(&rate.text).is_some() => {
            f.carried(d);
            rate.notes.iter().for_each(|note| f.differs(d, note));
            sized(&rate.text)
        }
        Ok(_) => {
            f.missing(d, "this is no size", "write it like `100k`: nginx refuses it too");
            None
        }
        Err(variable) => {
            let why = format!("`{variable}` has no counterpart: nothing is slowed down");
            f.missing(d, &why, "write a number, or a variable of Plimsoll's");
            None
        }
    }
}

/// A size as Plimsoll writes it, unless it is 0; a text with variables as it is.
fn sized(text: &str) -> Option<String> {
    if text.contains("${") {
        return Some(text.to_owned());
    }
    let bytes = units::size(text).filter(|bytes| *bytes > 0)?;
    Some(show_size(bytes.min(1 << 40)))
}

/// Early hints go on where one of the directive's values is neither empty nor 0.
fn hints(settings: &mut Vec<Setting>, s: &Settings<'_>, scope: &Scope, f: &mut Findings<'_>) {
    let never = ("early_hints", "false".to_owned());
    let Some(d) = s.early_hints else { return settings.push(never) };
    f.carried(d);
    let mut varying = Vec::new();
    for arg in &d.args {
        match scope.template(&arg.text, Stage::Request) {
            Ok(text) if text.text.contains("${") => {
                text.notes.iter().for_each(|note| f.differs(d, note));
                varying.push(text.text);
            }
            Ok(text) if text.text.is_empty() || text.text == "0" => {}
            Ok(_) => return,
            Err(variable) => {
                f.differs(d, &format!("`{variable}` has no counterpart, and counts as empty"));
            }
        }
    }
    match &*varying {
        [] => settings.push(never),
        [one] => settings.push(("early_hints_when", quote(one))),
        several => {
            f.differs(d, "of several variables, two that are 0 count as one that is not");
            settings.push(("early_hints_when", quote(&several.concat())));
        }
    }
}

fn redirects(
    pass: &Directive,
    target: &Target,
    s: &Settings<'_>,
    spot: &Spot<'_>,
    f: &mut Findings<'_>,
) -> Vec<String> {
    if s.redirects.iter().any(|d| d.arg(0) == "off") {
        for d in &s.redirects {
            f.carried(d);
        }
        return Vec::new();
    }
    let written = s.redirects.iter().filter(|d| d.arg(0) != "default");
    let mut rules = pairs(&written.copied().collect::<Vec<_>>(), &spot.scope, f);
    let default = s.redirects.iter().find(|d| d.arg(0) == "default");
    if let Some(d) = default {
        f.carried(d);
    }
    if (s.redirects.is_empty() || default.is_some()) && !target.variable && !target.grpc {
        let url = pass.arg(0);
        let (from, to) = match target.uri {
            Some(_) => (url.to_owned(), &*spot.prefix),
            None => (format!("{url}/"), "/"),
        };
        rules.push(format!("{{ from = {}, to = {} }}", quote(&from), quote(to)));
    }
    rules
}

/// `from to`, each as a rule.
fn pairs(directives: &[&Directive], scope: &Scope, f: &mut Findings<'_>) -> Vec<String> {
    if directives.iter().any(|d| d.arg(0) == "off") {
        for d in directives {
            f.carried(d);
        }
        return Vec::new();
    }
    directives.iter().filter_map(|d| pair(d, scope, f)).collect()
}

fn pair(d: &Directive, scope: &Scope, f: &mut Findings<'_>) -> Option<String> {
    if d.args.len() != 2 {
        f.missing(d, "it takes what to replace and what to put in", "correct it");
        return None;
    }
    let (from, to) = (d.arg(0), d.arg(1));
    let made = match expression(from).map(|regex| (Regex::new(&regex), regex)) {
        Some((Ok(compiled), regex)) => with_groups(to, &compiled, scope)
            .map(|to| format!("{{ regex = {}, to = {} }}", quote(&regex), quote(&to))),
        Some((Err(_), _)) => {
            f.missing(d, "this regular expression cannot be said in Plimsoll's syntax", "");
            return None;
        }
        None => plain_pair(from, to, d.name.text == "proxy_cookie_domain", scope),
    };
    match made {
        Ok(rule) => {
            f.carried(d);
            Some(rule)
        }
        Err(variable) => {
            f.missing(d, &format!("`{variable}` has no counterpart"), "");
            None
        }
    }
}

/// A dot before a domain means nothing.
fn plain_pair(from: &str, to: &str, domain: bool, scope: &Scope) -> Result<String, String> {
    let bare = |text: &'_ str| match text.strip_prefix('.') {
        Some(rest) if domain => rest.to_owned(),
        _ => text.to_owned(),
    };
    let (from, to) = (
        scope.template(&bare(from), Stage::Response)?,
        scope.template(&bare(to), Stage::Response)?,
    );
    Ok(format!("{{ from = {}, to = {} }}", quote(&from.text), quote(&to.text)))
}

/// The regular expression behind `~` or `~*`.
fn expression(text: &str) -> Option<String> {
    let rest = text.strip_prefix('~')?;
    Some(match rest.strip_prefix('*') {
        Some(rest) => format!("(?i){rest}"),
        None => rest.to_owned(),
    })
}

/// The text as a template, in which the groups of a regular expression stay.
fn with_groups(text: &str, regex: &Regex, scope: &Scope) -> Result<String, String> {
    let mut template = String::new();
    for part in parts(text) {
        match part {
            Part::Variable(name)
                if name.parse::<usize>().is_ok_and(|n| n < regex.captures_len())
                    || regex.capture_names().any(|group| group == Some(name)) =>
            {
                template.extend(["${", name, "}"]);
            }
            Part::Variable(name) => {
                template.push_str(&scope.template(&format!("${{{name}}}"), Stage::Response)?.text);
            }
            Part::Text(plain) => template.push_str(&scope.template(plain, Stage::Response)?.text),
        }
    }
    Ok(template)
}

fn flags(d: &Directive, scope: &Scope, f: &mut Findings<'_>) -> Option<String> {
    if d.arg(0) == "off" {
        f.carried(d);
        return None;
    }
    let name = scope.template(d.arg(0), Stage::Response);
    let mut rule = match (expression(d.arg(0)), name) {
        (Some(regex), _) if Regex::new(&regex).is_ok() => format!("regex = {}", quote(&regex)),
        (None, Ok(name)) => format!("cookie = {}", quote(&name.text)),
        _ => {
            f.missing(d, "such a name of a cookie cannot be said", "");
            return None;
        }
    };
    f.carried(d);
    let mut words = Vec::new();
    for flag in &d.args[1..] {
        if parts(&flag.text).any(|part| matches!(part, Part::Variable(_))) {
            match scope.template(&flag.text, Stage::Response) {
                Ok(text) => words.push(text.text),
                Err(variable) => f.missing(d, &format!("`{variable}` has no counterpart"), ""),
            }
            continue;
        }
        let said = match &*flag.text.to_ascii_lowercase() {
            "secure" => "secure = true",
            "nosecure" => "secure = false",
            "httponly" => "http_only = true",
            "nohttponly" => "http_only = false",
            "samesite=strict" => "same_site = \"strict\"",
            "samesite=lax" => "same_site = \"lax\"",
            "samesite=none" => "same_site = \"none\"",
            "nosamesite" => "same_site = \"remove\"",
            _ => {
                f.missing(d, &format!("the flag `{}` is not carried", flag.text), "");
                continue;
            }
        };
        let key = said.split(' ').next().unwrap_or_default();
        if rule.contains(&format!(", {key} =")) {
            f.differs(d, "of two flags that exclude each other, the first is taken");
        } else {
            rule.push_str(", ");
            rule.push_str(said);
        }
    }
    if !words.is_empty() {
        rule.push_str(", words = ");
        rule.push_str(&quoted_list(&words));
    }
    Some(format!("{{ {rule} }}"))
}

fn trailer(d: &Directive, scope: &Scope, f: &mut Findings<'_>) -> Option<String> {
    let name = d.arg(0);
    if !is_token(name) || !crate::config::is_trailer(name.as_bytes()) {
        f.missing(d, &format!("`{name}` cannot stand behind a body"), "use `add_header`");
        return None;
    }
    match scope.template(d.arg(1), Stage::Response) {
        Ok(template) => {
            f.carried(d);
            template.notes.iter().for_each(|note| f.differs(d, note));
            let statuses = if d.arg(2) == "always" { "" } else { ADDED_TO };
            let statuses = if statuses.is_empty() {
                String::new()
            } else {
                format!(", statuses = {statuses}")
            };
            let (name, value) = (quote(name), quote(&template.text));
            Some(format!("{{ name = {name}, value = {value}{statuses} }}"))
        }
        Err(variable) => {
            f.missing(d, &format!("`{variable}` has no counterpart"), "");
            None
        }
    }
}
