//! TLS to backends: what `proxy_ssl_…` and `grpc_ssl_…` say together, as settings of an upstream.

use super::draft::Setting;
use super::findings::Findings;
use super::settings::Settings;
use super::tree::Directive;
use super::variables::Scope;
use super::write::{quote, quoted_list};
use crate::config::{Stage, is_name};

/// What is written of TLS to backends. nginx's defaults: nobody has to prove anything, no name is told.
#[derive(Debug, Default, Clone)]
pub(super) struct ToSecured<'t> {
    pub all: Vec<&'t Directive>,
}

/// Kept for later, when it is known where it leads.
pub(super) fn keep<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
    s.to_secured.all.push(d);
}

/// The directives of one family, `proxy_ssl_` or `grpc_ssl_`.
struct Family<'s, 't> {
    all: &'s [&'t Directive],
    prefix: &'s str,
}

impl<'t> Family<'_, 't> {
    fn of(&self, name: &str) -> Option<&'t Directive> {
        let is = |d: &&&Directive| d.name.text.strip_prefix(self.prefix) == Some(name);
        self.all.iter().filter(is).copied().next_back()
    }

    fn is_on(&self, name: &str) -> bool {
        self.of(name).is_some_and(|d| d.arg(0) == "on")
    }
}

/// Why something is not carried, and what to do instead.
type Refusal = (String, &'static str);

/// The settings for backends that are asked by this host; `one_each`: connections may be for one request
/// each. `Err`: to go without would be to trust whom nginx does not, or not to be let in.
pub(super) fn settings(
    s: &ToSecured<'_>,
    (prefix, host, one_each): (&str, &str, bool),
    scope: &Scope,
    f: &mut Findings<'_>,
) -> Result<Vec<Setting>, Refusal> {
    let family = Family { all: &s.all, prefix };
    for d in s.all.iter().filter(|d| d.name.text.starts_with(prefix)) {
        told(d, &d.name.text[prefix.len()..], f)?;
    }
    let mut settings = Vec::new();
    trust(&mut settings, &family)?;
    name(&mut settings, &family, (host, one_each), scope)?;
    if let Some(chain) = family.of("certificate").filter(|d| !d.arg(0).is_empty()) {
        let Some(key) = family.of("certificate_key") else {
            let why = "a certificate needs its key: the route answers 502";
            return Err((why.to_owned(), "correct it: nginx refuses it too"));
        };
        settings.push(("tls.certificate", file(chain, one_each, scope)?));
        settings.push(("tls.key", file(key, one_each, scope)?));
        if let Some(d) = family.of("password_file") {
            settings.push(("tls.password", format!("{{ file = {} }}", quote(d.arg(0)))));
        }
    }
    Ok(settings)
}

/// The path of a file, which each request may have of its own where connections are not shared.
fn file(d: &Directive, one_each: bool, scope: &Scope) -> Result<String, Refusal> {
    let text = d.arg(0);
    if !text.contains('$') {
        return Ok(quote(text));
    }
    let refused = |why: &str| (format!("`{text}` {why}: the route answers 502"), "write the file");
    match scope.template(text, Stage::Request) {
        Ok(text) if one_each => Ok(quote(&text.text)),
        Ok(_) => Err(refused("would be for one request, and HTTP/2 shares connections")),
        Err(variable) => Err(refused(&format!("has `{variable}` in it, which is not known"))),
    }
}

/// Tells what becomes of a directive, by its name without that of the family.
fn told(d: &Directive, name: &str, f: &mut Findings<'_>) -> Result<(), Refusal> {
    match name {
        "name" | "server_name" | "verify" | "trusted_certificate" | "crl" | "password_file" => {
            f.carried(d);
        }
        "certificate_cache" => f.carried_as(d, "files are read when they change"),
        "certificate" | "certificate_key" if d.arg(0).is_empty() => f.carried(d),
        "certificate" | "certificate_key" if !d.arg(0).contains(':') => f.carried(d),
        "protocols" | "ciphers" => {
            f.differs(d, "it is TLS 1.2 and 1.3 with the suites of `intermediate`");
        }
        "session_reuse" if d.arg(0) == "on" => f.carried(d),
        "session_reuse" => f.differs(d, "sessions go on where backends allow it"),
        "verify_depth" => match d.arg(0).parse::<u8>() {
            Ok(0..=6) => f.carried(d),
            Ok(_) => f.differs(d, "there may be up to six certificates between"),
            Err(_) => f.missing(d, "this is no number", "correct it: nginx refuses it too"),
        },
        "conf_command" => f.missing(d, "there is no OpenSSL that would take commands", ""),
        "key_log" => f.missing(d, "keys are not written down", ""),
        _ => {
            let why = format!("`{}` is not carried: the route answers 502", d.name.text);
            return Err((why, ""));
        }
    }
    Ok(())
}

/// Whom to believe.
fn trust(settings: &mut Vec<Setting>, family: &Family<'_, '_>) -> Result<(), Refusal> {
    if !family.is_on("verify") {
        settings.push(("tls.insecure", "true".to_owned()));
        return Ok(());
    }
    let Some(authorities) = family.of("trusted_certificate") else {
        let why = "`verify` needs a trusted certificate: the route answers 502";
        return Err((why.to_owned(), "correct it: nginx refuses it too"));
    };
    settings.push(("tls.ca", quote(authorities.arg(0))));
    if let Some(d) = family.of("crl") {
        settings.push(("tls.crl", quoted_list(&[d.arg(0).to_owned()])));
    }
    let depth = family.of("verify_depth").and_then(|d| d.arg(0).parse().ok()).unwrap_or(1_u8);
    settings.push(("tls.depth", depth.min(6).to_string()));
    Ok(())
}

/// The name that backends are known by.
fn name(
    settings: &mut Vec<Setting>,
    family: &Family<'_, '_>,
    (host, one_each): (&str, bool),
    scope: &Scope,
) -> Result<(), Refusal> {
    let sni = family.is_on("server_name");
    if !sni {
        settings.push(("tls.sni", "false".to_owned()));
    }
    if !sni && !family.is_on("verify") {
        return Ok(());
    }
    let written = family.of("name").map(|d| scope.fold(d.arg(0)));
    let written = written.filter(|name| name != "${proxy_host}");
    // Of a host that each request names, the name is that of the host anyhow.
    let of_host = written.is_none();
    let name = written.unwrap_or_else(|| host.to_owned());
    if name.contains("${") && of_host {
        return Ok(());
    }
    if name.contains("${") {
        let text = scope.template(&name, Stage::Request).ok().filter(|_| one_each);
        let Some(text) = text else {
            let why = format!("`{name}` is not known when the file is read: the route answers 502");
            return Err((why, "write the name"));
        };
        settings.push(("tls.server_name", quote(&text.text)));
        return Ok(());
    }
    let name = name.rsplit_once(':').map_or(&*name, |(name, _)| name);
    if is_name(name) {
        settings.push(("tls.server_name", quote(name)));
    }
    Ok(())
}
