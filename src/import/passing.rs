//! `proxy_pass` → upstreams with their shares, and all that is sent to them.

use std::time::Duration;

use super::answer::{not_carried, status};
use super::branches::Branch;
use super::draft::{Action, Check, PathRule, Policy, Proxy, Rewrite};
use super::findings::Findings;
use super::headers;
use super::location::Spot;
use super::messages;
use super::pass::{self, Target};
use super::resolver;
use super::retries;
use super::sending;
use super::settings::Settings;
use super::to_secured;
use super::translate::Translator;
use super::tree::Directive;
use super::used::Met;
use super::variables::{Part, Scope, parts};
use crate::config::Stage;

/// Why something is not carried, and what to do instead.
pub(super) type Refusal = (String, &'static str);

impl<'t> Translator<'t, '_> {
    /// A `proxy_pass`, with the condition of each of its branches.
    pub(super) fn pass(
        &mut self,
        d: &'t Directive,
        rewrites: &[&'t Directive],
        spot: &Spot<'t>,
        s: &Settings<'t>,
    ) -> Vec<(Vec<Check>, Action)> {
        let found = pass::target(d, &spot.scope).and_then(|target| {
            self.met = self.met(&target, s, spot)?;
            self.branches(d, &target, s, spot).map(|found| (target, found))
        });
        let (mut target, (branches, to)) = match found {
            Ok(found) => found,
            Err((why, help)) => {
                self.findings.missing(d, &why, help);
                return vec![(Vec::new(), status(502))];
            }
        };
        for (index, _) in branches.iter().flat_map(|(_, split, _)| split) {
            let group = &mut self.uses[*index].group;
            group.resolves |= target.variable;
            if to.is_none() && group.asked.is_none() && s.resolver.is_some() {
                let asked = group.asked.insert(s.resolver.clone().unwrap_or_default());
                asked.timeout = s.resolver_timeout;
            }
        }
        self.findings.carried(d);
        if to.is_some() {
            // What stands behind goes with it.
            target.uri = None;
        }
        let rewrite = match self.rewrite(d, &target, rewrites, spot) {
            Ok(rewrite) => rewrite,
            Err((why, help)) => {
                self.findings.missing(d, &format!("{why}: the answer is 501"), help);
                return vec![(Vec::new(), not_carried())];
            }
        };
        let f = &mut self.findings;
        let edits = if target.grpc { &s.grpc_set_headers } else { &s.set_headers };
        let first = branches.first().and_then(|(.., host)| host.as_deref());
        let host = first.unwrap_or(&target.host);
        let (scope, host) = match &to {
            None => (spot.scope.with_target(host), host),
            _ => (spot.scope.by_request(), "${to.host}"),
        };
        let fields = headers::request(edits, host, d, (&scope, &self.maps), f);
        if target.grpc {
            let note = "what goes wrong in the proxy is told to callers in `grpc-status`, where nginx has a page";
            f.differs(d, note);
        }
        let mut messages = messages::messages(d, &target, s, spot, f);
        messages.splice(0..0, to.clone());
        sending::settings(&mut messages, s, &scope, f);
        let keeps = target.grpc || self.met.http2 || (s.http11 && fields.keeps);
        self.lint_pass(d, &target, &branches, s, keeps);
        let proxy = Proxy {
            split: Vec::new(),
            by_request: to.is_some(),
            rewrite,
            host: fields.host,
            headers: fields.edits,
            appends: fields.appends,
            real_ip: fields.real_ip,
            websocket: fields.websocket && s.http11,
            keeps,
            policy: policy_of(&target, s),
            messages,
        };
        self.of_branches(d, &proxy, branches, (edits, spot))
    }

    /// How the backends of a target are met.
    fn met(&mut self, target: &Target, s: &Settings<'t>, spot: &Spot<'t>) -> Result<Met, Refusal> {
        let f = &mut self.findings;
        let mut met = Met { http2: s.http2 && !target.grpc, ..Met::default() };
        let shared = target.grpc || met.http2;
        met.source =
            s.source.map(|d| resolver::source(d, shared, &spot.scope, f)).unwrap_or_default();
        if target.tls {
            let prefix = if target.grpc { "grpc_ssl_" } else { "proxy_ssl_" };
            let one_each = !target.grpc && !met.http2;
            let of = (prefix, &*target.host, one_each);
            met.tls = to_secured::settings(&s.to_secured, of, &spot.scope, f)?;
        }
        Ok(met)
    }

    /// The route of each branch, with the `Host` that nginx sends there.
    fn of_branches(
        &mut self,
        d: &'t Directive,
        proxy: &Proxy,
        branches: Vec<Branch>,
        (edits, spot): (&[&'t Directive], &Spot<'t>),
    ) -> Vec<(Vec<Check>, Action)> {
        let mut all = Vec::with_capacity(branches.len());
        for (when, split, host) in branches {
            let mut proxy = Proxy { split, ..proxy.clone() };
            if let Some(host) = host {
                let host = match host.strip_suffix(":80") {
                    Some(host) => host,
                    None if host.starts_with("unix:") => "localhost",
                    None => &host,
                };
                let scope = spot.scope.with_target(host);
                let f = &mut self.findings;
                let fields = headers::request(edits, host, d, (&scope, &self.maps), f);
                (proxy.host, proxy.headers) = (fields.host, fields.edits);
            }
            all.push((when, Action::Proxy(Box::new(proxy))));
        }
        all
    }

    /// What is done with the path, by `proxy_pass` and by `rewrite`.
    fn rewrite(
        &mut self,
        d: &Directive,
        target: &Target,
        rewrites: &[&Directive],
        spot: &Spot<'t>,
    ) -> Result<Rewrite, Refusal> {
        let f = &mut self.findings;
        let mut rewrite = pass::rewrite(d, target, &spot.path, (&spot.prefix, &spot.scope), f)?;
        if let [one] = rewrites
            && rewrite == Rewrite::Keep
            && let Some(other) = prefix_rewrite(one, spot)
        {
            f.carried(one);
            rewrite = other;
        }
        Ok(if spot.scope.knows("args") { with_query(d, rewrite, &spot.scope, f) } else { rewrite })
    }

    fn lint_pass(
        &mut self,
        d: &Directive,
        target: &Target,
        branches: &[Branch],
        s: &Settings<'_>,
        keeps: bool,
    ) {
        let f = &mut self.findings;
        for (index, _) in branches.iter().flat_map(|(_, split, _)| split) {
            let group = &self.uses[*index].group;
            if let (Some((_, at)), false) = (group.keepalive, keeps) {
                f.lint(
                    at,
                    "`keepalive` keeps no connection where `proxy_pass` speaks HTTP/1.0 or sends Connection: close",
                    "add `proxy_http_version 1.1;` and `proxy_set_header Connection \"\";`",
                );
            }
            let named =
                group.servers.iter().any(|one| super::upstream::is_name(&one.backend.address));
            if named && !target.variable && s.resolver.is_some() && !group.resolves {
                f.lint(
                    d.args[0].place,
                    "nginx asks for this name once, at start, and never again, whatever `resolver` says",
                    "Plimsoll asks again by TTL; in nginx, use a variable or `server … resolve`",
                );
            }
        }
    }
}

/// The same with the query that `set $args` makes.
fn with_query(d: &Directive, rewrite: Rewrite, scope: &Scope, f: &mut Findings<'_>) -> Rewrite {
    let query = match (&rewrite, scope.template("$args", Stage::Request)) {
        // What the client asked for is sent whatever was set, and a text has its own query.
        (Rewrite::Asked | Rewrite::Target(_), _) => return rewrite,
        (Rewrite::Keep, Ok(query)) => query,
        _ => {
            let why = "the query that `set $args` makes is not sent: the client's is";
            f.missing(d, why, "write `send.target` into the route");
            return rewrite;
        }
    };
    query.notes.iter().for_each(|note| f.differs(d, note));
    let mark = if query.text.is_empty() { "" } else { "?" };
    if query.text.starts_with("${") {
        f.differs(d, "a `?` stands behind the path where nothing comes of `$args`");
    }
    Rewrite::Target(format!("${{normalized_path}}{mark}{}", query.text))
}

/// `rewrite ^/prefix/(.*)$ /other/$1 break` in the location of that prefix.
pub(super) fn prefix_rewrite(d: &Directive, spot: &Spot<'_>) -> Option<Rewrite> {
    let PathRule::Prefix(_) = &spot.path else {
        return None;
    };
    // Who asks for the path gets the one that was made.
    let asks = |d: &&Directive| {
        let mut parts = d.args.iter().flat_map(|arg| parts(&arg.text));
        parts.any(|part| matches!(part, Part::Variable("uri" | "document_uri")))
    };
    if spot.levels.iter().flat_map(|level| level.iter()).any(|d| asks(&d)) {
        return None;
    }
    let bare = spot.prefix.trim_end_matches('/');
    if d.arg(2) != "break" {
        return None;
    }
    let regex = d.arg(0).strip_prefix('^')?.strip_prefix(&*regex::escape(bare))?;
    let to = match regex.trim_end_matches('$') {
        "/(.*)" | "/?(.*)" => d.arg(1).strip_suffix("/$1")?,
        "(/.*)" | "(.*)" => d.arg(1).strip_suffix("$1")?,
        _ => return None,
    };
    if to.is_empty() {
        return Some(Rewrite::Strip);
    }
    let to = if spot.prefix.ends_with('/') { format!("{to}/") } else { to.to_owned() };
    (crate::config::is_path(&to) && !to.contains(['?', '$'])).then_some(Rewrite::Replace(to))
}

/// What holds at a place for this target.
fn policy_of(target: &Target, s: &Settings<'_>) -> Policy {
    // nginx never keeps what it sends by `grpc_pass`.
    let streams = (s.request_streaming || target.grpc) && s.says.mirrors.is_empty();
    Policy { streams, ..policy(if target.grpc { &s.grpc } else { &s.proxy }) }
}

/// What holds with nginx's defaults.
fn policy(p: &retries::Policy) -> Policy {
    let minute = Duration::from_mins(1);
    let within = |time: Option<Duration>| {
        let time = time.unwrap_or(minute);
        time.clamp(Duration::from_millis(1), Duration::from_hours(24))
    };
    let next = p.next.clone().unwrap_or(retries::Next {
        off: false,
        error: true,
        timeout: true,
        invalid: false,
        non_idempotent: false,
        statuses: Vec::new(),
    });
    let timeout = p.timeout.filter(|time| !time.is_zero());
    Policy {
        connect: within(p.connect),
        read: within(p.read),
        write: within(p.write),
        tries: if next.off { 1 } else { p.tries.unwrap_or(0) },
        timeout: timeout.map(|time| time.min(Duration::from_hours(24))),
        reset: next.error && !next.off,
        timed_out: next.timeout && !next.off,
        invalid: next.invalid && !next.off,
        statuses: if next.off { Vec::new() } else { next.statuses },
        non_idempotent: next.non_idempotent,
        streams: false,
    }
}
