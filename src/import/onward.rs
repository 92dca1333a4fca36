//! Where requests go on: `rewrite`, `error_page`, `try_files`, `auth_request`, `mirror` and
//! `X-Accel-Redirect` → the settings of routes.

use regex::bytes::Regex;

use super::draft::{Onward, Rewriting};
use super::findings::Findings;
use super::pages::page;
use super::refuse;
use super::routes::Server;
use super::settings::Settings;
use super::translate::Translator;
use super::tree::Directive;
use super::variables::{Part, Scope, parts};
use crate::config::Stage;

/// What the directives of a place say of where requests go on.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Default)]
pub(super) struct Says<'t> {
    pub error_pages: Vec<&'t Directive>,
    pub recursive: bool,
    pub intercept: bool,
    pub auth: Option<&'t Directive>,
    pub mirrors: Vec<&'t Directive>,
    pub no_mirror_body: bool,
    pub no_accel: bool,
}

pub(super) fn error_page<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
    s.says.error_pages.push(d);
}

pub(super) fn recursive<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.says.recursive = d.arg(0) == "on";
}

pub(super) fn intercept<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.says.intercept = d.arg(0) == "on";
}

pub(super) fn auth_request<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.says.auth = Some(d).filter(|d| d.arg(0) != "off");
}

/// Its value is looked up where the variable is used.
pub(super) fn auth_request_set<'t>(_: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
}

pub(super) fn mirror<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    if d.arg(0) != "off" {
        s.says.mirrors.push(d);
    }
}

pub(super) fn mirror_body<'t>(s: &mut Settings<'t>, d: &'t Directive, f: &mut Findings<'_>) {
    f.carried(d);
    s.says.no_mirror_body = d.arg(0) == "off";
}

/// Takes in what `auth_request_set` says: the variable stands for fields of the answer.
pub(super) fn answer_of_auth(d: &Directive, scope: &mut Scope) {
    if let Some(name) = d.arg(0).strip_prefix('$') {
        let value = scope.fold(d.arg(1)).replace("upstream_http_", "auth_http_");
        let value = value.replace("${upstream_status}", "${auth_status}");
        scope.constants.insert(name.to_owned(), Some(value));
    }
}

/// A text as a template, with what differs told at `d`; `None` if a variable has no counterpart.
fn template(
    d: &Directive,
    (text, stage): (&str, Stage),
    scope: &Scope,
    f: &mut Findings<'_>,
) -> Option<String> {
    match scope.template(text, stage) {
        Ok(template) => {
            template.notes.iter().for_each(|note| f.differs(d, note));
            Some(template.text)
        }
        Err(variable) => {
            let why = format!("`{variable}` has no counterpart");
            f.missing(d, &why, "write it with Plimsoll's variables");
            None
        }
    }
}

/// The same of where a request goes on; `None`, and told, if what clients send could say so.
pub(super) fn target(
    d: &Directive,
    text: (&str, Stage),
    scope: &Scope,
    f: &mut Findings<'_>,
) -> Option<String> {
    let to = template(d, text, scope, f)?;
    let known = ["${scheme}", "${auth.", "${upstream.header."];
    let anywhere = to.starts_with("${") && !known.iter().any(|begin| to.starts_with(begin));
    if anywhere || (to.starts_with('@') && to.contains("${")) {
        let why = "what clients send could lead to any location, internal ones too";
        f.missing(d, why, "begin it with a path of your own");
        return None;
    }
    Some(to)
}

impl<'t> Translator<'t, '_> {
    /// Where requests of a place go on before and after its action.
    pub(super) fn onward(
        &mut self,
        s: &Settings<'t>,
        scope: &Scope,
        server: &Server<'t>,
    ) -> Onward {
        let f = &mut self.findings;
        let one =
            |d: &Directive, f: &mut Findings<'_>| target(d, (d.arg(0), Stage::Request), scope, f);
        let mirrors = s.says.mirrors.iter().filter_map(|d| one(d, f)).collect();
        let auth = s.says.auth.and_then(|d| one(d, f));
        let pages = s.says.error_pages.iter().filter_map(|d| page(d, scope, server, f)).collect();
        Onward {
            internal: s.internal,
            rewrites: Vec::new(),
            auth,
            mirrors,
            no_mirror_body: s.says.no_mirror_body,
            pages,
            intercept: s.says.intercept,
            recursive: s.says.recursive,
            accel: !s.says.no_accel,
        }
    }
}

/// A `rewrite` as a rule of a route; `None`, and told, if there is no counterpart.
pub(super) fn rewriting(
    d: &Directive,
    s: &Settings<'_>,
    scope: &Scope,
    port: Option<u16>,
    f: &mut Findings<'_>,
) -> Option<Rewriting> {
    let Ok(regex) = Regex::new(d.arg(0)) else {
        f.missing(d, "the regular expression cannot be read", refuse::UNREAD);
        return None;
    };
    let to = scope.fold(d.arg(1));
    let is_url = ["http://", "https://", "${scheme}"].iter().any(|start| to.starts_with(start));
    let then = match d.arg(2) {
        "" if is_url => "redirect",
        "" => "next",
        "last" if !is_url => "last",
        "break" if !is_url => "break",
        "permanent" => "permanent",
        _ => "redirect",
    };
    let redirects = matches!(then, "redirect" | "permanent");
    if !redirects && !to.starts_with(['/', '$']) {
        f.missing(d, "the path does not begin with `/`", "write it so");
        return None;
    }
    let mut text = String::new();
    for part in parts(d.arg(1)) {
        match part {
            Part::Variable(name) if is_group(name, &regex) => text.extend(["${", name, "}"]),
            // What other expressions have found is forgotten by then.
            Part::Variable(name) if name.parse::<u8>().is_ok() => {
                let why = format!("`${name}` is nothing here: this expression has no such group");
                let help = "give the group of the other expression a name: `(?<rest>…)`, `$rest`";
                f.lint(d.args[1].place, &why, help);
            }
            Part::Variable(name) => {
                let said = template(d, (&format!("${{{name}}}"), Stage::Request), scope, f)?;
                let at = (d.name.place, d.id);
                let Some(said) = scope.without_numbers(said, name, at) else {
                    f.missing(d, &format!("`${name}` cannot be said here"), refuse::UNREAD);
                    return None;
                };
                text.push_str(&said);
            }
            Part::Text(plain) => text.push_str(&plain.replace("${", "$${")),
        }
    }
    if text.is_empty() {
        f.missing(d, "what it leads to is known of the response only", "lead to a path");
        return None;
    }
    if redirects && text.starts_with('/') && !s.relative_redirect {
        match port {
            Some(80) => text.insert_str(0, "${scheme}://${host}"),
            Some(port) => text.insert_str(0, &format!("${{scheme}}://${{host}}:{port}")),
            None => f.differs(d, "Location is a path, without scheme and host"),
        }
    }
    f.carried(d);
    Some(Rewriting { when: Vec::new(), same: false, regex: d.arg(0).to_owned(), to: text, then })
}

fn is_group(name: &str, regex: &Regex) -> bool {
    let number = name.parse::<usize>().is_ok_and(|group| group < regex.captures_len());
    number || regex.capture_names().any(|one| one == Some(name))
}
