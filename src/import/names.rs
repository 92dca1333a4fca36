//! `server_name` → hosts.

use super::findings::Findings;
use super::tree::Directive;
use crate::config::is_name;

/// The names of a server.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// As `hosts` has them.
    pub all: Vec<String>,
    /// The first, for `$server_name` and for names of routes; empty if there is none.
    pub first: String,
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
    let text = text.to_ascii_lowercase();
    // These fit no Host; they are written for default servers.
    if matches!(&*text, "" | "_" | "-" | "__" | "--") {
        return;
    }
    let (bare, below, itself) = match (text.strip_prefix("*."), text.strip_prefix('.')) {
        (Some(bare), _) => (bare, true, false),
        (_, Some(bare)) => (bare, true, true),
        _ => (&*text, false, true),
    };
    if text.starts_with('~') {
        f.missing(
            d,
            "hosts are not compared with regular expressions",
            "name them, or use `*.name`",
        );
        return;
    }
    if text.ends_with(".*") {
        f.missing(
            d,
            &format!("`{text}` cannot be said: `*` stands for the front"),
            "name the hosts",
        );
        return;
    }
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let is_v6 = bare.starts_with('[') && bare.ends_with(']');
    if bare.contains('*') || !bare.is_ascii() || !(is_name(bare) || is_v6) {
        f.missing(d, &format!("`{text}` is no host name"), "correct it");
        return;
    }
    if names.first.is_empty() {
        bare.clone_into(&mut names.first);
    }
    let both = [(itself, bare.to_owned()), (below, format!("*.{bare}"))];
    for (wanted, name) in both {
        if wanted && !names.all.contains(&name) {
            names.all.push(name);
        }
    }
}
