//! `if` and `limit_except`: when their blocks hold, and what those answer.

use regex::bytes::Regex;

use super::answer::{answer, is_whole_redirect, redirecting_rewrite};
use super::condition::{Condition, condition, is_of_files};
use super::draft::{Action, Check, Rewriting};
use super::onward;
use super::refuse;
use super::settings::Settings;
use super::translate::Translator;
use super::tree::Directive;
use super::variables::Scope;
use super::write::quote;

/// When the block of an `if` holds.
enum Asked {
    When(Vec<Check>),
    Never,
    /// A route cannot ask for it.
    Unknown,
}

impl<'t> Translator<'t, '_> {
    /// What an `if` answers, and when; `None` if it is not carried, or never answers.
    pub(super) fn early(
        &mut self,
        d: &'t Directive,
        s: &Settings<'t>,
        scope: &Scope,
        port: Option<u16>,
    ) -> Option<(Vec<Check>, Action)> {
        let Some(says) = answers(d) else {
            return self.turned_away(d, scope).map(|when| (when, Action::Refuse));
        };
        let when = match self.condition_of(d, scope) {
            Asked::When(when) => when,
            Asked::Never => return None,
            Asked::Unknown => return Some((Vec::new(), self.answered_anyhow(d, says))),
        };
        let mut scope = scope.clone();
        when.iter()
            .filter(|one| one.rule == "regex")
            .for_each(|one| scope.found(&one.value, &one.text));
        let scope = &scope;
        let f = &mut self.findings;
        let action = match &*says.name.text {
            "return" => Some(answer(says, s, scope, port, f)),
            _ => redirecting_rewrite(says, s, scope, port, f),
        };
        match action {
            Some(action) => Some((when, action)),
            None => self.turned_away(d, scope).map(|when| (when, Action::Refuse)),
        }
    }

    /// The rules of a block that does nothing but rewrite; `None`, and told, if there is no counterpart.
    pub(super) fn conditional(
        &mut self,
        block: &'t Directive,
        s: &Settings<'t>,
        scope: &Scope,
        port: Option<u16>,
    ) -> Option<Vec<Rewriting>> {
        let when = match self.condition_of(block, scope) {
            Asked::When(when) => when,
            Asked::Never => return Some(Vec::new()),
            Asked::Unknown => return None,
        };
        let mut scope = scope.clone();
        name_groups(block, &when, &mut scope);
        let f = &mut self.findings;
        let mut rules: Vec<Rewriting> = Vec::new();
        for d in block.inner() {
            let same = !rules.is_empty() && !when.is_empty();
            if d.name.text == "break" {
                f.carried(d);
                let (regex, to, then) = (String::new(), String::new(), "stop");
                rules.push(Rewriting { when: when.clone(), same, regex, to, then });
                break;
            }
            let rule = onward::rewriting(d, s, &scope, port, f)?;
            rules.push(Rewriting { when: when.clone(), same, ..rule });
            // What was found in the path is not what would be found in the new one.
            for check in when.iter().filter(|one| one.value != "${host}" && one.rule == "regex") {
                for name in group_names(check) {
                    scope.forget(&format!("${name}"));
                }
            }
        }
        Some(rules)
    }

    /// Tells of an `if` of which all is said by variables.
    pub(super) fn in_variables(&mut self, d: &'t Directive) {
        self.findings.carried_as(d, "see `[variable.NAME]`");
        d.inner().iter().for_each(|one| self.findings.carried(one));
    }

    /// When an `if` that answers nothing changes how requests are sent on.
    pub(super) fn changing(&mut self, d: &'t Directive, scope: &Scope) -> Option<Vec<Check>> {
        match self.condition_of(d, scope) {
            Asked::When(when) => Some(when),
            Asked::Never | Asked::Unknown => None,
        }
    }

    /// When an `if` that is not carried turns requests away from what others get, or may; `None` if
    /// it does not.
    fn turned_away(&mut self, d: &'t Directive, scope: &Scope) -> Option<Vec<Check>> {
        let when = match self.condition_of(d, scope) {
            Asked::When(when) => when,
            Asked::Never => return None,
            Asked::Unknown => Vec::new(),
        };
        self.not_answering(d);
        if !refuse::turns_away(d) {
            return None;
        }
        let note = match &*when {
            [] => "as nobody knows when it holds, all requests are refused with 403",
            _ => "its requests are refused with 403",
        };
        self.findings.missing(d, note, "");
        Some(when)
    }

    /// What everybody gets where nobody knows whether an `if` answers.
    fn answered_anyhow(&mut self, d: &Directive, says: &Directive) -> Action {
        let action = refuse::answer_of(says);
        let note = match &action {
            Action::Respond { status, .. } => format!("all requests are answered with {status}"),
            _ => "all connections are closed".to_owned(),
        };
        self.findings.missing(d, &note, "");
        action
    }

    fn not_answering(&mut self, d: &'t Directive) {
        let f = &mut self.findings;
        if !d.inner().iter().all(|one| one.name.text == "set") {
            f.lint(
                d.name.place,
                "within `if` only `return` and `rewrite … last` are sure to do what they say",
                "use a location, a `map`, or let the application decide",
            );
        }
        let why = "what this `if` does to the request is not carried";
        f.missing_whole(d, why, "use a route with a condition");
    }

    /// When the block of an `if` holds.
    fn condition_of(&mut self, d: &'t Directive, scope: &Scope) -> Asked {
        let f = &mut self.findings;
        let Some(condition) = condition(d, scope) else {
            let why = "no route can have this condition";
            f.missing_whole(d, why, "use `when` of a route");
            return Asked::Unknown;
        };
        f.carried(d);
        if is_of_files(d.arg(0).trim_start_matches('(')) {
            f.differs(d, "no files are served: there is none");
        }
        match condition {
            Condition::Always => Asked::When(Vec::new()),
            Condition::When(checks) => Asked::When(checks),
            Condition::Never => {
                f.carried_as(d, "it never holds here");
                d.inner().iter().for_each(|one| f.carried(one));
                Asked::Never
            }
        }
    }

    /// The methods that a `limit_except` is about: all but those that it names.
    pub(super) fn other_methods(&mut self, d: &'t Directive) -> Vec<Check> {
        let f = &mut self.findings;
        let mut methods: Vec<String> =
            d.args.iter().map(|arg| arg.text.to_ascii_uppercase()).collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        methods.dedup();
        if !methods.iter().all(|method| crate::config::is_token(method)) {
            let why = "these are no methods: what stands in it holds for all";
            f.missing(d, why, "correct it: nginx refuses it too");
            return Vec::new();
        }
        f.carried(d);
        let methods: Vec<_> = methods.iter().map(|method| regex::escape(method)).collect();
        let text = format!("^({})$", methods.join("|"));
        vec![Check { value: "${method}".to_owned(), rule: "not_regex", text }]
    }
}

