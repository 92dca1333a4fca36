//! The draft → TOML as a person would write it: in order, without what goes without saying, with
//! comments that name the lines it comes from.

use std::fmt::Write as _;
use std::time::Duration;

use super::draft::{
    Action, Added, Check, Draft, HeaderEdit, Onward, Page, PageStatus, PathRule, Policy, Proxy,
    Rewrite, Rewriting, Route, Upstream,
};
use super::finish::usual_body_limit;
use super::messages::ADDED_TO;
use crate::config::{Faults, Place, show_duration, show_size};

/// Names of places: the file below the main file's folder, and the line.
pub(super) struct Places<'f> {
    pub faults: &'f Faults,
    pub folder: String,
}

impl Places<'_> {
    /// `sites/app.conf:12`
    pub(super) fn name(&self, at: Place) -> String {
        let (file, line, _) = self.faults.position(at);
        let file = file.strip_prefix(&self.folder).unwrap_or(file).trim_start_matches('/');
        format!("{file}:{line}")
    }
}

/// A text as TOML: in '…' where backslashes would have to be doubled.
pub(super) fn quote(text: &str) -> String {
    let literal = !text.contains(['\'', '\u{7f}']) && !text.chars().any(char::is_control);
    if text.contains(['\\', '"']) && literal {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A list of texts as TOML.
pub(super) fn quoted_list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", "))
}

/// A key as TOML: bare where that is possible.
fn key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(bare) { text.to_owned() } else { quote(text) }
}

/// Writes the file.
pub(super) fn write(draft: &Draft, main: &str, places: &Places<'_>) -> String {
    let mut out = Writer { text: String::new(), places };
    out.line(&format!("# Imported from {main} by `plimsoll import-nginx`."));
    out.line("# Comments name the lines that settings come from; what nginx has by default is written out");
    out.line("# where Plimsoll's own default is another.");
    out.process(draft);
    for variable in &draft.variables {
        out.section(&format!("[variable.{}]", key(&variable.name)), variable.at);
        for (name, value) in &variable.lines {
            out.setting(name, value);
        }
    }
    let body_limit = usual_body_limit(&draft.routes);
    let common = common_pages(&draft.routes);
    for listener in &draft.listeners {
        out.section("[[listener]]", listener.at);
        out.setting("address", &quote(&listener.address));
        for (name, value) in &listener.settings {
            out.setting(name, value);
        }
        if let Some(pages) = &common {
            out.setting("error_pages", pages);
        }
    }
    for route in &draft.routes {
        out.route(route, draft, body_limit, common.as_ref());
    }
    for upstream in draft.upstreams.iter().filter(|one| one.used) {
        out.upstream(upstream);
    }
    for limit in &draft.limits {
        out.section(&format!("[limit.{}]", key(&limit.name)), limit.at);
        for (name, value) in &limit.settings {
            out.setting(name, value);
        }
    }
    out.text
}

struct Writer<'w> {
    text: String,
    places: &'w Places<'w>,
}

