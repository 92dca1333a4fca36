//! Host rules of routes.

use regex::bytes::RegexBuilder;

use super::Build;
use super::address::is_name;
use super::route::invalid_regex;
use crate::config::model::{HostMatch, Pattern};
use crate::config::tree::Item;

/// One host rule.
pub(super) fn host(b: &mut Build<'_>, item: &Item) -> Option<HostMatch> {
    if let Some(regex) = item.text().strip_prefix('~') {
        let built = RegexBuilder::new(regex).case_insensitive(true).build();
        let built = built.map_err(|error| invalid_regex(b, item.place, &error)).ok();
        return built.map(|regex| HostMatch::Regex(Pattern(regex)));
    }
    let text = item.text().to_ascii_lowercase();
    if text.is_empty() {
        return Some(HostMatch::Exact(text));
    }
    let (make, name): (fn(String) -> HostMatch, &str) =
        match (text.strip_prefix("*."), text.strip_suffix(".*")) {
            (Some(name), _) => (HostMatch::Suffix, name),
            (None, Some(name)) => (HostMatch::Prefix, name),
            (None, None) => (HostMatch::Exact, &text),
        };
    let is_v6 = name.starts_with('[') && name.ends_with(']');
    let fault = if text == "*" {
        Some(("`*` is no host name", "leave `hosts` out to take every host"))
    } else if name.contains('*') {
        let help = "write it like `*.example.com` or `www.example.*`";
        Some(("`*` can only stand for whole labels at one end", help))
    } else if !is_v6 && name.contains(':') {
        Some(("hosts are compared without port", "leave the port out; see `listeners`"))
    } else if !name.is_ascii() {
        Some(("browsers send this name in ASCII", "write its form that begins with `xn--`"))
    } else if !is_v6 && !is_name(name) {
        Some(("this is no host name", "write it like `api.example.com` or `*.example.com`"))
    } else {
        None
    };
    if let Some((message, help)) = fault {
        b.error(item.place, message, help);
        return None;
    }
    Some(make(name.strip_suffix('.').unwrap_or(name).to_owned()))
}
