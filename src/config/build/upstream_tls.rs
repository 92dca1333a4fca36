//! TLS to backends.

use std::sync::Arc;

use super::Build;
use super::listener_tls::{check_time, crls, identity, roots};
use super::template::template;
use crate::config::model::{Backend, BackendAddress, OwnFiles, Passwords, Template};
use crate::config::tree::{Item, Table};
use crate::tls::{BackendTerms, Identity, Roots, Trust, is_server_name};

pub(super) fn tls(
    b: &mut Build<'_>,
    upstream: &Table,
    backends: &[Backend],
) -> Option<Arc<BackendTerms>> {
    let protocol = upstream.text("protocol");
    let Some(table) = upstream.table("tls") else {
        if protocol == "h2" {
            let help = "add a section `tls` to the upstream, or use `h2c`";
            b.error(upstream.place_of("protocol"), "`h2` is spoken within TLS", help);
        }
        return None;
    };
    if protocol == "h2c" {
        let help = "use `h2`, or leave `tls` out";
        b.error(upstream.place_of("protocol"), "`h2c` is spoken without TLS", help);
    }
    let written = table.written("server_name").map(|(_, item)| item.text());
    let name_varies = written.is_some_and(|name| name.contains("${"));
    let name = written.filter(|_| !name_varies).map(str::to_owned);
    let trust = trust(b, table);
    let own = own(b, table);
    let alpn: &[u8] = if protocol == "h2" { b"h2" } else { b"http/1.1" };
    let terms = BackendTerms::new(trust?, own, (name.clone(), table.bool("sni")), alpn)
        .map_err(|why| {
            b.error(
                table.place,
                format!("backends cannot be verified: {why}"),
                "correct the files",
            );
        })
        .ok()?;
    match name {
        Some(name) if !is_server_name(&name) => {
            let help = "write it like `api.internal`";
            b.error(table.place_of("server_name"), format!("`{name}` is no name of a host"), help);
        }
        _ if name_varies => {
            if protocol == "h2" {
                let help = "write the name, or speak HTTP/1.1";
                let message = "a connection of HTTP/2 is many requests', and has one name";
                b.error(table.place_of("server_name"), message, help);
            }
        }
        Some(_) => {}
        None => {
            let strange = backends.iter().find_map(|one| match &one.address {
                BackendAddress::Name(name, _) if !is_server_name(name) => Some(name),
                _ => None,
            });
            if let Some(name) = strange {
                let message = format!("no certificate can be for `{name}`");
                b.error(table.place, message, "write the name in it as `server_name`");
            }
        }
    }
    let is_unix = |one: &Backend| matches!(one.address, BackendAddress::Unix(_));
    if terms.name().is_none()
        && !name_varies
        && !terms.is_insecure()
        && backends.iter().any(is_unix)
    {
        let help = "write the name in its certificate as `server_name`";
        b.error(table.place, "a Unix socket has no name that could be verified", help);
    }
    Some(Arc::new(terms))
}

/// The text that gives the name, where it has variables.
pub(super) fn name(b: &mut Build<'_>, upstream: &Table) -> Option<Template> {
    let (_, name) = upstream.table("tls")?.written("server_name")?;
    name.text().contains("${").then(|| template(b, name.place, name.text()))
}

fn trust(b: &mut Build<'_>, table: &Table) -> Option<Trust> {
    if table.bool("insecure") {
        for (key, at) in
            ["ca", "crl", "depth"].iter().filter_map(|key| Some((key, table.written(key)?.0)))
        {
            let message = format!("`{key}` has no effect where `insecure` is set");
            b.error(at, message, "leave one of the two out");
        }
        return Some(Trust::Anybody);
    }
    let roots = match table.written("ca") {
        Some((_, ca)) => roots(b, ca),
        None => system(b, table),
    };
    let crls = crls(b, table.list("crl"));
    let depth = table.integer("depth").unwrap_or_default();
    Some(Trust::In(roots?, crls, depth))
}

/// The authorities that the system trusts.
pub(super) fn system(b: &mut Build<'_>, table: &Table) -> Option<Roots> {
    let roots = b.system_roots.get_or_init(|| Roots::system().ok()).clone();
    if roots.is_none() {
        let help = "install the package `ca-certificates`, or name a file as `ca`";
        b.error(table.place, "the system trusts no certificate", help);
    }
    roots
}

/// What backends are shown that ask who we are.
fn own(b: &mut Build<'_>, table: &Table) -> Option<Identity> {
    match (table.written("certificate"), table.written("key")) {
        (Some((_, chain)), Some((_, key))) if varies(chain) || varies(key) => None,
        (Some((_, chain)), Some((_, key))) => {
            let identity = identity(b, table, (chain, key))?;
            check_time(b, chain, &identity);
            Some(identity)
        }
        (None, None) => {
            if let Some((at, _)) = table.written("password") {
                b.error(at, "`password` is that of the `key`, and there is none", "leave it out");
            }
            None
        }
        (Some((at, _)), None) => {
            b.error(at, "`certificate` needs its `key`", "write `key` too");
            None
        }
        (None, Some((at, _))) => {
            b.error(at, "`key` needs its `certificate`", "write `certificate` too");
            None
        }
    }
}

fn varies(item: &Item) -> bool {
    item.text().contains("${")
}

/// The files of what backends are shown, where each request says which.
pub(super) fn own_files(b: &mut Build<'_>, upstream: &Table) -> Option<OwnFiles> {
    let table = upstream.table("tls")?;
    let (at, chain) = table.written("certificate")?;
    let (_, key) = table.written("key")?;
    if !varies(chain) && !varies(key) {
        return None;
    }
    if upstream.text("protocol") == "h2" {
        let message = "a connection of HTTP/2 is many requests', and shows one certificate";
        b.error(at, message, "write the files, or speak HTTP/1.1");
    }
    Some(OwnFiles {
        chain: template(b, chain.place, chain.text()),
        key: template(b, key.place, key.text()),
        passwords: table.written("password").map(|(_, item)| Passwords(b.bytes(item))),
        folder: b.bases[chain.place.file].clone(),
    })
}