/// The `return` or `rewrite` of a block that does nothing else.
pub(super) fn answers(d: &Directive) -> Option<&Directive> {
    let says = |one: &&Directive| matches!(&*one.name.text, "return" | "rewrite");
    let first = d.inner().iter().find(says)?;
    let mut rest = d.inner().iter().filter(|one| one.id != first.id);
    // What stands behind is not reached.
    let idle = |one: &Directive| {
        matches!(&*one.name.text, "access_log" | "break") || (one.id > first.id && says(&one))
    };
    rest.all(idle).then_some(first)
}

/// Lets the names of groups that conditions find stand for what they found.
fn name_groups(block: &Directive, when: &[Check], scope: &mut Scope) {
    for check in when.iter().filter(|one| one.rule == "regex") {
        for name in &group_names(check) {
            let give = quote(&format!("${{capture.{name}}}"));
            let case = format!("[{{ regex = {}, give = {give} }}]", quote(&check.text));
            let lines = vec![("from".to_owned(), quote(&check.value)), ("cases".to_owned(), case)];
            scope.name_group(name, (block.name.place, block.id), lines);
        }
    }
}

/// The names of the groups of a condition's expression.
fn group_names(check: &Check) -> Vec<String> {
    let regex = Regex::new(&check.text).ok();
    let names = regex.iter().flat_map(|regex| regex.capture_names().flatten());
    names.map(str::to_owned).collect()
}

/// Whether a block does nothing but rewrite, or end the rewriting: its rules have conditions then.
pub(super) fn only_rewrites(block: &Directive) -> bool {
    let whole = |d: &Directive| matches!(block.inner(), [_]) && is_whole_redirect(d);
    let rewrites = |d: &Directive| match &*d.name.text {
        "rewrite" => !whole(d),
        name => name == "break",
    };
    !block.inner().is_empty() && block.inner().iter().all(rewrites)
}

/// Whether a block does something to requests that a route's settings do not say.
pub(super) fn scripted(block: &Directive, location: &Directive) -> bool {
    let script = ["set", "rewrite", "return"];
    // With nothing behind it there is nothing that `break` ends.
    let behind =
        |d: &Directive| d.id > block.id && (script.contains(&&*d.name.text) || d.name.text == "if");
    let ends = location.inner().iter().filter(|d| d.name.text != "location").any(behind);
    let scripts =
        |d: &Directive| script.contains(&&*d.name.text) || (d.name.text == "break" && ends);
    block.inner().iter().any(scripts)
}