impl Writer<'_> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn setting(&mut self, name: &str, value: &str) {
        self.line(&format!("{name} = {value}"));
    }

    /// The same with the line it comes from.
    fn setting_at(&mut self, name: &str, value: &str, at: Place) {
        let place = self.places.name(at);
        self.line(&format!("{name} = {value} # {place}"));
    }

    fn section(&mut self, head: &str, at: Place) {
        let place = self.places.name(at);
        self.line("");
        self.line(&format!("{head} # {place}"));
    }

    fn process(&mut self, draft: &Draft) {
        let process = &draft.process;
        self.line("");
        match (process.workers, process.workers_at) {
            (Some(count), Some(at)) => self.setting_at("workers", &count.to_string(), at),
            (Some(count), None) => {
                self.line(&format!("workers = {count} # nginx without worker_processes"));
            }
            (None, _) => self.line("# workers: one per core"),
        }
        if let Some((time, at)) = process.drain {
            self.setting_at("drain_timeout", &quote(&show_duration(time)), at);
        }
        if let Some(log) = &process.access_log
            && (log.format != "combined" || log.path.is_some() || log.when.is_some())
        {
            self.section("[access_log]", log.at);
            if log.format != "combined" {
                self.setting("format", &quote(log.format));
            }
            if let Some(form) = &log.form {
                self.setting("template", &quote(&form.template));
                if form.escape != "default" {
                    self.setting("escape", &quote(form.escape));
                }
            }
            if let Some(when) = &log.when {
                self.setting("when", &quote(when));
            }
            if let Some(path) = &log.path {
                self.setting("path", &quote(path));
            }
        }
        self.line("");
        self.line("# Metrics and status, for this machine only:");
        self.line("# [admin]");
        self.line("# address = \"127.0.0.1:9901\"");
    }

    fn route(
        &mut self,
        route: &Route,
        draft: &Draft,
        body_limit: u64,
        common_pages: Option<&String>,
    ) {
        self.section("[[route]]", route.at);
        self.setting("name", &quote(&route.name));
        if !route.listeners.is_empty() {
            self.setting("listeners", &quoted_list(&route.listeners));
        }
        if !route.hosts.is_empty() {
            self.setting("hosts", &quoted_list(&route.hosts));
        }
        self.path(route);
        if route.first {
            self.setting("first", "true");
        }
        if route.before_regex {
            self.setting("before_regex", "true");
        }
        match &*route.when {
            [] => {}
            [one] => self.setting("when", &format!("[{}]", check(one))),
            all => {
                let all = all.iter().map(|one| format!("  {},\n", check(one)));
                self.setting("when", &format!("[\n{}]", all.collect::<String>()));
            }
        }
        self.access(&route.access);
        let limited = match &route.action {
            Action::Proxy(proxy) => {
                self.proxy(proxy, route, draft);
                true
            }
            Action::Redirect { status, to } => {
                self.setting("redirect", &format!("{{ status = {status}, to = {} }}", quote(to)));
                false
            }
            Action::Respond { status, body, content_type } => {
                self.respond(*status, body, content_type.as_deref());
                false
            }
            Action::GoTo(to) => {
                self.setting("go_to", &quote(to));
                false
            }
            Action::Close => {
                self.setting("respond", &quote("close"));
                false
            }
            Action::Pass => false,
        };
        if let Some(onward) = &route.onward {
            self.onward(onward, matches!(route.action, Action::Proxy(_)), common_pages);
        }
        if route.silent && draft.process.access_log.as_ref().is_some_and(|log| log.format != "off")
        {
            self.setting("access_log", "false");
        }
        if !route.response.remove.is_empty() {
            self.setting("response_headers.remove", &quoted_list(&route.response.remove));
        }
        self.added(&route.response.add);
        if route.ignore_client_abort && limited {
            self.setting("nginx.ignore_client_abort", "true");
        }
        if !route.limits.is_empty() {
            self.setting("limits", &format!("[{}]", route.limits.join(", ")));
        }
        if limited && route.body_limit != body_limit {
            let limit = route.body_limit.min(1 << 40);
            let limit = if limit == 0 { "unlimited".to_owned() } else { show_size(limit) };
            self.setting("max_body", &quote(&limit));
        }
    }

    /// Fields of responses: by name where that says all, else one by one.
    fn added(&mut self, added: &[Added]) {
        let named = |one: &Added, other: &Added| one.name.eq_ignore_ascii_case(&other.name);
        let unique = |one: &Added| added.iter().filter(|other| named(one, other)).count() == 1;
        let (plain, listed): (Vec<_>, Vec<_>) =
            added.iter().partition(|one| one.always && !one.replace && unique(one));
        for one in plain {
            self.setting(&format!("response_headers.add.{}", key(&one.name)), &quote(&one.value));
        }
        let listed: Vec<_> = listed.iter().map(|one| field(one)).collect();
        match &*listed {
            [] => {}
            [one] => self.setting("response_headers.fields", &format!("[{one}]")),
            many => {
                self.setting(
                    "response_headers.fields",
                    &format!("[\n  {},\n]", many.join(",\n  ")),
                );
            }
        }
    }

    fn path(&mut self, route: &Route) {
        // By bytes, also the root's slash is put another path in place of.
        let replaces = match &route.action {
            Action::Proxy(proxy) => matches!(proxy.rewrite, Rewrite::Replace(_)),
            _ => false,
        };
        match &route.path {
            PathRule::Prefix(path) if path == "/" && !replaces && !route.before_regex => {}
            PathRule::Prefix(path) => self.setting("path_prefix", &quote(path)),
            PathRule::Exact(path) => self.setting("path_exact", &quote(path)),
            PathRule::Name(name) => self.setting("path", &quote(name)),
            PathRule::Regex(regex) => self.setting("path_regex", &quote(regex)),
            PathRule::Within(prefix, regex) => {
                self.setting("path_prefix", &quote(prefix));
                self.setting("path_regex", &quote(regex));
            }
        }
    }

    /// Where requests go on.
    fn onward(&mut self, onward: &Onward, proxied: bool, common: Option<&String>) {
        if onward.internal {
            self.setting("internal", "true");
        }
        let rules: Vec<_> = onward.rewrites.iter().map(rewriting).collect();
        match &*rules {
            [] => {}
            [one] => self.setting("rewrite", &format!("[{one}]")),
            many => self.setting("rewrite", &format!("[\n  {},\n]", many.join(",\n  "))),
        }
        if let Some(auth) = &onward.auth {
            self.setting("auth", &quote(auth));
        }
        if !onward.mirrors.is_empty() {
            self.setting("mirror", &quoted_list(&onward.mirrors));
            if onward.no_mirror_body {
                self.setting("mirror_body", "false");
            }
        }
        if let Some(pages) = pages(onward).filter(|pages| Some(pages) != common) {
            self.setting("error_pages", &pages);
        }
        if !onward.pages.is_empty() {
            if proxied && onward.intercept {
                self.setting("intercept_errors", "true");
            }
            if onward.recursive {
                self.setting("nginx.recursive_error_pages", "true");
            }
        }
        if proxied && onward.accel {
            self.setting("nginx.accel_redirect", "true");
        }
    }

    /// Neighbours of one kind go into one rule.
    fn access(&mut self, access: &[(bool, String)]) {
        let rules = access.chunk_by(|one, next| one.0 == next.0).map(|rules| {
            let who: Vec<String> = rules.iter().map(|(_, who)| who.clone()).collect();
            let allow = rules.first().is_some_and(|(allow, _)| *allow);
            let kind = if allow { "allow" } else { "deny" };
            format!("{{ {kind} = {} }}", quoted_list(&who))
        });
        let rules: Vec<String> = rules.collect();
        if !rules.is_empty() {
            self.setting("access", &format!("[{}]", rules.join(", ")));
        }
    }

    fn respond(&mut self, status: u16, body: &str, content_type: Option<&str>) {
        let mut parts = vec![format!("status = {status}")];
        if !body.is_empty() {
            parts.push(format!("body = {}", quote(body)));
            let content_type = content_type.filter(|one| *one != "text/plain; charset=utf-8");
            parts.extend(content_type.map(|one| format!("content_type = {}", quote(one))));
        }
        self.setting("respond", &format!("{{ {} }}", parts.join(", ")));
    }

    fn proxy(&mut self, proxy: &Proxy, route: &Route, draft: &Draft) {
        let name = |index: usize| draft.upstreams.get(index).map_or("", |one| &*one.name);
        match &*proxy.split {
            [(one, _)] => self.setting("upstream", &quote(name(*one))),
            parts => {
                let divisor = parts.iter().fold(0, |all, (_, weight)| gcd(all, *weight)).max(1);
                let parts = parts.iter().map(|(one, weight)| {
                    format!("{{ upstream = {}, weight = {} }}", quote(name(*one)), weight / divisor)
                });
                let parts: Vec<_> = parts.collect();
                self.setting("split", &format!("[{}]", parts.join(", ")));
            }
        }
        // Only a prefix can be cut off; what an expression finds, cannot be replaced.
        match (&proxy.rewrite, &route.path) {
            (Rewrite::Asked, _) => self.setting("nginx.request_uri", "true"),
            (Rewrite::Strip, PathRule::Prefix(_)) => self.setting("strip_prefix", "true"),
            (Rewrite::Replace(to), PathRule::Prefix(_) | PathRule::Exact(_)) => {
                self.setting("replace_prefix", &quote(to));
            }
            _ => {}
        }
        if let Some(host) = &proxy.host {
            self.setting("host_header", &format!("{{ set = {} }}", quote(host)));
        }
        self.edits(&proxy.headers);
        for (name, value) in &proxy.messages {
            self.setting(name, value);
        }
        if !proxy.websocket {
            self.setting("upgrades", "[]");
        }
        let upstream = proxy.split.first().and_then(|(index, _)| draft.upstreams.get(*index));
        if let Some(upstream) = upstream {
            self.overrides(&proxy.policy, upstream);
        }
    }

    fn edits(&mut self, edits: &[HeaderEdit]) {
        let removed = edits.iter().filter_map(|edit| match edit {
            HeaderEdit::Remove(name) => Some(name.clone()),
            HeaderEdit::Set(..) => None,
        });
        let removed: Vec<_> = removed.collect();
        if !removed.is_empty() {
            self.setting("request_headers.remove", &quoted_list(&removed));
        }
        for edit in edits {
            if let HeaderEdit::Set(name, value) = edit {
                self.setting(&format!("request_headers.set.{}", key(name)), &quote(value));
            }
        }
    }

    /// What a route wants otherwise than its upstream says.
    fn overrides(&mut self, policy: &Policy, upstream: &Upstream) {
        let ours = &upstream.policy;
        for (name, time, its) in [
            ("timeouts.connect", policy.connect, ours.connect),
            ("timeouts.read", policy.read, ours.read),
            ("timeouts.write", policy.write, ours.write),
        ] {
            if time != its {
                self.setting(name, &quote(&show_duration(time)));
            }
        }
        if upstream.alone {
            return;
        }
        let (mine, its) = (retry(policy, upstream), retry(ours, upstream));
        if mine != its {
            for (name, value) in &mine {
                self.setting(&format!("retry.{name}"), value);
            }
            if mine.is_empty() {
                self.setting("retry", "{}");
            }
        }
    }

    fn upstream(&mut self, upstream: &Upstream) {
        let name = key(&upstream.name);
        self.section(&format!("[upstream.{name}]"), upstream.at);
        for (name, value) in &upstream.settings {
            self.setting(name, value);
        }
        let minute = Duration::from_mins(1);
        let policy = &upstream.policy;
        for (name, time, ours) in [
            ("timeouts.connect", policy.connect, Duration::from_secs(3)),
            ("timeouts.read", policy.read, minute),
            ("timeouts.write", policy.write, minute),
        ] {
            if time != ours {
                self.setting(name, &quote(&show_duration(time)));
            }
        }
        if !upstream.alone {
            for (name, value) in retry(policy, upstream) {
                self.setting(&format!("retry.{name}"), &value);
            }
        }
        for backend in &upstream.backends {
            self.section(&format!("[[upstream.{name}.backend]]"), backend.at);
            if let Some(name) = &backend.name {
                self.setting("name", &quote(name));
            }
            self.setting("address", &quote(&backend.address));
            if backend.weight != 1 {
                self.setting("weight", &backend.weight.to_string());
            }
            if backend.backup {
                self.setting("backup", "true");
            }
            if let Some(state) = backend.state {
                self.setting("state", &quote(state));
            }
            if backend.max_connections > 0 {
                self.setting("max_connections", &backend.max_connections.to_string());
            }
            if let Some(service) = &backend.service {
                self.setting("service", &quote(service));
            }
            if let Some(route) = &backend.route {
                self.setting("route", &quote(route));
            }
            if let Some(count) = backend.max_fails {
                self.setting("max_fails", &count.to_string());
            }
            if let Some(time) = backend.fail_timeout {
                self.setting("fail_timeout", &quote(&show_duration(time)));
            }
        }
    }
}

