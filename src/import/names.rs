//! `server_name` → hosts.

use super::findings::Findings;
use super::tree::Directive;
use super::{lookaround, refuse};
use crate::config::is_name;

/// The names of a server.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// As `hosts` has them.
    pub all: Vec<String>,
    /// The first, for `$server_name` and for names of routes; empty if there is none.
    pub first: String,
    /// For each expression that cannot be read, one that fits whatever it does.
    pub unread: Vec<String>,
}

/// Reads the names of a server.
pub(super) fn names(server: &Directive, f: &mut Findings<'_>) -> Names {
    let mut names = Names::default();
    for d in server.inner().iter().filter(|d| d.name.text == "server_name") {
        f.carried(d);
        for arg in &d.args {
            name(&mut names, d, &arg.text, f);
        }
    }
    names
}

fn name(names: &mut Names, d: &Directive, text: &str, f: &mut Findings<'_>) {
    if let Some(regex) = text.strip_prefix('~') {
        if regex::bytes::Regex::new(regex).is_err() {
            let why = "the regular expression cannot be read: hosts that it may fit are refused";
            f.missing(d, why, refuse::UNREAD);
            names.unread.push(format!("~{}", lookaround::at_most(regex)));
        } else {
            names.add(text, [text.to_owned()]);
        }
        return;
    }
    let text = text.to_ascii_lowercase();
    // These fit no Host; they are written for default servers.
    if matches!(&*text, "_" | "-" | "__" | "--") {
        return;
    }
    if text.is_empty() {
        names.add("", [text]);
        return;
    }
    if let Some(bare) = text.strip_suffix(".*").filter(|bare| is_name(bare)) {
        names.add(bare, [text.clone()]);
        return;
    }
    let (bare, below, itself) = match (text.strip_prefix("*."), text.strip_prefix('.')) {
        (Some(bare), _) => (bare, true, false),
        (_, Some(bare)) => (bare, true, true),
        _ => (&*text, false, true),
    };
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let is_v6 = bare.starts_with('[') && bare.ends_with(']');
    if bare.contains('*') || !bare.is_ascii() || !(is_name(bare) || is_v6) {
        f.missing(d, &format!("`{text}` is no host name"), "correct it");
        return;
    }
    let both = [(itself, bare.to_owned()), (below, format!("*.{bare}"))];
    names.add(bare, both.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name));
}

impl Names {
    /// The regular expressions among them.
    pub(super) fn regexes(&self) -> impl Iterator<Item = &str> {
        self.all.iter().filter_map(|name| name.strip_prefix('~'))
    }

    /// One of them that has groups.
    pub(super) fn with_groups(&self) -> Option<&str> {
        let has = |regex: &&str| {
            regex::bytes::Regex::new(regex).is_ok_and(|regex| regex.captures_len() > 1)
        };
        self.regexes().find(has)
    }

    fn add(&mut self, shown: &str, hosts: impl IntoIterator<Item = String>) {
        if self.first.is_empty() {
            shown.clone_into(&mut self.first);
        }
        for host in hosts {
            if !self.all.contains(&host) {
                self.all.push(host);
            }
        }
    }
}
