//! `stream`: servers that pass connections through become listeners with `mode = "tcp"`.
//!
//! Its directives have the names of those of `http` and other meanings, so that they are read here and
//! not by the table. A server of which a part cannot be carried is left out as a whole where without
//! that part its connections would go elsewhere, or to whom nginx does not let in.

mod target;
mod upstreams;

use std::collections::BTreeMap;
use std::time::Duration;

use super::draft::{Draft, Listener};
use super::listen::{At, listen};
use super::scope;
use super::table::Contexts;
use super::translate::Translator;
use super::tree::Directive;
use super::units;
use super::upstream::{Group, group};
use super::write::{quote, quoted_list};
use crate::config::show_duration;
use target::maps_asked;

/// What Plimsoll needs nothing in the place of.
const NEEDLESS: [&str; 13] = [
    "tcp_nodelay",
    "proxy_buffer_size",
    "proxy_socket_keepalive",
    "preread_buffer_size",
    "variables_hash_bucket_size",
    "variables_hash_max_size",
    "map_hash_bucket_size",
    "map_hash_max_size",
    "server_names_hash_bucket_size",
    "server_names_hash_max_size",
    "proxy_half_close",
    "error_log",
    "status_zone",
];

/// What a server cannot be without: it decides who is let in, or what becomes of a connection.
const DECISIVE: [&str; 9] =
    ["allow", "deny", "return", "pass", "js_*", "ssl_*", "proxy_ssl*", "limit_conn", "auth_*"];

/// What is read, at one of the levels.
const READ: [&str; 19] = [
    "server",
    "upstream",
    "map",
    "include",
    "listen",
    "proxy_pass",
    "ssl_preread",
    "preread_timeout",
    "proxy_protocol",
    "proxy_bind",
    "proxy_timeout",
    "proxy_connect_timeout",
    "proxy_next_upstream",
    "proxy_next_upstream_tries",
    "proxy_next_upstream_timeout",
    "set_real_ip_from",
    "resolver",
    "resolver_timeout",
    "server_name",
];

/// A `stream` under way.
struct Stream<'s, 't, 'f> {
    t: &'s mut Translator<'t, 'f>,
    all: &'s [Directive],
    groups: BTreeMap<String, Group>,
    /// Where listeners are already.
    taken: Vec<At>,
}

/// Carries a `stream` block.
pub(super) fn stream(t: &mut Translator<'_, '_>, block: &Directive, draft: &mut Draft) {
    t.findings.carried(block);
    let all = block.inner();
    let mut stream = Stream { t, all, groups: BTreeMap::new(), taken: Vec::new() };
    stream.level(all);
    stream.read_groups();
    for server in all.iter().filter(|d| d.name.text == "server") {
        if let Err((why, help)) = stream.server(server, draft) {
            stream.t.findings.missing_whole(server, &why, help);
        }
    }
    for d in all.iter().filter(|d| d.name.text == "upstream") {
        if !draft.upstreams.iter().any(|one| one.at == d.name.place) {
            stream.t.findings.missing_whole(d, "nothing that is carried leads to it", "");
        }
    }
}