/// A field of responses as TOML.
fn field(added: &Added) -> String {
    let mut text = format!("{{ name = {}, value = {}", quote(&added.name), quote(&added.value));
    if !added.always {
        text.push_str(", statuses = ");
        text.push_str(ADDED_TO);
    }
    if added.replace {
        text.push_str(", replace = true");
    }
    text.push_str(" }");
    text
}

fn check(check: &Check) -> String {
    format!("{{ value = {}, {} = {} }}", quote(&check.value), check.rule, quote(&check.text))
}

fn rewriting(rule: &Rewriting) -> String {
    let (regex, to) = (quote(&rule.regex), quote(&rule.to));
    match rule.then {
        "break" => format!("{{ regex = {regex}, to = {to} }}"),
        then => format!("{{ regex = {regex}, to = {to}, then = {} }}", quote(then)),
    }
}

/// The error pages of a route.
fn pages(onward: &Onward) -> Option<String> {
    let pages: Vec<_> = onward.pages.iter().map(page).collect();
    match &*pages {
        [] => None,
        [one] => Some(format!("[{one}]")),
        many => Some(format!("[\n  {},\n]", many.join(",\n  "))),
    }
}

/// Error pages that all routes have which may need any.
fn common_pages(routes: &[Route]) -> Option<String> {
    let fails = |route: &&Route| !matches!(route.action, Action::Pass | Action::Close);
    let mut all = routes.iter().filter(fails).map(|route| route.onward.as_ref().and_then(pages));
    let first = all.next()??;
    all.all(|one| one.as_ref() == Some(&first)).then_some(first)
}

