//! `proxy_pass` → upstreams with their shares, and all that is sent to them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answer::{not_carried, status};
use super::condition::{Condition, mapped};
use super::draft::{Action, Check, PathRule, Policy, Proxy, Rewrite, Setting};
use super::headers;
use super::location::Spot;
use super::messages;
use super::pass::{self, Authority, Target};
use super::retries;
use super::sending;
use super::settings::Settings;
use super::to_secured;
use super::translate::Translator;
use super::tree::Directive;

/// Upstreams by their place in the list of those in use, with weights.
pub(super) type Split = Vec<(usize, u32)>;

/// A branch of a `proxy_pass`: when it is taken, where it leads, and what nginx would say in `Host`
/// where that is not what is written.
pub(super) type Branch = (Vec<Check>, Split, Option<String>);

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
            self.to_tls.clear();
            if target.tls {
                let prefix = if target.grpc { "grpc_ssl_" } else { "proxy_ssl_" };
                let of = (prefix, &*target.host);
                self.to_tls = to_secured::settings(&s.to_secured, of, &mut self.findings)?;
            }
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
        let keeps = target.grpc || (s.http11 && fields.keeps);
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
            source: s.source.clone(),
            policy: policy_of(&target, s),
            messages,
        };
        self.of_branches(d, &proxy, branches, (edits, spot))
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
                let host = host.strip_suffix(":80").unwrap_or(&host);
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
        Ok(rewrite)
    }

    /// The upstreams that a target leads to, each with its condition and share.
    fn branches(
        &mut self,
        d: &'t Directive,
        target: &Target,
        s: &Settings<'t>,
        spot: &Spot<'t>,
    ) -> Result<(Vec<Branch>, Option<Setting>), Refusal> {
        let name = match &target.authority {
            Authority::Fixed(authority) => {
                let one = self.used(d, authority, target.grpc)?;
                return Ok((vec![(Vec::new(), vec![(one, 1)], None)], None));
            }
            Authority::Asked(text) => return self.by_request(d, text, s, spot),
            Authority::Variable(name) => name.clone(),
        };
        if let Some(block) = self.maps.split(&name) {
            let branches = match self.made.find(&name).map(|made| made.name) {
                Some(ours) => self.parted(d, block, &format!("${{{ours}}}"), target.grpc)?,
                None => vec![(Vec::new(), self.split(d, block, target.grpc)?, None)],
            };
            return Ok((branches, None));
        }
        let chosen = self.mapped(d, &name, target.grpc);
        if chosen.is_err() && !target.grpc {
            let uri = target.uri.as_deref().unwrap_or_default();
            return self.by_request(d, &format!("${{{name}}}{uri}"), s, spot);
        }
        chosen.map(|branches| (branches, None))
    }

    /// The upstreams that a map gives, each with its condition.
    fn mapped(&mut self, d: &'t Directive, name: &str, grpc: bool) -> Result<Vec<Branch>, Refusal> {
        let unknown = || {
            let why = format!("`${name}` is not known when the file is read");
            (why, "name the upstreams, and choose one by route")
        };
        let map = self.maps.map(name).ok_or_else(unknown)?;
        let hosts = match map.has_hostnames().then(|| self.made.find(name)) {
            Some(made) => Some(made.ok_or_else(unknown)?.name),
            None => None,
        };
        let (block, entries): (_, Vec<_>) = (map.block, map.entries().collect());
        let mut branches = Vec::new();
        let mut otherwise = None;
        // Plain keys first, expressions in their order, as in nginx.
        let (regexes, plain): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| entry.name.text.starts_with('~'));
        for entry in plain.into_iter().chain(regexes) {
            let to = entry.arg(0);
            let to = to.strip_prefix("http://").unwrap_or(to);
            let one = self.used(d, to, grpc)?;
            let host = Some(to.to_owned());
            if entry.name.text == "default" {
                otherwise = Some((one, host));
                continue;
            }
            if let Some(ours) = &hosts {
                // Which name fits best is for the variable to say.
                let (value, text) = (format!("${{{ours}}}"), entry.arg(0).to_owned());
                branches.push((vec![Check { value, rule: "is", text }], vec![(one, 1)], host));
                continue;
            }
            let condition = mapped(block.arg(0), &entry.name.text).ok_or_else(|| {
                let why =
                    format!("no route can ask for `{}` of `{}`", entry.name.text, block.arg(0));
                (why, "choose the upstream by a header field or a cookie")
            })?;
            match condition {
                Condition::When(checks) => branches.push((checks, vec![(one, 1)], host)),
                Condition::Always => branches.push((Vec::new(), vec![(one, 1)], host)),
                Condition::Never => {}
            }
        }
        let (otherwise, host) = otherwise.ok_or_else(|| {
            let why = format!("`${name}` has no default");
            (why, "add a `default` to the map")
        })?;
        let mut seen = BTreeSet::new();
        branches.retain(|(when, ..)| when.is_empty() || seen.insert(when.clone()));
        branches.push((Vec::new(), vec![(otherwise, 1)], host));
        self.findings.carried(block);
        Ok(branches)
    }

    /// The upstreams of a `split_clients`, each where the variable made of it names it.
    fn parted(
        &mut self,
        d: &'t Directive,
        block: &'t Directive,
        value: &str,
        grpc: bool,
    ) -> Result<Vec<Branch>, Refusal> {
        let mut branches = Vec::new();
        for entry in block.inner() {
            let to = entry.arg(0);
            let one = vec![(self.used(d, to, grpc)?, 1)];
            let check = Check { value: value.to_owned(), rule: "is", text: to.to_owned() };
            let when = if entry.name.text == "*" { Vec::new() } else { vec![check] };
            branches.push((when, one, Some(to.to_owned())));
        }
        let first_of_all = branches.iter().position(|(when, ..)| when.is_empty());
        if first_of_all.is_none_or(|at| at + 1 != branches.len()) {
            return Err(("the shares do not add up".to_owned(), "end with `*`"));
        }
        let mut seen = BTreeSet::new();
        branches.retain(|(when, ..)| seen.insert(when.clone()));
        self.findings.carried(block);
        Ok(branches)
    }

    /// The shares of a `split_clients` whose key has no counterpart.
    fn split(
        &mut self,
        d: &'t Directive,
        block: &'t Directive,
        grpc: bool,
    ) -> Result<Split, Refusal> {
        let mut split: Vec<(usize, u32)> = Vec::new();
        let mut left = 10_000_u32;
        for entry in block.inner() {
            let share = match &*entry.name.text {
                "*" => left,
                text => percent(text)
                    .filter(|share| *share <= left)
                    .ok_or_else(|| (format!("`{text}` is no share"), "write it like `10%`"))?,
            };
            left -= share;
            let one = self.used(d, entry.arg(0), grpc)?;
            match split.iter_mut().find(|(known, _)| *known == one) {
                Some((_, weight)) => *weight += share,
                None => split.push((one, share)),
            }
        }
        split.retain(|(_, weight)| *weight > 0);
        if split.is_empty() || left > 0 {
            return Err(("the shares do not add up".to_owned(), "end with `*`"));
        }
        self.findings.differs(
            block,
            "each request is drawn for itself, where nginx goes by the key: a client may see several",
        );
        Ok(split)
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

/// `12.5%` in hundredths of a percent.
fn percent(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 2 {
        return None;
    }
    let part: u32 = format!("{part:0<2}").parse().ok()?;
    whole.parse::<u32>().ok().filter(|whole| *whole <= 100).map(|whole| whole * 100 + part)
}

/// `rewrite ^/prefix/(.*)$ /other/$1 break` in the location of that prefix.
pub(super) fn prefix_rewrite(d: &Directive, spot: &Spot<'_>) -> Option<Rewrite> {
    let PathRule::Prefix(_) = &spot.path else {
        return None;
    };
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
    let streams = s.request_streaming && s.says.mirrors.is_empty() && !target.grpc;
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
