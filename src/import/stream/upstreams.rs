//! Upstreams of `stream`: a group as a server uses it.

use std::time::Duration;

use super::{Refusal, Stream, at_least_some, is_of_connection};
use crate::config::backend_address;
use crate::import::draft::{Draft, Setting, Upstream};
use crate::import::finish::{default_policy, like_nginx, passive, plain_name, strategy, weighed};
use crate::import::resolver::{self, Asked};
use crate::import::tree::Directive;
use crate::import::upstream::{Group, is_name};
use crate::import::used::short_name;
use crate::import::variables::Scope;
use crate::import::write::quote;

impl Stream<'_, '_, '_> {
    /// The upstream for `to` as this server uses it; its name.
    pub(super) fn upstream(
        &mut self,
        server: &Directive,
        to: &str,
        draft: &mut Draft,
    ) -> Result<String, Refusal> {
        let (name, group) = match self.groups.get(to) {
            Some(group) if group.servers.is_empty() => {
                return Err((format!("upstream `{to}` has no server"), "add one"));
            }
            Some(group) => (to.to_owned(), group.clone()),
            None => {
                if let Err((message, _)) = backend_address(to) {
                    return Err((message, "name an upstream or an address with a port"));
                }
                (short_name(to), Group::of_address(server.name.place, to))
            }
        };
        let mut made = self.made(server, group);
        let base = plain_name(&name);
        let mut n = 1;
        loop {
            made.name = if n == 1 { base.clone() } else { format!("{base}-{n}") };
            match draft.upstreams.iter().find(|one| one.name == made.name) {
                Some(one) if is_same(one, &made) => return Ok(made.name),
                Some(_) => n += 1,
                None => break,
            }
        }
        draft.upstreams.push(made);
        Ok(draft.upstreams.last().map(|one| one.name.clone()).unwrap_or_default())
    }

    fn made(&mut self, server: &Directive, mut group: Group) -> Upstream {
        let mut policy = default_policy();
        policy.connect =
            at_least_some(self.time(server, "proxy_connect_timeout", Duration::from_mins(1)));
        policy.invalid = true;
        let tries = self.of(server, "proxy_next_upstream_tries");
        policy.tries = tries.and_then(|d| d.arg(0).parse().ok()).unwrap_or_default();
        let time = self.time(server, "proxy_next_upstream_timeout", Duration::ZERO);
        policy.timeout = (time > Duration::ZERO).then_some(time);
        if self.of(server, "proxy_next_upstream").is_some_and(|d| d.arg(0) == "off") {
            policy.tries = 1;
        }
        let names = group.servers.iter().any(|one| is_name(&one.backend.address));
        let up = group.servers.iter().filter(|one| one.backend.state != Some("disabled")).count();
        let alone = group.is_alone();
        let mut settings = strategy(&group);
        if self.is_on(server, "proxy_protocol") {
            settings.push(("send_proxy", quote("v1")));
        }
        settings.extend(self.source(server));
        settings.extend(like_nginx(&group, alone, (false, true)));
        if !alone {
            passive(&mut settings, &mut group);
        }
        if names {
            let asked: Option<Asked> = group.asked.clone().or_else(|| {
                let resolver = self.of(server, "resolver").cloned();
                resolver.map(|d| resolver::asked(&d, &mut self.t.findings))
            });
            settings.extend(asked.unwrap_or_default().settings(group.resolves));
        }
        Upstream {
            at: group.at.unwrap_or(server.name.place),
            name: String::new(),
            settings,
            backends: weighed(self.t, &group),
            policy,
            most_tries: (!names).then_some(up.max(1) as u32),
            alone,
            used: true,
        }
    }

    /// Where connections leave from.
    fn source(&mut self, server: &Directive) -> Vec<Setting> {
        let Some(d) = self.of(server, "proxy_bind").cloned() else { return Vec::new() };
        let found = resolver::source(&d, false, &Scope::default(), &mut self.t.findings);
        if found.iter().all(|(_, value)| is_of_connection(value)) {
            return found;
        }
        let why = "its variable is not known of a connection: the system chooses the address";
        self.t.findings.missing(&d, why, "bind to `$remote_addr`");
        Vec::new()
    }
}

/// Whether two are the same but for where they stand.
fn is_same(one: &Upstream, other: &Upstream) -> bool {
    let addresses = |upstream: &Upstream| {
        upstream.backends.iter().map(|backend| backend.address.clone()).collect::<Vec<_>>()
    };
    one.settings == other.settings
        && one.policy == other.policy
        && one.at == other.at
        && addresses(one) == addresses(other)
}
