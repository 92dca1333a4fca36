//! What a location does with the requests that none of its conditions takes: sends them on, answers
//! them, or rewrites them.

use super::answer::{answer, not_carried, redirecting_rewrite, status};
use super::draft::{Action, Check, Rewriting};
use super::location::Spot;
use super::routes::Server;
use super::settings::Settings;
use super::translate::Translator;
use super::tree::Directive;
use super::{onward, pass, passing, refuse};
use crate::config::Stage;

const FILE_SERVER: &str = "serve files by a file server of their own, as an upstream";

impl<'t> Translator<'t, '_> {
    /// What is done with requests that no `if` answered, with conditions.
    pub(super) fn main(
        &mut self,
        spot: &Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Vec<(Vec<Check>, Action)> {
        let f = &mut self.findings;
        let only = |action| vec![(Vec::new(), action)];
        if let Some(d) = s.rewrites.first().filter(|d| s.answer.is_none_or(|one| d.id < one.id))
            && let Some(action) = redirecting_rewrite(d, s, &spot.scope, server.port, f)
        {
            return only(action);
        }
        if let Some(d) = s.answer {
            let action = answer(d, s, &spot.scope, server.port, f);
            return only(action);
        }
        if s.keeps_all_out() {
            for d in s.pass.into_iter().chain(s.try_files) {
                f.missing(d, "its route refuses everybody, see the access rules", "");
            }
            return only(refuse::answer(s));
        }
        if let Some(d) = s.try_files {
            return only(self.try_files(d, spot, s, server));
        }
        match s.pass {
            Some(d) => {
                if let Some(content) = s.content {
                    f.carried_as(content, "no files are served here");
                }
                // Among rules with conditions, none is made of the prefix.
                let rewrites = if s.rewriting_ifs.is_empty() { &*s.rewrites } else { &[] };
                self.pass(d, rewrites, spot, s)
            }
            None if s.rewrites.is_empty() => only(self.served(spot.location, s)),
            // What no rewrite takes elsewhere would be a file.
            None => only(status(404)),
        }
    }

    /// The rewrites of a place, as far as they are not its action; `None` if one cannot be carried, so
    /// that nobody knows where its requests belong.
    pub(super) fn rewrites_of(
        &mut self,
        spot: &Spot<'t>,
        s: &Settings<'t>,
        port: Option<u16>,
    ) -> Option<Vec<Rewriting>> {
        if let [one] = &*s.rewrites
            && s.rewriting_ifs.is_empty()
            && s.pass.is_some_and(|d| keeps_path(d, spot))
            && passing::prefix_rewrite(one, spot).is_some()
        {
            return Some(Vec::new());
        }
        let mut rules = Vec::new();
        let mut all: Vec<_> = s.rewrites.iter().chain(&s.rewriting_ifs).copied().collect();
        all.sort_by_key(|d| d.id);
        for d in all {
            if d.name.text == "if" {
                rules.extend(self.conditional(d, s, &spot.scope, port)?);
                continue;
            }
            let f = &mut self.findings;
            let Some(rule) = onward::rewriting(d, s, &spot.scope, port, f) else {
                f.missing(d, "without it, all requests are refused here with 403", "");
                return None;
            };
            let is_answered = s.answer.is_some();
            if s.answer.is_some_and(|answer| answer.id < d.id)
                || (is_answered && rule.then == "next")
            {
                f.carried_as(d, "the `return` beside it answers");
            } else if is_answered && rule.then == "break" {
                f.differs(d, "the `return` behind it answers all the same");
            } else {
                rules.push(rule);
            }
        }
        Some(rules)
    }

    /// `try_files` without files: what it ends with takes every request.
    fn try_files(
        &mut self,
        d: &'t Directive,
        spot: &Spot<'t>,
        s: &Settings<'t>,
        server: &Server<'t>,
    ) -> Action {
        let f = &mut self.findings;
        let last = d.args.last().map_or("", |arg| &*arg.text);
        if let Some(content) = s.content {
            f.missing(content, "no files are served", FILE_SERVER);
        }
        f.differs(d, &format!("no files are served: `{last}` takes every request"));
        if let Some(code) = last.strip_prefix('=') {
            let code = code.parse().ok().filter(|code| (200..600).contains(code));
            return status(code.unwrap_or(404));
        }
        if last.starts_with('@') && !server.has_named(last) {
            f.missing(d, "there is no such location: the answer is 501", "correct it");
            return not_carried();
        }
        match spot.scope.template(last, Stage::Request) {
            Ok(to) if to.text.starts_with(['/', '@']) => Action::GoTo(to.text),
            _ => {
                f.missing(d, "no files are served: the answer is 501", FILE_SERVER);
                not_carried()
            }
        }
    }

    /// What nginx answers itself, with files and the like.
    fn served(&mut self, location: &Directive, s: &Settings<'t>) -> Action {
        let f = &mut self.findings;
        if let Some(d) = s.content {
            let row = super::table::find(&d.name.text);
            f.missing(d, row.map_or("", |row| row.doc), row.map_or("", |row| row.instead));
            return not_carried();
        }
        if location.inner().iter().any(|one| one.name.text == "location") {
            // It holds others; what is in none of them would be a file.
            let note = "no files are served: what is in none of its locations answers 404";
            f.differs(location, note);
            return status(404);
        }
        f.missing(location, "nginx serves files here: the route answers 501", FILE_SERVER);
        not_carried()
    }
}

/// Whether a `proxy_pass` leaves the path to what else is said of it.
fn keeps_path(d: &Directive, spot: &Spot<'_>) -> bool {
    pass::target(d, &spot.scope).is_ok_and(|target| target.uri.is_none() && !target.asked)
}
