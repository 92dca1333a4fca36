//! TLS of listeners: what all servers of an address say together.
//!
//! Certificates go by the names of their servers. An address is left out with all its servers where to
//! carry it in part would let in whom nginx keeps out, or could not be done at all.

use std::collections::BTreeMap;

use super::draft::Setting;
use super::findings::Findings;
use super::listen::At;
use super::places::defaults;
use super::scope::effective;
use super::translate::Site;
use super::tree::Directive;
use super::verified;
use super::write::{quote, quoted_list};

/// The TLS settings of each address that speaks it.
pub(super) type Secured = BTreeMap<At, Vec<Setting>>;

/// Reads the TLS of all addresses, and takes those away from their servers that are left out.
pub(super) fn secured(http: &[Directive], sites: &mut [Site<'_>], f: &mut Findings<'_>) -> Secured {
    let defaults = defaults(sites);
    let mut secured = Secured::new();
    let mut left_out = Vec::new();
    for (address, default) in defaults {
        let speaks = |site: &&Site<'_>| site.listens.iter().any(|one| one.address == address);
        let tls =
            |site: &Site<'_>| site.listens.iter().any(|one| one.address == address && one.tls);
        if !sites.iter().any(tls) {
            continue;
        }
        // The default server's certificate is that of clients which ask for no name.
        let first = std::iter::once(&sites[default]);
        let others = sites.iter().enumerate().filter(|(index, _)| *index != default);
        let all: Vec<_> = first.chain(others.map(|(_, site)| site).filter(speaks)).collect();
        match listener(http, &all, f) {
            Some(mut settings) => {
                let asked = all.iter().any(|site| {
                    let own = site.listens.iter().find(|one| one.address == address);
                    own.is_some_and(|one| one.http2)
                });
                let on = asked || says(http, all[0], "http2").is_some_and(|d| d.arg(0) == "on");
                settings.push(("http2", on.to_string()));
                secured.insert(address, settings);
            }
            None => left_out.push(address),
        }
    }
    for site in sites {
        site.listens.retain_mut(|one| {
            one.tls = secured.contains_key(&one.address);
            !left_out.contains(&one.address)
        });
    }
    secured
}

/// The directive of this name that holds in a server.
fn says<'t>(http: &'t [Directive], site: &Site<'t>, name: &str) -> Option<&'t Directive> {
    let own = site.block.inner();
    own.iter().chain(http).find(|d| d.name.text == name)
}

/// All settings of an address whose servers these are, the default one first; `None`: it is left out.
fn listener<'t>(
    http: &'t [Directive],
    sites: &[&Site<'t>],
    f: &mut Findings<'_>,
) -> Option<Vec<Setting>> {
    let mut certificates: Vec<Certificate> = Vec::new();
    let mut refuses = false;
    let mut good = true;
    for (place, site) in sites.iter().enumerate() {
        if let Some(d) = says(http, site, "ssl_reject_handshake").filter(|d| d.arg(0) == "on") {
            if place > 0 {
                let why = "of one server among others, handshakes cannot be refused: the listener is left out";
                f.missing(d, why, "refuse them at the default server");
                good = false;
            }
            f.carried(d);
            refuses = true;
            continue;
        }
        good &= own(http, site, &mut certificates, f);
    }
    let clients = verified::clients(http, sites, f);
    let (true, Ok(clients)) = (good && !certificates.is_empty(), clients) else {
        for site in sites {
            let lines = site.block.inner().iter().filter(|d| d.name.text == "listen");
            for line in lines.filter(|line| line.args.iter().any(|arg| arg.text == "ssl")) {
                let why = "its TLS cannot be carried: the listener is left out";
                f.missing(line, why, "see what is said of the `ssl_…` of its servers");
            }
        }
        return None;
    };
    let written: Vec<String> = certificates.iter().map(Certificate::written).collect();
    let mut settings = vec![("tls.certificate", format!("[{}]", written.join(", ")))];
    if certificates.len() > 1 {
        settings.push(("tls.misdirected", quote("serve")));
    }
    if refuses {
        settings.push(("tls.unknown_names", quote("refuse")));
    }
    settings.extend(clients);
    let default = sites.first()?;
    if let Some(d) = says(http, default, "ssl_protocols") {
        f.carried(d);
        let has = |version: &str| d.args.iter().any(|arg| arg.text == version);
        match (has("TLSv1.2"), has("TLSv1.3")) {
            (false, true) => settings.push(("tls.policy", quote("modern"))),
            (true, false) => f.differs(d, "TLS 1.3 is spoken too"),
            _ => {}
        }
        if ["SSLv2", "SSLv3", "TLSv1", "TLSv1.1"].iter().any(|old| has(old)) {
            f.differs(d, "nothing older than TLS 1.2 is spoken");
        }
    }
    if let Some(d) = says(http, default, "ssl_session_tickets") {
        f.carried(d);
        if d.arg(0) == "off" {
            settings.push(("tls.session_tickets", "false".to_owned()));
        }
    }
    Some(settings)
}

/// A certificate with all that comes with it.
struct Certificate {
    chain: String,
    key: String,
    /// The file with the key's passwords.
    passwords: Option<String>,
    staple: Option<String>,
    names: Vec<String>,
}

impl Certificate {
    fn written(&self) -> String {
        let Self { chain, key, passwords, staple, names } = self;
        let passwords =
            passwords.as_ref().map(|path| format!(", password = {{ file = {} }}", quote(path)));
        let staple = staple.as_ref().map(|path| format!(", ocsp = {}", quote(path)));
        format!(
            "{{ chain = {}, key = {}{}{}, names = {} }}",
            quote(chain),
            quote(key),
            passwords.unwrap_or_default(),
            staple.unwrap_or_default(),
            quoted_list(names)
        )
    }
}

/// Takes up a server's own certificates; `false`: they cannot be carried.
fn own<'t>(
    http: &'t [Directive],
    site: &Site<'t>,
    certificates: &mut Vec<Certificate>,
    f: &mut Findings<'_>,
) -> bool {
    let all = effective(&[http, site.block.inner()]);
    let of = |name: &str| -> Vec<&Directive> {
        all.iter().map(|(d, _)| *d).filter(|d| d.name.text == name).collect()
    };
    let (chains, keys) = (of("ssl_certificate"), of("ssl_certificate_key"));
    let staple = of("ssl_stapling_file").first().map(|d| d.arg(0).to_owned());
    let passwords = of("ssl_password_file").first().map(|d| d.arg(0).to_owned());
    for d in of("ssl_stapling_file").into_iter().chain(of("ssl_password_file")) {
        f.carried(d);
    }
    let mut good = true;
    if chains.is_empty() || chains.len() != keys.len() {
        let why = "it has no certificate with its key: the listener is left out";
        f.missing(site.block, why, "write `ssl_certificate` and `ssl_certificate_key`");
        return false;
    }
    let is_name =
        |name: &&String| !name.is_empty() && !name.starts_with(['~', '[']) && !name.ends_with(".*");
    let names: Vec<String> = site.names.all.iter().filter(is_name).cloned().collect();
    for (chain, key) in chains.into_iter().zip(keys) {
        for d in [chain, key] {
            let path = d.arg(0);
            if path.contains('$')
                || ["data:", "engine:", "store:"].iter().any(|s| path.starts_with(s))
            {
                f.missing(d, "this is no file: the listener is left out", "name a file");
                good = false;
            } else if path.starts_with('/') {
                f.carried(d);
            } else {
                f.differs(d, "the path is relative to the imported file");
            }
            if names.len() < site.names.all.len() {
                f.differs(d, "it is not shown for names of `server_name` that are patterns");
            }
        }
        let same = certificates
            .iter_mut()
            .find(|one| one.chain == chain.arg(0) && one.key == key.arg(0) && one.staple == staple);
        match same {
            Some(same) => same.names.extend(names.iter().cloned()),
            None => certificates.push(Certificate {
                chain: chain.arg(0).to_owned(),
                key: key.arg(0).to_owned(),
                passwords: passwords.clone(),
                staple: staple.clone(),
                names: names.clone(),
            }),
        }
    }
    good
}
