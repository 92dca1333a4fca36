//! `valid_referers` → the variable that stands for `$invalid_referer`.
//!
//! A referrer that is missing and one that is empty are the same here; nginx takes the latter for a
//! blocked one.

use regex::{Regex, escape};

use super::made::MadeVariables;
use super::tree::Directive;
use super::variables::Scope;
use super::write::quote;
use crate::config::Stage;

/// Takes in what a level says of referrers.
pub(super) fn take_in(level: &[Directive], scope: &mut Scope) {
    let words: Vec<&Directive> = level.iter().filter(|d| d.name.text == "valid_referers").collect();
    let Some(first) = words.first() else { return };
    let all: Vec<&str> = words.iter().flat_map(|d| &d.args).map(|arg| &*arg.text).collect();
    match lines(&all, &scope.names) {
        Some(lines) => {
            let made: &MadeVariables = &scope.made;
            let key =
                made.add(("invalid_referer", first.id), first.name.place, lines, Stage::Request);
            scope.stand_for("invalid_referer", &key);
        }
        // Where it is asked for, everybody is refused.
        None => scope.forget("$invalid_referer"),
    }
}

/// Lines of the section; `None`: a word has no counterpart.
fn lines(words: &[&str], names: &[String]) -> Option<Vec<(String, String)>> {
    let has = |word: &str| words.contains(&word);
    let mut cases = Vec::new();
    let plain = words.iter().filter(|word| !["none", "blocked", "server_names"].contains(word));
    let own =
        names.iter().map(|name| &**name).filter(|name| has("server_names") && !name.is_empty());
    for word in plain.copied().chain(own) {
        let regex = regex(word);
        Regex::new(&regex).ok()?;
        cases.push(format!("  {{ regex = {}, give = \"\" }},", quote(&regex)));
    }
    let of_none = if has("none") { "" } else { "1" };
    cases.insert(0, format!("  {{ is = \"\", give = {} }},", quote(of_none)));
    // A blocked one is there, without a scheme.
    cases.push("  { regex = '(?i)^https?://', give = \"1\" },".to_owned());
    let otherwise = if has("blocked") { "" } else { "1" };
    Some(vec![
        ("from".to_owned(), quote("${header.referer}")),
        ("cases".to_owned(), format!("[\n{}\n]", cases.join("\n"))),
        ("default".to_owned(), quote(otherwise)),
    ])
}

/// What fits a referrer that a word allows: a name, with `*` before or behind it, perhaps with the
/// beginning of a path; or `~` and an expression for what follows the scheme.
fn regex(word: &str) -> String {
    if let Some(regex) = word.strip_prefix('~') {
        return match regex.strip_prefix('^') {
            Some(rest) => format!("(?i)^https?://(?:{rest})"),
            None => format!("(?i)^https?://.*?(?:{regex})"),
        };
    }
    let (host, path) = match word.find('/') {
        Some(slash) => word.split_at(slash),
        None => (word, ""),
    };
    let host = host.split(':').next().unwrap_or_default();
    let host = if let Some(rest) = host.strip_prefix("*.") {
        format!("[^/:]+\\.{}", escape(rest))
    } else if let Some(rest) = host.strip_prefix('.') {
        format!("(?:[^/:]+\\.)?{}", escape(rest))
    } else if let Some(rest) = host.strip_suffix(".*") {
        format!("{}\\.[^/:]+", escape(rest))
    } else {
        escape(host)
    };
    let behind = match path {
        "" => "(?:[:/]|$)".to_owned(),
        path => format!("(?::[0-9]*)?{}", escape(path)),
    };
    format!("^(?i:https?://{host}){behind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_what_nginx_lets_in() {
        for (word, referrer, fits) in [
            ("example.org", "http://example.org/a", true),
            ("example.org", "HTTPS://Example.ORG:8080", true),
            ("example.org", "http://example.org.evil.test/", false),
            ("example.org", "http://evil.test/http://example.org/", false),
            ("*.example.org", "http://www.example.org/", true),
            ("*.example.org", "http://example.org/", false),
            (".example.org", "http://example.org/", true),
            ("www.example.*", "http://www.example.net/", true),
            ("example.org/shop/", "http://example.org/shop/1", true),
            ("example.org/shop/", "http://example.org/other", false),
            (r"~\.google\.", "https://www.google.com/", true),
            (r"~^google\.", "https://www.google.com/", false),
        ] {
            let regex = Regex::new(&regex(word)).unwrap();
            assert_eq!(regex.is_match(referrer), fits, "{word} {referrer}");
        }
    }
}
