//! TLS to backends: what `proxy_ssl_…` and `grpc_ssl_…` say together, as settings of an upstream.

use super::draft::Setting;
use super::findings::Findings;
use super::settings::Settings;
use super::tree::Directive;
use super::write::{quote, quoted_list};
use crate::config::is_name;

/// What is written of TLS to backends. nginx's defaults: nobody has to prove anything, no name is told.
#[derive(Debug, Default, Clone)]
pub(super) struct ToSecured<'t> {
    pub all: Vec<&'t Directive>,
}

/// Kept for later, when it is known where it leads.
pub(super) fn keep<'t>(s: &mut Settings<'t>, d: &'t Directive, _: &mut Findings<'_>) {
    s.to_secured.all.push(d);
}

/// The settings for backends that are asked by this host. `Err`: to go without would be to trust whom
/// nginx does not, or not to be let in.
pub(super) fn settings(
    s: &ToSecured<'_>,
    (prefix, host): (&str, &str),
    f: &mut Findings<'_>,
) -> Result<Vec<Setting>, (String, &'static str)> {
    let of = |name: &str| {
        let is = |d: &&&Directive| d.name.text.strip_prefix(prefix) == Some(name);
        s.all.iter().filter(is).copied().next_back()
    };
    let is_on = |name: &str| of(name).is_some_and(|d| d.arg(0) == "on");
    for d in s.all.iter().filter(|d| d.name.text.starts_with(prefix)) {
        match &d.name.text[prefix.len()..] {
            "name" | "server_name" | "verify" | "trusted_certificate" | "crl" => f.carried(d),
            "certificate" | "certificate_key" if d.arg(0).is_empty() => f.carried(d),
            "certificate" | "certificate_key" if !d.arg(0).contains(['$', ':']) => f.carried(d),
            "protocols" | "ciphers" => {
                f.differs(d, "it is TLS 1.2 and 1.3 with the suites of `intermediate`");
            }
            "session_reuse" if d.arg(0) == "on" => f.carried(d),
            "session_reuse" => f.differs(d, "sessions go on where backends allow it"),
            "verify_depth" => f.differs(d, "chains may be as long as six certificates"),
            _ => {
                return Err((
                    format!("`{}` is not carried: the route answers 502", d.name.text),
                    "",
                ));
            }
        }
    }
    let verified = is_on("verify");
    let name = of("name").map_or(host, |d| d.arg(0));
    let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
    let mut settings = Vec::new();
    match of("trusted_certificate") {
        Some(d) if verified => settings.push(("tls.ca", quote(d.arg(0)))),
        _ if verified => {
            let why = "`verify` needs a trusted certificate: the route answers 502";
            return Err((why.to_owned(), "correct it: nginx refuses it too"));
        }
        _ => settings.push(("tls.insecure", "true".to_owned())),
    }
    if let Some(d) = of("crl").filter(|_| verified) {
        settings.push(("tls.crl", quoted_list(&[d.arg(0).to_owned()])));
    }
    let sni = is_on("server_name");
    if name.contains('$') && (verified || sni) {
        let why = format!("`{name}` is not known when the file is read: the route answers 502");
        return Err((why, "write the name"));
    }
    if is_name(name) && (verified || sni) {
        settings.push(("tls.server_name", quote(name)));
    }
    if !sni {
        settings.push(("tls.sni", "false".to_owned()));
    }
    if let (Some(chain), Some(key)) = (of("certificate"), of("certificate_key"))
        && !chain.arg(0).is_empty()
    {
        settings.push(("tls.certificate", quote(chain.arg(0))));
        settings.push(("tls.key", quote(key.arg(0))));
    }
    Ok(settings)
}