/// Why a server is left out, and what to do.
type Refusal = (String, &'static str);

impl Stream<'_, '_, '_> {
    /// Tells of what a level has that is not carried, or needs nothing.
    fn level(&mut self, level: &[Directive]) {
        for d in level {
            let name = &*d.name.text;
            if NEEDLESS.contains(&name) {
                self.t.findings.carried_as(d, "Plimsoll needs nothing in its place");
            } else if name == "map" && maps_asked(d) {
                self.t.findings.carried(d);
            } else if !READ.contains(&name) || name == "map" {
                let help = "see `mode = \"tcp\"` in the reference";
                self.t.findings.missing_whole(d, "it is not carried in `stream`", help);
            } else if !["server", "upstream"].contains(&name) {
                self.t.findings.carried(d);
            }
        }
    }

    fn read_groups(&mut self) {
        for d in self.all.iter().filter(|d| d.name.text == "upstream") {
            if self.groups.contains_key(d.arg(0)) {
                let why = "an upstream of this name stands above, which counts";
                let help = "give it another name: nginx refuses it too";
                self.t.findings.missing_whole(d, why, help);
                continue;
            }
            let mut block = d.clone();
            let inner = block.block.take().unwrap_or_default();
            block.block = Some(scope::check(inner, Contexts::UPSTREAM, &mut self.t.findings));
            let mut group = group(&block, &self.t.made, &mut self.t.findings);
            if group.key.as_ref().is_some_and(|key| !is_of_connection(key)) {
                let why = "its key is not known of a connection; backends are picked in turn";
                self.t.findings.missing(d, why, "hash `$remote_addr`");
                (group.strategy, group.key) = (None, None);
            }
            self.groups.insert(d.arg(0).to_owned(), group);
        }
    }

    /// What holds of this name in a server: its own, or that of the block.
    fn of<'d>(&'d self, server: &'d Directive, name: &str) -> Option<&'d Directive> {
        let find = |level: &'d [Directive]| level.iter().find(|d| d.name.text == name);
        find(server.inner()).or_else(|| find(self.all))
    }

    fn is_on(&self, server: &Directive, name: &str) -> bool {
        self.of(server, name).is_some_and(|d| d.arg(0) == "on")
    }

    fn time(&self, server: &Directive, name: &str, usual: Duration) -> Duration {
        self.of(server, name).and_then(|d| units::time(d.arg(0))).unwrap_or(usual)
    }

    fn server(&mut self, server: &Directive, draft: &mut Draft) -> Result<(), Refusal> {
        for level in [server.inner(), self.all] {
            for d in level {
                let name = &*d.name.text;
                let fits = |one: &&str| match one.strip_suffix('*') {
                    Some(family) => name.starts_with(family),
                    None => *one == name,
                };
                let preread = name == "ssl_preread" || (name == "proxy_ssl" && d.arg(0) == "off");
                if DECISIVE.iter().any(fits) && !preread {
                    let why = format!("`{name}` is not carried in `stream`, and decides");
                    return Err((why, "keep nginx for this port, or say it in another way"));
                }
            }
        }
        let target = self.target(server)?;
        let listens = self.listens(server)?;
        self.t.findings.carried(server);
        self.level(server.inner());
        let mut settings = vec![("mode", quote("tcp"))];
        if let Some(to) = &target.otherwise {
            settings.push(("upstream", quote(&self.upstream(server, to, draft)?)));
        }
        if !target.asked.is_empty() {
            let mut by_upstream: Vec<(String, Vec<String>)> = Vec::new();
            for (name, to) in &target.asked {
                let upstream = self.upstream(server, to, draft)?;
                // Of protocols the first one counts, so that their order stays.
                let skipped =
                    if target.by_protocol { by_upstream.len().saturating_sub(1) } else { 0 };
                let known = by_upstream.iter_mut().skip(skipped).find(|(one, _)| *one == upstream);
                match known {
                    Some((_, names)) => names.push(name.clone()),
                    None => by_upstream.push((upstream, vec![name.clone()])),
                }
            }
            let tables = by_upstream.iter().map(|(upstream, names)| {
                let what = if target.by_protocol { "protocols" } else { "names" };
                format!("{{ {what} = {}, upstream = {} }}", quoted_list(names), quote(upstream))
            });
            settings.push(("sni", format!("[{}]", tables.collect::<Vec<_>>().join(", "))));
            let time = self.time(server, "preread_timeout", Duration::from_secs(30));
            settings.push(("header_timeout", quote(&show_duration(at_least_some(time)))));
        }
        let idle = self.time(server, "proxy_timeout", Duration::from_mins(10));
        if idle != Duration::from_mins(10) {
            let idle = at_least_some(idle).min(Duration::from_hours(30 * 24));
            settings.push(("tunnel_timeout", quote(&show_duration(idle))));
        }
        for (address, proxied) in listens {
            let mut settings = settings.clone();
            if proxied {
                settings.push(("proxy_protocol", "true".to_owned()));
                settings.push(("trusted_proxies", self.trusted(server)));
            }
            let at = server.name.place;
            draft.listeners.push(Listener { at, address: address.to_string(), settings });
            self.taken.push(address);
        }
        Ok(())
    }

    /// From whom a header of the PROXY protocol is taken.
    fn trusted(&mut self, server: &Directive) -> String {
        let levels = [server.inner(), self.all];
        let named = levels.iter().flat_map(|level| level.iter());
        let named = named.filter(|d| d.name.text == "set_real_ip_from" && d.arg(0) != "unix:");
        let named: Vec<String> = named.map(|d| d.arg(0).to_owned()).collect();
        if named.is_empty() {
            let note = "the address in the header counts as the client's, for `hash` too";
            self.t.findings.differs(server, note);
            return quoted_list(&["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
        }
        let note = "only from `set_real_ip_from` a header is taken; others go on without one";
        self.t.findings.differs(server, note);
        quoted_list(&named)
    }

    /// Its addresses, and whether connections begin with a header of the PROXY protocol.
    fn listens(&mut self, server: &Directive) -> Result<Vec<(At, bool)>, Refusal> {
        let mut found = Vec::new();
        for d in server.inner().iter().filter(|d| d.name.text == "listen") {
            if d.args.iter().any(|arg| arg.text == "udp") {
                return Err(("UDP is not passed on".to_owned(), "keep nginx for this port"));
            }
            for one in listen(d, &mut self.t.findings) {
                if one.tls {
                    let why = "TLS is ended here, which `mode = \"tcp\"` does not".to_owned();
                    return Err((why, "let the backend end it, or use a listener for HTTP"));
                }
                if self.taken.contains(&one.address)
                    || found.iter().any(|(at, _)| *at == one.address)
                {
                    let why = format!("`{}` is listened on above", one.address);
                    return Err((why, "nginx has one server for an address"));
                }
                found.push((one.address, one.proxy_protocol));
            }
        }
        if found.is_empty() {
            return Err(("none of its listeners is carried".to_owned(), "see its `listen`"));
        }
        Ok(found)
    }
}

/// nginx takes 0 for no time at all.
fn at_least_some(time: Duration) -> Duration {
    time.clamp(Duration::from_millis(1), Duration::from_hours(24))
}

/// Whether a key speaks of the connection alone.
fn is_of_connection(key: &str) -> bool {
    let known = ["client_ip}", "client_ip_bytes}", "client_port}", "server_port}", "server_ip}"];
    let mut variables = key.split("${").skip(1);
    variables.all(|rest| known.iter().any(|name| rest.starts_with(name)))
}

#[cfg(test)]
mod tests;
