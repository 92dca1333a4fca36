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
use super::variables::{Part, Scope, parts};
use super::write::{quote, quoted_list};
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
        let mut allow = self.sockets(text);
        if !text.starts_with("unix:") {
            allow.extend(["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
            if asked.is_some() {
                allow.push("*".to_owned());
            } else {
                let note =
                    "there is no `resolver`: names other than upstreams' are answered with 502";
                self.findings.differs(d, note);
            }
        }
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
        let (to, allow) = (quote(&address.text), quoted_list(&allow));
        let to = format!("{{ address = {to}, allow = {allow} }}");
        Ok((vec![(Vec::new(), vec![(one, 1)], None)], Some(("send.to", to))))
    }

    /// The Unix sockets that a text with variables may lead to: those that it begins with, and those
    /// that a variable of the file gives.
    fn sockets(&self, text: &str) -> Vec<String> {
        let given = match parts(text).next() {
            Some(Part::Variable(name)) => self.made.find(name),
            _ => None,
        };
        let lines = given.iter().flat_map(|made| &made.lines).map(|(_, line)| &**line);
        let quoted = lines.flat_map(|line| line.split('"')).filter(|one| one.starts_with("unix:"));
        let mut sockets: Vec<String> = quoted.map(socket).collect();
        sockets.extend(Some(text).filter(|text| text.starts_with("unix:")).map(socket));
        sockets.sort();
        sockets.dedup();
        sockets
    }
}

/// A socket, or, if its path is not all known, the folder that it is in.
fn socket(text: &str) -> String {
    let path = text.split("${").next().unwrap_or_default();
    let path = match path.split_once("unix:").and_then(|(_, path)| path.find(':')) {
        Some(at) => &path[..at + "unix:".len()],
        None => path,
    };
    let is_whole = path.len() == text.len() || text[path.len()..].starts_with(':');
    if is_whole {
        return path.to_owned();
    }
    match path.rfind('/') {
        Some(at) => path[..=at].to_owned(),
        None => "unix:/".to_owned(),
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
