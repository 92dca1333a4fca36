//! Routes of the draft → TOML.

use super::draft::{
    Action, Added, Check, Draft, HeaderEdit, Onward, Page, PageStatus, PathRule, Policy, Proxy,
    Rewrite, Rewriting, Route, Upstream,
};
use super::messages::ADDED_TO;
use super::write::{Writer, key, quote, quoted_list};
use super::write_upstream::retry;
use crate::config::{show_duration, show_size};

impl Writer<'_> {
    /// `[[route]]`
    pub(super) fn route(
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
        let limited = self.action(route, draft);
        if let Some(onward) = &route.onward {
            let proxied = matches!(route.action, Action::Proxy(_));
            self.onward(onward, (proxied, route.access_or_auth), common_pages);
        }
        if route.silent && draft.process.access_log.as_ref().is_some_and(|log| log.format != "off")
        {
            self.setting("access_log", "false");
        }
        if !route.logs.is_empty() {
            self.setting("access_logs", &quoted_list(&route.logs));
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

    /// What a route does; whether it takes the request's body.
    fn action(&mut self, route: &Route, draft: &Draft) -> bool {
        match &route.action {
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
            Action::Refuse => {
                self.line("# What keeps clients out here is not carried; see the report.");
                self.setting("respond", "{ status = 403 }");
                false
            }
            Action::Close => {
                self.setting("respond", &quote("close"));
                false
            }
            Action::Pass => false,
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
    fn onward(
        &mut self,
        onward: &Onward,
        (proxied, either): (bool, bool),
        common: Option<&String>,
    ) {
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
            if either {
                self.setting("access_or_auth", "true");
            }
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
            (Rewrite::Target(to), _) => self.setting("send.target", &quote(to)),
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
    let mut parts = vec![format!("regex = {}", quote(&rule.regex))];
    if rule.then != "stop" {
        parts.push(format!("to = {}", quote(&rule.to)));
    }
    if rule.then != "break" {
        parts.push(format!("then = {}", quote(rule.then)));
    }
    if rule.same {
        parts.push("same_when = true".to_owned());
    } else if !rule.when.is_empty() {
        let when: Vec<_> = rule.when.iter().map(check).collect();
        parts.push(format!("when = [{}]", when.join(", ")));
    }
    format!("{{ {} }}", parts.join(", "))
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
pub(super) fn common_pages(routes: &[Route]) -> Option<String> {
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
    let to = match &page.file {
        None => format!("to = {}", quote(&page.to)),
        Some(kind) => format!("file = {}, content_type = {}", quote(&page.to), quote(kind)),
    };
    format!("{{ statuses = [{}], {to}{status} }}", statuses.join(", "))
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}
