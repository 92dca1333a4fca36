//! `stream`: servers that pass connections through become listeners with `mode = "tcp"`.
//!
//! Its directives have the names of those of `http` and other meanings, so that they are read here and
//! not by the table. A server of which a part cannot be carried is left out as a whole where without
//! that part its connections would go elsewhere, or to whom nginx does not let in.

use std::collections::BTreeMap;
use std::time::Duration;

use super::draft::{Draft, Listener, Upstream};
use super::finish::{default_policy, like_nginx, passive, plain_name, weighed};
use super::listen::{At, listen};
use super::resolver::{self, Asked};
use super::scope;
use super::table::Contexts;
use super::translate::Translator;
use super::tree::Directive;
use super::units;
use super::upstream::{Group, group, is_name};
use super::used::short_name;
use super::write::{quote, quoted_list};
use crate::config::{backend_address, show_duration};

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
const READ: [&str; 18] = [
    "server",
    "upstream",
    "map",
    "include",
    "listen",
    "proxy_pass",
    "ssl_preread",
    "preread_timeout",
    "proxy_protocol",
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

/// Where connections go: by the name that a client asks for, and else.
#[derive(Default)]
struct Target {
    /// Names, and the server or group of each.
    names: Vec<(String, String)>,
    otherwise: Option<String>,
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
            } else if name == "map" && maps_names(d) {
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
        if !target.names.is_empty() {
            let mut by_upstream: Vec<(String, Vec<String>)> = Vec::new();
            for (name, to) in &target.names {
                let upstream = self.upstream(server, to, draft)?;
                match by_upstream.iter_mut().find(|(one, _)| *one == upstream) {
                    Some((_, names)) => names.push(name.clone()),
                    None => by_upstream.push((upstream, vec![name.clone()])),
                }
            }
            let tables = by_upstream.iter().map(|(upstream, names)| {
                format!("{{ names = {}, upstream = {} }}", quoted_list(names), quote(upstream))
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

    fn target(&self, server: &Directive) -> Result<Target, Refusal> {
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
            d.name.text == "map" && d.arg(1).strip_prefix('$') == Some(variable) && maps_names(d)
        };
        let Some(map) = self.all.iter().find(is_it) else {
            let why = format!("`{to}` is no `map` of `$ssl_preread_server_name`");
            return Err((why, "connections can go by that name only"));
        };
        let mut target = of_map(map)?;
        if !self.is_on(server, "ssl_preread") {
            target.names.clear();
        }
        if target.names.is_empty() && target.otherwise.is_none() {
            return Err(("every connection is closed".to_owned(), ""));
        }
        Ok(target)
    }

    /// The upstream for `to` as this server uses it; its name.
    fn upstream(
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
        let mut settings = Vec::new();
        settings.extend(group.strategy.map(|strategy| ("strategy", quote(strategy))));
        if group.two {
            settings.push(("choices", "2".to_owned()));
        }
        settings.extend(group.key.as_ref().map(|key| ("key", quote(key))));
        if self.is_on(server, "proxy_protocol") {
            settings.push(("send_proxy", quote("v1")));
        }
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
}

/// Whether a `map` goes by the name that a client asks for.
fn maps_names(d: &Directive) -> bool {
    d.arg(0) == "$ssl_preread_server_name"
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

/// Where a `map` leads.
fn of_map(map: &Directive) -> Result<Target, Refusal> {
    let hostnames = map.inner().iter().any(|d| d.name.text == "hostnames" && d.args.is_empty());
    let mut target = Target::default();
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
            target.names.push((format!("*.{plain}"), to.to_owned()));
        }
        if below.is_none() || name.starts_with('.') {
            target.names.push((plain.to_owned(), to.to_owned()));
        }
    }
    let mut seen = Vec::new();
    target.names.retain(|(name, _)| {
        let fresh = !seen.contains(name);
        seen.push(name.clone());
        fresh
    });
    Ok(target)
}

#[cfg(test)]
mod tests {
    use crate::import::tests::imported;

    fn toml(stream: &str) -> String {
        let text = format!("events {{}} stream {{ {stream} }}");
        let toml = imported(&[("nginx.conf", &text)]).toml;
        let loaded = crate::config::parse("imported.toml", &toml, &|_| None);
        loaded.unwrap_or_else(|report| panic!("{report}\n{toml}"));
        toml
    }

    fn left_out(server: &str) {
        let text = format!(
            "http {{ server {{ listen 80; location / {{ return 204; }} }} }} \
             stream {{ server {{ {server} }} }}"
        );
        let toml = imported(&[("nginx.conf", &text)]).toml;
        assert!(!toml.contains("tcp"), "{server}: {toml}");
    }

    #[test]
    fn servers_become_listeners_that_pass_connections_through() {
        let toml = toml(
            "upstream db { least_conn; server 10.0.0.1:5432 max_fails=2; server 10.0.0.2:5432 backup; }\n\
             server { listen 127.0.0.1:5432; proxy_pass db; proxy_timeout 1h; \
             proxy_connect_timeout 2s; proxy_protocol on; }\n\
             server { listen 6379 proxy_protocol; proxy_pass 10.0.0.3:6379; }",
        );
        for line in [
            "mode = \"tcp\"",
            "upstream = \"db\"",
            "tunnel_timeout = \"1h\"",
            "strategy = \"least_connections\"",
            "send_proxy = \"v1\"",
            "timeouts.connect = \"2s\"",
            "passive.max_fails",
            "backup = true",
            "proxy_protocol = true",
            "trusted_proxies = [\"0.0.0.0/0\", \"::/0\"]",
            "upstream = \"10-0-0-3-6379\"",
        ] {
            assert!(toml.contains(line), "{line}: {toml}");
        }
    }

    #[test]
    fn one_group_in_two_ways_is_two_upstreams() {
        let toml = toml(
            "upstream db { server 10.0.0.1:1; server 10.0.0.2:1; } proxy_timeout 5m;\n\
             server { listen 1; proxy_pass db; } server { listen 2; proxy_pass db; }\n\
             server { listen 3; proxy_pass db; proxy_protocol on; }",
        );
        assert_eq!(toml.matches("upstream = \"db\"").count(), 2, "{toml}");
        assert!(toml.contains("upstream = \"db-2\""), "{toml}");
        assert_eq!(toml.matches("tunnel_timeout = \"5m\"").count(), 3, "{toml}");
    }

    #[test]
    fn connections_go_by_the_name_that_is_asked_for() {
        let toml = toml(
            "map $ssl_preread_server_name $to { hostnames; a.test one; .b.test one; *.c.test \
             10.0.0.9:443; default two; }\n\
             upstream one { server 10.0.0.1:443; } upstream two { server 10.0.0.2:443; }\n\
             server { listen 443; ssl_preread on; proxy_pass $to; }",
        );
        let names = "sni = [{ names = [\"a.test\", \"*.b.test\", \"b.test\"], upstream = \"one\" }, \
                     { names = [\"*.c.test\"], upstream = \"10-0-0-9-443\" }]";
        assert!(toml.contains(names), "{toml}");
        assert!(toml.contains("upstream = \"two\""), "{toml}");
        assert!(toml.contains("header_timeout = \"30s\""), "{toml}");
    }

    #[test]
    fn what_cannot_be_carried_is_left_out_with_its_server() {
        for server in [
            "listen 53 udp; proxy_pass 10.0.0.1:53;",
            "listen 443 ssl; proxy_pass 10.0.0.1:80;",
            "listen 1; proxy_pass 10.0.0.1:1; allow 10.0.0.0/8; deny all;",
            "listen 1; proxy_pass 10.0.0.1:1; proxy_ssl on;",
            "listen 1; proxy_pass $elsewhere;",
            "listen 1; return hello;",
            "listen 1;",
            "listen 1; proxy_pass nowhere/at/all;",
        ] {
            left_out(server);
        }
    }

    #[test]
    fn a_key_that_is_not_known_of_a_connection_is_told() {
        let by = |key: &str| {
            toml(&format!(
                "upstream a {{ hash {key} consistent; server 10.0.0.1:1; server 10.0.0.2:1; }} \
                 server {{ listen 1; proxy_pass a; }}"
            ))
        };
        assert!(by("$remote_addr").contains("strategy = \"consistent_hash\""));
        assert!(!by("$http_x").contains("strategy"));
    }
}
