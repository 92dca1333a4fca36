//! `proxy_pass` with variables, `proxy_method`, `proxy_set_body` and what is not passed on → `send`.

use super::branches::Branch;
use super::draft::Setting;
use super::findings::Findings;
use super::location::Spot;
use super::passing::Refusal;
use super::settings::Settings;
use super::translate::Translator;
use super::tree::Directive;
use super::upstream::Group;
use super::used::Use;
use super::variables::Scope;
use super::write::quote;
use crate::config::Stage;

impl<'t> Translator<'t, '_> {
    /// Where a `proxy_pass` leads that each request says for itself: the upstream that has the
    /// settings, and `send.to`.
    pub(super) fn by_request(
        &mut self,
        d: &'t Directive,
        text: &str,
        s: &Settings<'t>,
        spot: &Spot<'t>,
    ) -> Result<(Vec<Branch>, Option<Setting>), Refusal> {
        let address = spot.scope.template(text, Stage::Request).map_err(|variable| {
            (
                format!("`{variable}` has no counterpart"),
                "name the upstreams, and choose one by route",
            )
        })?;
        address.notes.iter().for_each(|note| self.findings.differs(d, note));
        // nginx looks for upstreams first, whichever a request names.
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for name in names {
            if let Ok(index) = self.used(d, &name, false) {
                self.uses[index].named = true;
            }
        }
        let asked = s.resolver.clone().map(|mut asked| {
            asked.timeout = s.resolver_timeout;
            asked
        });
        let allow = if asked.is_some() {
            r#"["0.0.0.0/0", "::/0", "*"]"#
        } else {
            let note = "there is no `resolver`: names other than upstreams' are answered with 502";
            self.findings.differs(d, note);
            r#"["0.0.0.0/0", "::/0"]"#
        };
        let mut name = "by-request".to_owned();
        let mut n = 1;
        while self.uses.iter().any(|one| one.name == name) || self.groups.contains_key(&name) {
            n += 1;
            name = format!("by-request-{n}");
        }
        let at = d.name.place;
        let group = Group::of_requests(at, asked);
        self.uses.push(Use { name, at, grpc: false, met: self.met.clone(), group, named: false });
        let one = self.uses.len() - 1;
        let to = format!("{{ address = {}, allow = {allow} }}", quote(&address.text));
        Ok((vec![(Vec::new(), vec![(one, 1)], None)], Some(("send.to", to))))
    }
}

/// What is sent otherwise than the client asked for, besides where to.
pub(super) fn settings(
    settings: &mut Vec<Setting>,
    s: &Settings<'_>,
    scope: &Scope,
    f: &mut Findings<'_>,
) {
    let method = s.method.and_then(|d| text(d, scope, f));
    if let Some(method) = method {
        let known = method.contains("${") || crate::config::is_token(&method);
        let plain = if method.contains("${") { method } else { method.to_ascii_uppercase() };
        match s.method {
            Some(d) if !known => f.missing(d, "this is no method", "correct it"),
            _ => settings.push(("send.method", quote(&plain))),
        }
    }
    let body = s.set_body.and_then(|d| text(d, scope, f));
    match body {
        Some(body) => settings.push(("send.body", quote(&body))),
        None if s.no_request_body => settings.push(("send.body", quote(""))),
        None => {}
    }
    if s.no_request_headers {
        settings.push(("send.headers", "false".to_owned()));
    }
}

fn text(d: &Directive, scope: &Scope, f: &mut Findings<'_>) -> Option<String> {
    match scope.template(d.arg(0), Stage::Request) {
        Ok(template) => {
            f.carried(d);
            template.notes.iter().for_each(|note| f.differs(d, note));
            Some(template.text)
        }
        Err(variable) => {
            let why = format!("`{variable}` has no counterpart: the client's is sent");
            f.missing(d, &why, "write it with Plimsoll's variables");
            None
        }
    }
}
