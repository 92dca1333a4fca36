//! `ssl_verify_client` with what goes with it → `[listener.tls.clients]`.
//!
//! All servers of an address have to ask for the same: what a client is asked for is settled in the
//! handshake, before it is known whom its request is for.

use super::draft::Setting;
use super::findings::Findings;
use super::scope::effective;
use super::translate::Site;
use super::tree::Directive;
use super::write::quote;

/// What a server asks of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asks {
    required: bool,
    authorities: String,
    revoked: Option<String>,
    depth: u8,
}

/// What all these servers ask of their clients. `Err`, and told: it cannot be carried.
pub(super) fn clients<'t>(
    http: &'t [Directive],
    sites: &[&Site<'t>],
    f: &mut Findings<'_>,
) -> Result<Vec<Setting>, ()> {
    let mut same: Option<Option<Asks>> = None;
    for site in sites {
        let all: Vec<_> =
            effective(&[http, site.block.inner()]).into_iter().map(|(d, _)| d).collect();
        // It shows no certificate, and asks for none.
        if find(&all, "ssl_reject_handshake").is_some_and(|d| d.arg(0) == "on") {
            continue;
        }
        let asks = asks(&all, f)?;
        let known = same.get_or_insert_with(|| asks.clone());
        if *known != asks {
            let d = find(&all, "ssl_verify_client").unwrap_or(site.block);
            let why = "servers of one address ask clients for different certificates: the listener \
                       is left out";
            f.missing(d, why, "give them addresses of their own");
            return Err(());
        }
    }
    Ok(same.flatten().map(Asks::settings).unwrap_or_default())
}

fn find<'t>(all: &[&'t Directive], name: &str) -> Option<&'t Directive> {
    all.iter().copied().find(|d| d.name.text == name)
}

/// What these directives ask for; `None`: nothing.
fn asks(all: &[&Directive], f: &mut Findings<'_>) -> Result<Option<Asks>, ()> {
    let Some(verify) = find(all, "ssl_verify_client").filter(|d| d.arg(0) != "off") else {
        for d in all.iter().filter(|d| OF_CLIENTS.contains(&&*d.name.text)) {
            f.carried_as(d, "clients are not asked for certificates");
        }
        return Ok(None);
    };
    let required = match verify.arg(0) {
        "on" => true,
        "optional" => false,
        _ => {
            let why =
                "certificates that nobody vouches for are not accepted: the listener is left out";
            f.missing(verify, why, "let the application check, on a listener without certificates");
            return Err(());
        }
    };
    let Some(authorities) = find(all, "ssl_client_certificate") else {
        let why = "nobody may vouch for clients: the listener is left out";
        f.missing(verify, why, "write `ssl_client_certificate`");
        return Err(());
    };
    f.differs(verify, "a client whose certificate is not good is turned away in the handshake");
    file(authorities, f);
    if let Some(d) = find(all, "ssl_trusted_certificate") {
        let why = "only those of `ssl_client_certificate` vouch for clients";
        f.missing(d, why, "put all authorities into one file");
    }
    let revoked = find(all, "ssl_crl");
    if let Some(d) = revoked {
        file(d, f);
    }
    let depth = match find(all, "ssl_verify_depth") {
        None => 1,
        Some(d) => {
            f.carried(d);
            d.arg(0).parse::<u8>().unwrap_or(1)
        }
    };
    Ok(Some(Asks {
        required,
        authorities: authorities.arg(0).to_owned(),
        revoked: revoked.map(|d| d.arg(0).to_owned()),
        depth,
    }))
}

/// Directives that say nothing where no certificate is asked for.
const OF_CLIENTS: [&str; 4] =
    ["ssl_verify_client", "ssl_client_certificate", "ssl_crl", "ssl_verify_depth"];

fn file(d: &Directive, f: &mut Findings<'_>) {
    if d.arg(0).starts_with('/') {
        f.carried(d);
    } else {
        f.differs(d, "the path is relative to the imported file");
    }
}

impl Asks {
    fn settings(self) -> Vec<Setting> {
        let mut settings = vec![("tls.clients.ca", quote(&self.authorities))];
        if !self.required {
            settings.push(("tls.clients.verify", quote("optional")));
        }
        if let Some(path) = &self.revoked {
            settings.push(("tls.clients.crl", format!("[{}]", quote(path))));
        }
        settings.push(("tls.clients.depth", self.depth.min(6).to_string()));
        settings
    }
}