fn page(page: &Page) -> String {
    let statuses: Vec<_> = page.statuses.iter().map(u16::to_string).collect();
    let status = match page.status {
        PageStatus::OfError => String::new(),
        PageStatus::OfPage => ", page_status = true".to_owned(),
        PageStatus::Fixed(status) => format!(", status = {status}"),
    };
    format!("{{ statuses = [{}], to = {}{status} }}", statuses.join(", "), quote(&page.to))
}

/// A retry policy as far as it differs from Plimsoll's own.
fn retry(policy: &Policy, upstream: &Upstream) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    // With fewer backends than tries, all are tried anyhow.
    let all = upstream.most_tries.is_some_and(|most| most <= 3 && policy.tries == 0);
    if policy.tries != 3 && !all {
        settings.push(("tries", policy.tries.min(1_000).to_string()));
    }
    if policy.tries == 1 {
        return settings;
    }
    if let Some(time) = policy.timeout {
        settings.push(("timeout", quote(&show_duration(time))));
    }
    let words = [
        (policy.reset, "reset"),
        (policy.timed_out, "timeout"),
        (policy.invalid, "invalid_response"),
    ];
    let on: Vec<_> =
        words.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()).collect();
    if on.len() < words.len() {
        settings.push(("on", quoted_list(&on)));
    }
    if !policy.reset || !policy.timed_out {
        settings.push(("unsent", quote("as_listed")));
    }
    if !policy.statuses.is_empty() {
        let statuses: Vec<_> = policy.statuses.iter().map(u16::to_string).collect();
        settings.push(("statuses", format!("[{}]", statuses.join(", "))));
    }
    if policy.non_idempotent {
        settings.push(("non_idempotent", "true".to_owned()));
    }
    settings
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
