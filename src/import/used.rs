//! The upstreams that routes lead to: those of the file, and those that addresses make.

use super::draft::Setting;
use super::translate::Translator;
use super::tree::Directive;
use super::upstream::Group;
use crate::config::{Place, backend_address};

/// An upstream that a route leads to.
pub(super) struct Use {
    pub name: String,
    pub at: Place,
    pub grpc: bool,
    /// How its backends are met.
    pub met: Met,
    pub group: Group,
    /// Requests may name it.
    pub named: bool,
}

/// How the backends of a `proxy_pass` are met.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Met {
    /// Over TLS; empty: they are not.
    pub tls: Vec<Setting>,
    /// In HTTP/2, as `proxy_http_version` says.
    pub http2: bool,
    /// From which address; empty: the system chooses.
    pub source: Vec<Setting>,
}

impl Met {
    /// What is added to the name of an upstream that is met like this.
    fn suffix(&self) -> String {
        let parts = [("-h2", self.http2), ("-tls", !self.tls.is_empty())];
        parts.into_iter().filter(|(_, is)| *is).map(|(part, _)| part).collect()
    }
}

impl Translator<'_, '_> {
    /// The place in the list of upstreams in use of what stands behind `http://`.
    pub(super) fn used(
        &mut self,
        d: &Directive,
        authority: &str,
        grpc: bool,
    ) -> Result<usize, (String, &'static str)> {
        let known = self.groups.iter().find(|(name, _)| name.eq_ignore_ascii_case(authority));
        let (name, group) = match known {
            Some((_, group)) if group.servers.is_empty() => {
                return Err((format!("upstream `{authority}` has no server"), "add one"));
            }
            Some((name, group)) => (name.clone(), group.clone()),
            None => {
                if let Err((message, _)) = backend_address(authority) {
                    return Err((message, "name an upstream or an address"));
                }
                let port = authority.rsplit_once(':').map(|(_, port)| port);
                let has_port = port.is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
                let is_bare = !has_port && !authority.starts_with("unix:");
                let secured =
                    (is_bare && !self.met.tls.is_empty()).then(|| format!("{authority}:443"));
                let address = secured.as_deref().unwrap_or(authority);
                (short_name(authority), Group::of_address(d.name.place, address))
            }
        };
        let met = self.met.clone();
        let name = if grpc { format!("{name}-grpc") } else { name };
        let name = format!("{name}{}", met.suffix());
        let known = self.uses.iter().position(|one| {
            one.name == name
                && one.grpc == grpc
                && one.met == met
                && one.group.servers.len() == group.servers.len()
                && one
                    .group
                    .servers
                    .iter()
                    .zip(&group.servers)
                    .all(|(a, b)| a.backend.address == b.backend.address)
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let mut unique = name.clone();
        let mut n = 1;
        while self.uses.iter().any(|one| one.name == unique) {
            n += 1;
            unique = format!("{name}-{n}");
        }
        let at = group.at.unwrap_or(d.name.place);
        self.uses.push(Use { name: unique, at, grpc, met, group, named: false });
        Ok(self.uses.len() - 1)
    }
}

/// A name for the upstream that an address makes: `local-9000`, `10-0-0-1-8080`, `app-test`.
pub(super) fn short_name(authority: &str) -> String {
    let plain = match authority.strip_prefix("unix:") {
        Some(path) => path.rsplit('/').next().unwrap_or_default().trim_end_matches(".sock"),
        None => authority,
    };
    let plain = plain.replacen("127.0.0.1", "local", 1).replacen("localhost", "local", 1);
    let name: String = plain
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "backend".to_owned() } else { name.chars().take(100).collect() }
}
