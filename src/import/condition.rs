//! `if (…)` → what a route can ask of a request.

use super::tree::Directive;
use super::variables::Scope;
use crate::config::{is_name, is_token};

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Never,
    /// One of these methods.
    Methods(Vec<String>),
    /// None of these methods.
    NotMethods(Vec<String>),
    Hosts(Vec<String>),
    /// A header field, with what it must be as TOML.
    Header(String, String),
}

/// Reads the condition; `None` if a route cannot ask for it.
pub(super) fn condition(d: &Directive, scope: &Scope) -> Option<Condition> {
    let mut words: Vec<&str> = d.args.iter().map(|arg| &*arg.text).collect();
    let first = words.first_mut()?;
    *first = first.strip_prefix('(')?;
    let last = words.last_mut()?;
    *last = last.strip_suffix(')')?;
    words.retain(|word| !word.is_empty());
    match words[..] {
        [variable] => bare(variable.strip_prefix('$')?, scope),
        [variable, operator, value] => {
            let value = scope.constant(value)?;
            compared(variable.strip_prefix('$')?, operator, &value, scope)
        }
        // An empty text is compared with.
        [variable, operator] => compared(variable.strip_prefix('$')?, operator, "", scope),
        _ => None,
    }
}

fn bare(name: &str, scope: &Scope) -> Option<Condition> {
    if let Some(Some(value)) = scope.constants.get(name) {
        let holds = !value.is_empty() && value != "0";
        return Some(if holds { Condition::Always } else { Condition::Never });
    }
    if let Some(field) = field(name) {
        return Some(Condition::Header(field, "{ present = true }".to_owned()));
    }
    let cookie = cookie(name)?;
    Some(cookie_is(&format!("{}=[^;]", regex::escape(cookie))))
}

fn compared(name: &str, operator: &str, value: &str, scope: &Scope) -> Option<Condition> {
    if let Some(Some(constant)) = scope.constants.get(name) {
        let holds = match operator {
            "=" => constant == value,
            "!=" => constant != value,
            _ => return None,
        };
        return Some(if holds { Condition::Always } else { Condition::Never });
    }
    match (name, operator) {
        // What nginx hears without TLS comes by http.
        ("scheme", "=") => Some(sure(value == "http")),
        ("scheme", "!=") => Some(sure(value != "http")),
        ("https", "=") => Some(sure(value.is_empty())),
        ("https", "!=") => Some(sure(!value.is_empty())),
        ("request_method", "=") => Some(Condition::Methods(vec![method(value)?])),
        ("request_method", "!=") => Some(Condition::NotMethods(vec![method(value)?])),
        ("request_method", "~" | "~*") => Some(Condition::Methods(methods(value)?)),
        ("request_method", "!~" | "!~*") => Some(Condition::NotMethods(methods(value)?)),
        ("host" | "http_host", "=") => {
            is_name(value).then(|| Condition::Hosts(vec![value.to_ascii_lowercase()]))
        }
        (_, "=") if value.is_empty() => {
            Some(Condition::Header(field(name)?, "{ present = false }".to_owned()))
        }
        (_, "!=") if value.is_empty() => {
            Some(Condition::Header(field(name)?, "{ present = true }".to_owned()))
        }
        (_, "=") => {
            if let Some(cookie) = cookie(name) {
                let (cookie, value) = (regex::escape(cookie), regex::escape(value));
                return Some(cookie_is(&format!("{cookie}={value}(;|$)")));
            }
            Some(Condition::Header(field(name)?, super::write::quote(value)))
        }
        (_, "~") => Some(Condition::Header(field(name)?, matches(value)?)),
        (_, "~*") => Some(Condition::Header(field(name)?, matches(&format!("(?i){value}"))?)),
        _ => None,
    }
}

fn sure(holds: bool) -> Condition {
    if holds { Condition::Always } else { Condition::Never }
}

fn method(text: &str) -> Option<String> {
    (is_token(text) && text.bytes().all(|c| c.is_ascii_uppercase())).then(|| text.to_owned())
}

/// `^(GET|HEAD)$`, the usual way to list methods.
fn methods(regex: &str) -> Option<Vec<String>> {
    let inner = regex.strip_prefix('^').unwrap_or(regex);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    let inner = inner.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(inner);
    inner.trim_start_matches("?:").split('|').map(method).collect()
}

/// The field of `http_NAME`.
fn field(name: &str) -> Option<String> {
    let name = name.strip_prefix("http_")?.replace('_', "-");
    is_token(&name).then_some(name)
}

fn cookie(name: &str) -> Option<&str> {
    name.strip_prefix("cookie_").filter(|name| is_token(name))
}

fn cookie_is(regex: &str) -> Condition {
    let regex = super::write::quote(&format!("(^|; *){regex}"));
    Condition::Header("cookie".to_owned(), format!("{{ regex = {regex} }}"))
}

/// A rule for a header field, if the expression is one that can be read.
pub(super) fn matches(regex: &str) -> Option<String> {
    regex::bytes::Regex::new(regex).ok()?;
    Some(format!("{{ regex = {} }}", super::write::quote(regex)))
}

/// What a variable of a request must be for a `map` to give its value, by a key of the map.
pub(super) fn mapped(source: &str, key: &str) -> Option<Condition> {
    let name = source.strip_prefix('$')?;
    let scope = Scope::default();
    if let Some(regex) = key.strip_prefix("~*") {
        return compared(name, "~*", regex, &scope);
    }
    if let Some(regex) = key.strip_prefix('~') {
        return compared(name, "~", regex, &scope);
    }
    let key = key.strip_prefix('\\').unwrap_or(key);
    match compared(name, "=", key, &scope)? {
        // Plain keys are compared in any case.
        Condition::Header(field, rule) if name.starts_with("http_") && !key.is_empty() => {
            let any_case = key.bytes().any(|c| c.is_ascii_alphabetic());
            let regex = format!("(?i)^{}$", regex::escape(key));
            Some(Condition::Header(field, if any_case { matches(&regex)? } else { rule }))
        }
        condition => Some(condition),
    }
}
