//! Where connections of a `stream` server go: to one place, or by the name that a client asks for, or by
//! the protocols that it offers.

use super::{Refusal, Stream};
use crate::import::tree::Directive;

/// Where connections go: by what a client asks for, and else.
#[derive(Default)]
pub(super) struct Target {
    /// Names or protocols, and the server or group of each.
    pub(super) asked: Vec<(String, String)>,
    /// They are protocols.
    pub(super) by_protocol: bool,
    pub(super) otherwise: Option<String>,
}

impl Stream<'_, '_, '_> {
    pub(super) fn target(&self, server: &Directive) -> Result<Target, Refusal> {
        let pass = server.inner().iter().find(|d| d.name.text == "proxy_pass");
        let Some(pass) = pass else {
            return Err(("it has no `proxy_pass`".to_owned(), "say where connections go"));
        };
        let to = pass.arg(0);
        let Some(variable) = to.strip_prefix('$') else {
            if to.contains('$') {
                return Err((format!("`{to}` is made of variables"), "use a `map`"));
            }
            return Ok(Target { otherwise: Some(to.to_owned()), ..Target::default() });
        };
        let is_it = |d: &&Directive| {
            d.name.text == "map" && d.arg(1).strip_prefix('$') == Some(variable) && maps_asked(d)
        };
        let Some(map) = self.all.iter().find(is_it) else {
            let why =
                format!("`{to}` is no `map` of `$ssl_preread_server_name` or `_alpn_protocols`");
            return Err((why, "connections can go by these two only"));
        };
        let mut target = of_map(map)?;
        if !self.is_on(server, "ssl_preread") {
            target.asked.clear();
        }
        if target.asked.is_empty() && target.otherwise.is_none() {
            return Err(("every connection is closed".to_owned(), ""));
        }
        Ok(target)
    }
}

/// Whether a `map` goes by the name that a client asks for, or by the protocols that it offers.
pub(super) fn maps_asked(d: &Directive) -> bool {
    ["$ssl_preread_server_name", PROTOCOLS].contains(&d.arg(0))
}

/// The protocols that a client offers, one behind the other.
const PROTOCOLS: &str = "$ssl_preread_alpn_protocols";

/// The protocol that a key asks for among others: `~\bh2\b`. Who offers this one offers nothing else
/// (RFC 8737, section 3), so that it may stand alone.
fn protocol(key: &str) -> Option<String> {
    let word = key.strip_prefix('~')?;
    let word =
        word.strip_prefix(r"\b")?.strip_suffix(r"\b")?.replace(r"\.", ".").replace(r"\/", "/");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-./".contains(c);
    (!word.is_empty() && word.chars().all(plain)).then_some(word)
}

/// Where a `map` leads.
fn of_map(map: &Directive) -> Result<Target, Refusal> {
    let hostnames = map.inner().iter().any(|d| d.name.text == "hostnames" && d.args.is_empty());
    let by_protocol = map.arg(0) == PROTOCOLS;
    let mut target = Target { by_protocol, ..Target::default() };
    for d in map.inner() {
        let (key, to) = (&*d.name.text, d.arg(0));
        if key == "hostnames" && d.args.is_empty() {
            continue;
        }
        if to.contains('$') {
            return Err((format!("`{to}` is made of variables"), "write the names out"));
        }
        if key == "default" {
            target.otherwise = Some(to.to_owned()).filter(|to| !to.is_empty());
            continue;
        }
        let refused = |why: &str| Err((format!("`{key}` {why}"), "write the names out"));
        if by_protocol {
            let alone = || (key == "acme-tls/1").then(|| key.to_owned());
            match protocol(key).or_else(alone) {
                Some(word) if !to.is_empty() => target.asked.push((word, to.to_owned())),
                _ => return refused("is no `~\\bPROTOCOL\\b` that leads somewhere"),
            }
            continue;
        }
        if key.starts_with('~') {
            return refused("is a regular expression");
        }
        let name = key.strip_prefix('\\').unwrap_or(key).to_ascii_lowercase();
        let below = name.strip_prefix("*.").or(name.strip_prefix('.')).filter(|_| hostnames);
        let plain = below.unwrap_or(&name);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if plain.is_empty() || !plain.chars().all(fits) || plain.split('.').any(str::is_empty) {
            return refused("is no name that a client asks for");
        }
        // A connection that is closed is one without an upstream, which a name cannot have.
        if to.is_empty() {
            return refused("leads nowhere");
        }
        if below.is_some() {
            target.asked.push((format!("*.{plain}"), to.to_owned()));
        }
        if below.is_none() || name.starts_with('.') {
            target.asked.push((plain.to_owned(), to.to_owned()));
        }
    }
    let mut seen = Vec::new();
    target.asked.retain(|(name, _)| {
        let fresh = !seen.contains(name);
        seen.push(name.clone());
        fresh
    });
    Ok(target)
}
