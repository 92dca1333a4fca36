//! `proxy_pass` and `grpc_pass`: where to, and with which path.

use super::draft::{PathRule, Rewrite};
use super::findings::Findings;
use super::tree::Directive;
use super::variables::{Part, Scope, parts};
use crate::config::{Stage, is_path};

/// Where a `proxy_pass` leads.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// What stands between `//` and the path: a name, an address, `unix:/path` or a variable.
    pub authority: Authority,
    /// What stands behind it.
    pub uri: Option<String>,
    /// What nginx would say in `Host`.
    pub host: String,
    pub grpc: bool,
    /// Whether the backends are met over TLS.
    pub tls: bool,
    /// Whether variables stood in it, so that the path is not looked at again.
    pub variable: bool,
    /// Whether `$request_uri` stands behind it.
    pub asked: bool,
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authority {
    /// A name of an upstream, or an address.
    Fixed(String),
    /// The variable of this name says it.
    Variable(String),
    /// A text that is known with each request only, with all that stands behind.
    Asked(String),
}

/// Reads the argument. `Err` says why it cannot be carried, and what to do instead.
pub(super) fn target(d: &Directive, scope: &Scope) -> Result<Target, (String, &'static str)> {
    let grpc = d.name.text == "grpc_pass";
    let folded = scope.fold(d.arg(0));
    let variable = parts(d.arg(0)).any(|part| matches!(part, Part::Variable(_)));
    let folded = match scope.scheme {
        Some(scheme) => folded.replace("${scheme}://", &format!("{scheme}://")),
        None => folded,
    };
    let (scheme, rest) = match folded.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None if grpc => ("grpc".to_owned(), &*folded),
        None => (String::new(), &*folded),
    };
    let tls = matches!(&*scheme, "https" | "grpcs");
    match &*scheme {
        "http" | "grpc" | "https" | "grpcs" => {}
        "${scheme}" => {
            let why =
                "requests come with TLS and without, and backends of both kinds are asked for";
            return Err((why.to_owned(), "write a server for each"));
        }
        "" if rest.starts_with("${") => {}
        _ => {
            let why = format!("`{}` is no URL", d.arg(0));
            return Err((why, "name the upstream: `http://NAME`"));
        }
    }
    let bare = if variable { without_request_uri(rest) } else { rest };
    // Behind a path of its own it is a part of that.
    let bare = if split(bare).1.is_some() { rest } else { bare };
    let asked = bare.len() < rest.len() && rest.ends_with("${request_uri}");
    let rest = bare;
    let (authority, uri) = split(rest);
    if authority.is_empty() {
        return Err((format!("`{}` names no host", d.arg(0)), "name the upstream: `http://NAME`"));
    }
    let usual = match (grpc, tls) {
        (true, _) => "",
        (false, true) => ":443",
        (false, false) => ":80",
    };
    let host = host(authority, usual);
    let authority = match parts(authority).collect::<Vec<_>>()[..] {
        [Part::Variable(name)] if !scheme.is_empty() || uri.is_none() => {
            Authority::Variable(name.to_owned())
        }
        [Part::Text(text)] => Authority::Fixed(text.to_owned()),
        _ => {
            let authority = Authority::Asked(rest.to_owned());
            return Ok(Target { authority, uri: None, host, grpc, tls, variable, asked });
        }
    };
    Ok(Target { authority, uri: uri.map(str::to_owned), host, grpc, tls, variable, asked })
}

/// The authority, and the path if there is one.
fn split(rest: &str) -> (&str, Option<&str>) {
    if let Some(path) = rest.strip_prefix("unix:") {
        return match path.find(':') {
            Some(at) => (&rest[..at + "unix:".len()], Some(&path[at + 1..])),
            None => (rest, None),
        };
    }
    match rest.find(['/', '?']) {
        Some(at) => (&rest[..at], Some(&rest[at..])),
        None => (rest, None),
    }
}

/// The text without the request's own path behind it, which is what is sent anyhow.
fn without_request_uri(rest: &str) -> &str {
    let same = ["${request_uri}", "${uri}${is_args}${args}", "${uri}?${args}"];
    same.into_iter().find_map(|uri| rest.strip_suffix(uri)).unwrap_or(rest)
}

fn host(authority: &str, default_port: &str) -> String {
    if authority.starts_with("unix:") {
        return "localhost".to_owned();
    }
    authority
        .strip_suffix(default_port)
        .filter(|_| !default_port.is_empty())
        .unwrap_or(authority)
        .to_owned()
}

/// What is done with the path, in a location of this kind; traps are told at `d`. `Err` says why it
/// cannot be carried, and what to do instead: as it is, the path would lead to all that there is.
pub(super) fn rewrite(
    d: &Directive,
    target: &Target,
    path: &PathRule,
    (prefix, scope): (&str, &Scope),
    f: &mut Findings<'_>,
) -> Result<Rewrite, (String, &'static str)> {
    let Some(uri) = target.uri.as_deref() else {
        return Ok(if target.asked { Rewrite::Asked } else { Rewrite::Keep });
    };
    if target.variable {
        let uri = if uri.starts_with('?') { format!("/{uri}") } else { uri.to_owned() };
        let template = scope.template(&uri, Stage::Request).map_err(|variable| {
            (
                format!("`{variable}` has no counterpart"),
                "write `send.target` with Plimsoll's variables",
            )
        })?;
        template.notes.iter().for_each(|note| f.differs(d, note));
        return Ok(Rewrite::Target(template.text));
    }
    if !is_path(uri) {
        return Err((format!("the path `{uri}` cannot be put in"), "percent-encode it"));
    }
    if matches!(path, PathRule::Regex(_) | PathRule::Within(..)) {
        let why = "a path cannot be replaced where a regular expression finds the route";
        return Err((why.to_owned(), "correct it: nginx refuses it too"));
    }
    if matches!(path, PathRule::Prefix(_)) && !prefix.ends_with('/') && uri.ends_with('/') {
        f.lint(
            d.args[0].place,
            &format!("`location {prefix}` with a path that ends in `/`: backends get `{uri}/…`"),
            &format!("write `location {prefix}/`"),
        );
    }
    let strips = uri == "/" && prefix.ends_with('/') && matches!(path, PathRule::Prefix(_));
    Ok(if strips { Rewrite::Strip } else { Rewrite::Replace(uri.to_owned()) })
}
