//! One place of a server → its routes: what is answered under which condition, and what is sent on.

use super::answer;
use super::condition::condition;
use super::draft::{Action, Added, Check, PathRule, ResponseEdits, Route};
use super::ifs::{answers, only_rewrites, scripted};
use super::location::Spot;
use super::made::MadeVariables;
use super::names::Names;
use super::pages::File;
use super::scope::effective;
use super::settings::Settings;
use super::table::Rule;
use super::translate::Translator;
use super::tree::Directive;
use super::variables::Scope;
use super::{headers, refuse};
use crate::config::Place;

/// What the routes of a server have in common.
pub(super) struct Server<'t> {
    /// The port that redirects name, if it is one for all.
    pub port: Option<u16>,
    /// Named locations with their levels.
    pub named: Vec<(&'t Directive, Vec<&'t [Directive]>)>,
    /// Error pages at which nginx serves files.
    pub files: Vec<File>,
    /// Whether there is a place to which backends can hand requests on.
    pub accel: bool,
}

impl Server<'_> {
    /// Whether there is a named location of this name.
    pub(super) fn has_named(&self, name: &str) -> bool {
        self.named.iter().any(|(named, _)| named.arg(0) == name)
    }
}

impl<'t> Translator<'t, '_> {
    /// The settings that hold at a place. `own` is whether its last level is the place's own.
    pub(super) fn settings(&mut self, levels: &[&'t [Directive]], in_server: bool) -> Settings<'t> {
        let mut s = Settings { address_unsure: self.address_unsure, ..Settings::default() };
        let f = &mut self.findings;
        for (d, row) in effective(levels) {
            match row.rule {
                Rule::Route(setter) => setter(&mut s, d, f),
                Rule::Guard if d.arg(0) == "off" => f.carried_as(d, "nobody is kept out here"),
                Rule::Guard => {
                    f.missing(d, row.doc, row.instead);
                    s.guard = Some(d);
                }
                Rule::Content => s.content = Some(d),
                Rule::Listener(_)
                    if !in_server && levels[2..].iter().any(|level| holds(level, d)) =>
                {
                    let why = "it holds for a listener as a whole";
                    f.missing(d, why, "set it for the listener");
                    s.address_unsure |= row.name.contains("real_ip");
                }
                _ => {}
            }
        }
        let logs = |level: &&&[Directive]| level.iter().any(|d| d.name.text == "access_log");
        let innermost = levels.iter().rev().find(logs).copied().unwrap_or_default();
        let logs = innermost.iter().filter(|d| d.name.text == "access_log");
        let logs: Vec<_> = logs.filter_map(|d| self.log_of.get(&d.id)).collect();
        s.silent = !innermost.is_empty() && !logs.contains(&&None);
        s.logs = logs.into_iter().flatten().cloned().collect();
        s.settle_any();
        s
    }

    /// The routes of a place, the more special ones first.
    pub(super) fn routes_of(&mut self, spot: &Spot<'t>, server: &Server<'t>) -> Vec<Route> {
        let mut s = self.settings(&spot.levels, false);
        let ifs = spot.location.inner().iter().filter(|d| d.name.text == "if");
        s.rewriting_ifs = ifs.filter(|d| rewrites_under_condition(d, &s, spot)).collect();
        let mut routes = self.routes_by(&s, spot, server);
        if routes.iter().any(|route| route.onward.is_none()) {
            let onward = self.onward(&s, &spot.scope, server).of_answer();
            for route in &mut routes {
                route.onward.get_or_insert_with(|| onward.clone());
            }
        }
        routes
    }

    fn routes_by(&mut self, s: &Settings<'t>, spot: &Spot<'t>, server: &Server<'t>) -> Vec<Route> {
        let location = spot.location;
        let edits = headers::response(s, &spot.scope, &mut self.findings);
        if let Some(why) = &spot.unread {
            let why = format!("{why}; whatever it may fit is refused with 403");
            self.findings.missing_whole(location, &why, refuse::UNREAD);
            return vec![Self::route(spot, &[], Action::Refuse, &edits, s)];
        }
        self.findings.carried(location);
        if spot.bare {
            let f = &mut self.findings;
            // nginx redirects before it looks at what is set there.
            let scope = spot.scope.before("args");
            let action = answer::with_slash(location, &spot.prefix, s, &scope, server.port, f);
            return vec![Self::route(spot, &[], action, &edits, s)];
        }
        let mut routes = Vec::new();
        // For other methods nginx takes the block in place of the location, with all that it answers.
        for d in location.inner().iter().filter(|d| d.name.text == "limit_except") {
            let when = self.other_methods(d);
            routes.extend(self.within(d, &when, spot, s, server));
            if when.is_empty() {
                return routes;
            }
        }
        let mut changed = Vec::new();
        let before = |d: &&Directive| s.answer.is_none_or(|answer| d.id < answer.id);
        for d in location.inner().iter().filter(|d| d.name.text == "if").filter(before) {
            if spot.scope.carried.contains(&d.id) {
                self.in_variables(d);
                continue;
            }
            if s.rewriting_ifs.iter().any(|one| one.id == d.id) {
                continue;
            }
            let unknown = condition(d, &spot.scope).is_none() && refuse::turns_away(d);
            if answers(d).is_none() && !unknown && !scripted(d, location) {
                changed.push(d);
            } else if let Some((when, action)) = self.early(d, s, &spot.scope, server.port) {
                if s.rewrites.iter().any(|one| one.id < d.id) && asks_for_path(d) {
                    let note = "it is asked before the `rewrite` above it, of the path as it came";
                    self.findings.differs(d, note);
                }
                let all = when.is_empty();
                routes.push(Self::route(spot, &when, action, &edits, s));
                if all {
                    return routes;
                }
            }
        }
        // Of several blocks that change something, the last one whose condition holds is taken.
        for d in changed.into_iter().rev() {
            if let Some(when) = self.changing(d, &spot.scope) {
                let all = when.is_empty();
                routes.extend(self.within(d, &when, spot, s, server));
                if all {
                    return routes;
                }
            }
        }
        routes.extend(self.mains(&[], &edits, spot, s, server));
        // What nginx answers by itself it answers before it looks at limits.
        let limits = self.zones.uses(&s.limits, &mut self.findings);
        for route in routes.iter_mut().filter(|route| route.is_limited) {
            route.limits.clone_from(&limits);
        }
        routes
    }

    /// What is done with the requests that come to a place under a condition.
    fn mains(
        &mut self,
        when: &[Check],
        edits: &ResponseEdits,
        spot: &Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<Route> {
        let mut mains = self.main(spot, s, server);
        let mut onward = self.onward(s, &spot.scope, server);
        if s.says.auth.is_some() && onward.auth.is_none() {
            mains = vec![(Vec::new(), Action::Refuse)];
        }
        onward.accel &= server.accel;
        if !mains.iter().any(|(_, action)| matches!(action, Action::Redirect { .. })) {
            match self.rewrites_of(spot, s, server.port) {
                Some(rewrites) => onward.rewrites = rewrites,
                None => mains = vec![(Vec::new(), Action::Refuse)],
            }
        }
        let with = |(more, action): (Vec<Check>, Action)| {
            let proxied = matches!(action, Action::Proxy(_));
            let mut route = Self::route(spot, &[when, &more].concat(), action, edits, s);
            let own = |(allow, who): &(bool, &str)| (*allow, (*who).to_owned());
            let is_sent_on = proxied || matches!(route.action, Action::GoTo(_));
            // Who may come in is asked behind the limits.
            route.is_limited = is_sent_on || (s.answer.is_none() && s.keeps_all_out());
            // What stands behind a word about all is never asked. To let everybody in changes nothing,
            // unless the others would be asked about.
            let last = s.access.iter().position(|(_, who)| *who == "all");
            let rules = &s.access[..last.map_or(s.access.len(), |last| last + 1)];
            let either = s.is_enough_to_ask();
            let counts = |(allow, _): &(bool, &str)| *allow == either;
            if is_sent_on && rules.iter().any(counts) && !(either && s.address_unsure) {
                route.access = rules.iter().map(own).collect();
                route.access_or_auth = either;
            }
            route.onward = Some(if is_sent_on { onward.clone() } else { onward.of_answer() });
            route
        };
        mains.into_iter().map(with).collect()
    }

    /// The routes of a block within a location, which has all that the location has.
    fn within(
        &mut self,
        d: &'t Directive,
        when: &[Check],
        spot: &Spot<'t>,
        outer: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<Route> {
        let mut levels = spot.levels.clone();
        levels.push(d.inner());
        let mut s = self.settings(&levels, false);
        if s.pass.is_none() {
            s.pass = outer.pass;
        }
        if d.name.text == "if" {
            s.answer = outer.answer;
            s.rewrites.clone_from(&outer.rewrites);
            s.rewriting_ifs.clone_from(&outer.rewriting_ifs);
        }
        s.try_files = outer.try_files;
        s.internal = outer.internal;
        s.content = s.content.or(outer.content);
        let edits = headers::response(&s, &spot.scope, &mut self.findings);
        self.mains(when, &edits, spot, &s, server)
    }

    fn route(
        spot: &Spot<'t>,
        when: &[Check],
        action: Action,
        edits: &ResponseEdits,
        s: &Settings<'_>,
    ) -> Route {
        let mut route = route(spot.location.name.place, spot.path.clone(), action, edits, s);
        route.before_regex = spot.before_regex;
        if spot.location.arg(0).starts_with('@') {
            // How long a body may be is decided where the request comes from.
            route.body_limit = 0;
        }
        // An expression that had to be spelled out is called as it was written.
        if let Some(written) = spot.location.args.last().filter(|arg| arg.text.contains("(?")) {
            route.name.clone_from(&written.text);
        }
        // What an `if` finds it finds after the location was found.
        route.when = [&*spot.also, when].concat();
        route
    }
}

/// Whether a block goes by the path, or tells it.
fn asks_for_path(block: &Directive) -> bool {
    let says = |d: &Directive| {
        d.args.iter().any(|arg| arg.text.contains("$uri") || arg.text.contains("$document_uri"))
    };
    says(block) || block.inner().iter().any(says)
}

/// Whether the rewrites of an `if` are rules with conditions; with a `return` beside it they are not,
/// for that answers in any case.
fn rewrites_under_condition(d: &Directive, s: &Settings<'_>, spot: &Spot<'_>) -> bool {
    let behind = |one: &Directive| {
        one.id > d.id && matches!(&*one.name.text, "rewrite" | "if" | "return" | "set")
    };
    // With nothing behind it there is nothing that `break` ends.
    let ends = d.inner().iter().any(|one| one.name.text == "rewrite")
        || spot.location.inner().iter().any(behind);
    only_rewrites(d) && ends && s.answer.is_none() && condition(d, &spot.scope).is_some()
}

/// Statuses to which `add_header` adds without `always`.
const ADDED_TO: [u16; 10] = [200, 201, 204, 206, 301, 302, 303, 304, 307, 308];

/// The changes of an answer, of which the status is known.
fn edits_of(action: &Action, edits: &ResponseEdits) -> ResponseEdits {
    let status = match action {
        Action::Proxy(_) | Action::GoTo(_) | Action::Close | Action::Pass => return edits.clone(),
        Action::Refuse => 403,
        Action::Redirect { status, .. } | Action::Respond { status, .. } => *status,
    };
    let added = |one: &&Added| one.always || ADDED_TO.contains(&status);
    let always = |one: &Added| Added { always: true, ..one.clone() };
    // What is removed is the backend's.
    ResponseEdits { add: edits.add.iter().filter(added).map(always).collect(), remove: Vec::new() }
}

/// A route without conditions.
pub(super) fn route(
    at: Place,
    path: PathRule,
    action: Action,
    edits: &ResponseEdits,
    s: &Settings<'_>,
) -> Route {
    let name = match &path {
        PathRule::Prefix(path) | PathRule::Exact(path) | PathRule::Name(path) => path.clone(),
        PathRule::Regex(regex) => regex.trim_start_matches("(?i)").to_owned(),
        PathRule::Within(prefix, regex) => {
            format!("{prefix}:{}", regex.trim_start_matches("(?i)"))
        }
    };
    Route {
        at,
        name,
        listeners: Vec::new(),
        hosts: Vec::new(),
        path,
        first: false,
        before_regex: false,
        when: Vec::new(),
        access: Vec::new(),
        access_or_auth: false,
        response: edits_of(&action, edits),
        action,
        ignore_client_abort: s.ignore_client_abort,
        limits: Vec::new(),
        is_limited: false,
        onward: None,
        body_limit: s.body_limit.unwrap_or(1 << 20),
        silent: s.silent,
        logs: s.logs.clone(),
    }
}

fn holds(level: &[Directive], d: &Directive) -> bool {
    level.iter().any(|one| one.id == d.id)
}

/// The scope of a server: what its `set`s say.
pub(super) fn server_scope(
    server: &Directive,
    names: &Names,
    (port, scheme): (Option<u16>, Option<&'static str>),
    made: &MadeVariables,
) -> Scope {
    let mut scope = Scope::with(made);
    scope.scheme = scheme;
    scope.names.clone_from(&names.all);
    names.regexes().for_each(|regex| scope.found("${host}", regex));
    scope.constants.insert("server_name".to_owned(), Some(names.first.clone()));
    if let Some(port) = port {
        scope.constants.insert("server_port".to_owned(), Some(port.to_string()));
    }
    super::scope::constants(server.inner(), &mut scope);
    scope
}
