//! `if (…)` → what a route can ask of a request.

use super::draft::Check;
use super::lookaround;
use super::tree::Directive;
use super::variables::Scope;
use crate::config::Stage;

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    Always,
    Never,
    /// All of these hold.
    When(Vec<Check>),
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
        [test, path] if is_of_files(test) => {
            // What is asked for is no file, as none is served; what else there is nobody knows.
            let asked = ["$request_filename", "$document_root$uri", "$document_root/$uri"];
            let whole = asked.iter().find_map(|file| path.strip_prefix(file))?;
            let is_path = whole.is_empty() || whole.starts_with(['/', '.']);
            is_path.then(|| sure(test.starts_with('!')))
        }
        [variable] => bare(variable.strip_prefix('$')?, scope),
        [variable, operator, value] => {
            // Of an expression, `$` is the end.
            let is_regex = operator.contains('~');
            let value = if is_regex { value.to_owned() } else { scope.constant(value)? };
            compared(variable.strip_prefix('$')?, operator, &value, scope)
        }
        // An empty text is compared with.
        [variable, operator] => compared(variable.strip_prefix('$')?, operator, "", scope),
        _ => None,
    }
}

/// Whether an operator looks for files.
pub(super) fn is_of_files(operator: &str) -> bool {
    let bare = operator.strip_prefix('!').unwrap_or(operator);
    ["-f", "-d", "-e", "-x"].contains(&bare)
}

/// What is known of every request: all that comes without TLS comes by http.
fn constant<'s>(name: &str, scope: &'s Scope) -> Option<&'s str> {
    match (name, scope.constants.get(name)) {
        (_, Some(known)) => known.as_deref(),
        ("scheme", None) => scope.scheme,
        ("https", None) => scope.scheme.map(|scheme| if scheme == "https" { "on" } else { "" }),
        _ => None,
    }
}

fn bare(name: &str, scope: &Scope) -> Option<Condition> {
    if let Some(value) = constant(name, scope) {
        return Some(sure(!value.is_empty() && value != "0"));
    }
    let value = value(name, scope)?;
    Some(Condition::When(vec![Check { value, rule: "not_regex", text: "^0?$".to_owned() }]))
}

fn compared(name: &str, operator: &str, text: &str, scope: &Scope) -> Option<Condition> {
    let (rule, text) = match operator {
        "=" => ("is", text.to_owned()),
        "!=" => ("not", text.to_owned()),
        "~" | "~*" => return found(name, operator == "~*", text, scope),
        "!~" => ("not_regex", text.to_owned()),
        "!~*" => ("not_regex", format!("(?i){text}")),
        _ => return None,
    };
    let regex = match rule {
        "not_regex" => Some(regex::Regex::new(&text).ok()?),
        _ => None,
    };
    if let Some(known) = constant(name, scope) {
        let fits = regex.map_or(known == text, |regex| regex.is_match(known));
        return Some(sure(fits == (rule == "is")));
    }
    Some(Condition::When(vec![Check { value: value(name, scope)?, rule, text }]))
}

/// An expression is found, without what must not fit besides.
fn found(name: &str, any_case: bool, regex: &str, scope: &Scope) -> Option<Condition> {
    let flags = if any_case { "(?i)" } else { "" };
    let read = lookaround::readable(regex)?;
    let checks = std::iter::once(("regex", &read.regex))
        .chain(read.but.iter().map(|but| ("not_regex", but)))
        .map(|(rule, regex)| (rule, format!("{flags}{regex}")));
    let known = constant(name, scope);
    let value = if known.is_some() { String::new() } else { value(name, scope)? };
    let mut whole = Vec::new();
    for (rule, text) in checks {
        let regex = regex::Regex::new(&text).ok()?;
        match known {
            Some(known) if regex.is_match(known) != (rule == "regex") => {
                return Some(Condition::Never);
            }
            Some(_) => {}
            None => whole.push(Check { value: value.clone(), rule, text }),
        }
    }
    Some(if whole.is_empty() { Condition::Always } else { Condition::When(whole) })
}

/// The variable as a text of Plimsoll's.
fn value(name: &str, scope: &Scope) -> Option<String> {
    let template = scope.template(&format!("${name}"), Stage::Request).ok()?;
    (!template.text.is_empty()).then_some(template.text)
}

fn sure(holds: bool) -> Condition {
    if holds { Condition::Always } else { Condition::Never }
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
    // Plain keys are compared in any case.
    if key.bytes().any(|c| c.is_ascii_alphabetic()) {
        return compared(name, "~*", &format!("^{}$", regex::escape(key)), &scope);
    }
    compared(name, "=", key, &scope)
}
