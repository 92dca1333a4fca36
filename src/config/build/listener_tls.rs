//! TLS of listeners.

use std::time::{Duration, SystemTime};

use super::Build;
use super::acme::{self, Wanted};
use super::address::is_name;
use crate::config::tree::{Item, Table};
use crate::tls::{ClientTerms, Crls, Fault, Identity, Named, Policy, Roots, ServerTerms};

/// A certificate that is valid for less than this is worth a warning, unless it never was valid for
/// much longer.
const SOON: Duration = Duration::from_hours(14 * 24);

pub(super) fn tls(b: &mut Build<'_>, table: &Table, http2: bool) -> ServerTerms {
    if table.list("certificate").is_empty() && !table.refused.contains(&"certificate") {
        let help = "add `[[listener.tls.certificate]]` with `chain` and `key`";
        b.error(table.place, "TLS needs a certificate", help);
    }
    let (mut identities, mut awaited) = (Vec::new(), Vec::new());
    for table in table.tables("certificate") {
        if !table.bool("acme") {
            identities.extend(certificate(b, table));
            continue;
        }
        let Some(Wanted { names, identity }) = acme::certificate(b, table) else { continue };
        match identity {
            Some(identity) => {
                identities.push(Named { label: names[0].clone(), identity, names });
            }
            None => awaited.extend(names),
        }
    }
    let clients = table.table("clients").and_then(|table| clients(b, table));
    ServerTerms {
        identities,
        awaited,
        answers_challenges: acme::is_asked(b, table, clients.as_ref()),
        known_names_only: table.text("unknown_names") == "refuse",
        refuses_misdirected: table.text("misdirected") == "refuse",
        policy: policy(table),
        protocols: PROTOCOLS[usize::from(!http2)..].iter().map(|name| name.to_vec()).collect(),
        tickets: table.bool("session_tickets"),
        clients,
        handshake_timeout: table.duration("handshake_timeout").unwrap_or_default(),
    }
}

/// Versions and cipher suites.
pub(super) fn policy(table: &Table) -> Policy {
    match table.text("policy") {
        "modern" => Policy::Modern,
        _ => Policy::Intermediate,
    }
}

/// What is spoken within TLS, the best one first. HTTP/2 only where it is wanted.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

fn certificate(b: &mut Build<'_>, table: &Table) -> Option<Named> {
    let (Some((_, chain)), Some((_, key))) = (table.written("chain"), table.written("key")) else {
        for name in ["chain", "key"].into_iter().filter(|name| table.written(name).is_none()) {
            let help = "name the file; or say `acme = true`, and have it of the authority";
            b.error(table.place, format!("a certificate needs a `{name}`"), help);
        }
        return None;
    };
    let identity = identity(b, table, (chain, key))?;
    let identity = match table.written("ocsp") {
        Some((_, item)) => identity.stapled(b.file(item)?),
        None => identity,
    };
    check_time(b, chain, &identity);
    let names = match table.written("names") {
        Some(_) => table.list("names").iter().filter_map(|item| name(b, item)).collect(),
        None => identity.names().to_vec(),
    };
    Some(Named { label: chain.text().to_owned(), identity, names })
}

/// A chain of certificates with its key, which belong together; the section has the key's `password`.
pub(super) fn identity(
    b: &mut Build<'_>,
    table: &Table,
    (chain, key): (&Item, &Item),
) -> Option<Identity> {
    let (chain_bytes, key_bytes) = (b.file(chain), b.file(key));
    let passwords = table.written("password").map(|(_, item)| b.bytes(item));
    let read = Identity::read(&chain_bytes?, &key_bytes?, passwords.as_deref());
    read.map_err(|fault| report(b, if fault.is_about_key() { key } else { chain }, &fault)).ok()
}

fn report(b: &mut Build<'_>, item: &Item, fault: &Fault) {
    b.error(item.place, format!("`{}` {fault}", item.text()), fault.remedy());
}

/// Warns of a certificate that is not valid now, or not for long.
pub(super) fn check_time(b: &mut Build<'_>, item: &Item, identity: &Identity) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (from, until) = (identity.not_before(), identity.not_after());
    let soon = SOON.min((until.saturating_sub(from)) / 3);
    let days = |time: Duration| time.as_secs() / (24 * 3600);
    let what = if now < from {
        "is not valid yet".to_owned()
    } else if now >= until {
        format!("expired {} days ago", days(now.saturating_sub(until)))
    } else if until.saturating_sub(now) < soon {
        format!("expires in {} days", days(until.saturating_sub(now)))
    } else {
        return;
    };
    let message = format!("the certificate in `{}` {what}", item.text());
    b.warning(item.place, message, "renew it; the new file is taken up without a restart");
}

fn name(b: &mut Build<'_>, item: &Item) -> Option<String> {
    let name = item.text().to_ascii_lowercase();
    if is_name(name.strip_prefix("*.").unwrap_or(&name)) {
        return Some(name);
    }
    let message = format!("`{}` is no name of a host", item.text());
    b.error(item.place, message, "write it like `example.com` or `*.example.com`");
    None
}

/// Authorities from a file.
pub(super) fn roots(b: &mut Build<'_>, item: &Item) -> Option<Roots> {
    let bytes = b.file(item)?;
    Roots::read(&bytes)
        .map_err(|fault| {
            let help = "it holds the authorities' certificates, one after the other";
            b.error(item.place, format!("`{}` {fault}", item.text()), help);
        })
        .ok()
}

/// Lists of revoked certificates from files.
pub(super) fn crls(b: &mut Build<'_>, items: &[Item]) -> Crls {
    let mut crls = Crls::default();
    for item in items {
        let Some(bytes) = b.file(item) else { continue };
        let mut lists = Crls::default();
        if !lists.add(&bytes) {
            let message = format!("`{}` holds no list of revoked certificates", item.text());
            b.error(item.place, message, "it must hold `-----BEGIN X509 CRL-----`");
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if lists.until().is_some_and(|until| until <= now) {
            let message =
                format!("the list of revoked certificates in `{}` has run out", item.text());
            let help = "renew it: until then, certificates that it could be about are refused";
            b.warning(item.place, message, help);
        }
        crls.append(lists);
    }
    crls
}

pub(super) fn clients(b: &mut Build<'_>, table: &Table) -> Option<ClientTerms> {
    let (_, ca) = table.written("ca")?;
    let (roots, crls) = (roots(b, ca), crls(b, table.list("crl")));
    let depth = table.integer("depth").unwrap_or_default();
    ClientTerms::new(roots?, crls, (table.text("verify") == "required", depth))
        .map_err(|why| {
            b.error(table.place, format!("clients cannot be verified: {why}"), "correct the files");
        })
        .ok()
}
