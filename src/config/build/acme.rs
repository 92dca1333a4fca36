//! Certificates of an authority.

use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};

use super::address::is_name;
use super::{Build, Sourced, listener_tls};
use crate::config::files::{self, Hash};
use crate::config::model::{Acme, AcmeChallenge, ExternalAccount, Listener, Managed};
use crate::config::tree::{Item, Table};
use crate::tls::{ClientTerms, Identity};

/// Bytes of a key with its chain at most.
const LARGEST: u64 = 1 << 20;

/// Reads `[acme]`, before the listeners.
pub(super) fn define(b: &mut Build<'_>, root: &Table) {
    let Some(table) = root.table("acme") else { return };
    if !table.bool("accept_terms") {
        let help = "read them, then set `accept_terms = true`";
        b.error(table.place_of("accept_terms"), "the authority's terms are not accepted", help);
    }
    let directory = table.text("directory");
    if !directory.starts_with("https://") {
        let help = "for example `https://acme-v02.api.letsencrypt.org/directory`";
        b.error(table.place_of("directory"), format!("`{directory}` is no https:// URL"), help);
    }
    for item in table.list("contact").iter().filter(|item| !item.text().contains('@')) {
        let help = "write it like `ops@example.com`";
        b.error(item.place, format!("`{}` is no mail address", item.text()), help);
    }
    let Some((_, state)) = table.written("state") else { return };
    let ca = table.written("ca").map(|(_, item)| item);
    if let Some(item) = ca {
        // The bytes are read again when they are needed; that they can be is found out now.
        listener_tls::roots(b, item);
    }
    let external = table.table("external_account").map(|table| external(b, table));
    let at = |item: &Item| b.base(item).join(item.text());
    b.acme = Some(Acme {
        directory: directory.to_owned(),
        contact: table.list("contact").iter().map(|item| item.text().to_owned()).collect(),
        folder: at(state).join(folder(directory)),
        ca: ca.map(at),
        external,
        challenge: match table.text("challenge") {
            "tls-alpn-01" => AcmeChallenge::TlsAlpn,
            _ => AcmeChallenge::Http,
        },
        certificates: Vec::new(),
    });
}

/// The folder of an authority: accounts and certificates of one are worth nothing to another.
fn folder(directory: &str) -> String {
    let plain = directory.strip_prefix("https://").unwrap_or(directory);
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '_' };
    plain.chars().map(fits).collect()
}

/// The account at the authority's own site.
fn external(b: &mut Build<'_>, table: &Table) -> ExternalAccount {
    let mut key = Vec::new();
    if let Some((_, item)) = table.written("key") {
        let bytes = b.bytes(item);
        let text = str::from_utf8(&bytes).unwrap_or_default().trim().trim_end_matches('=');
        key = Base64UrlUnpadded::decode_vec(text).unwrap_or_default();
        if key.is_empty() {
            let help = "copy it as the authority shows it: letters, digits, `-` and `_`";
            b.error(item.place, "the key is not in base64url", help);
        }
    }
    ExternalAccount { id: table.text("id").to_owned(), key }
}

/// A certificate of a listener that the authority gives.
pub(super) struct Wanted {
    /// The names that it is for.
    pub(super) names: Vec<String>,
    /// It itself, once it is there.
    pub(super) identity: Option<Identity>,
}

/// The certificate of `table`, which says `acme = true`.
pub(super) fn certificate(b: &mut Build<'_>, table: &Table) -> Option<Wanted> {
    for key in ["chain", "key", "password", "ocsp"] {
        if let Some((place, _)) = table.written(key) {
            let help = format!("remove `{key}`, or `acme`");
            b.error(place, "this certificate comes from the authority, not from files", help);
        }
    }
    if b.acme.is_none() {
        let help = "add `[acme]` with `state` and `accept_terms`";
        b.error(table.place_of("acme"), "there is no authority to ask", help);
        return None;
    }
    let names: Option<Vec<_>> = table.list("names").iter().map(|item| name(b, item)).collect();
    let names = names?;
    if names.is_empty() {
        let help = "write them in `names`";
        b.error(table.place, "the authority has to be told for which names", help);
        return None;
    }
    let acme = b.acme.as_mut()?;
    let file = acme.folder.join("certificates").join(file_of(&names));
    let managed = Managed { names: names.clone(), file: file.clone() };
    if !acme.certificates.contains(&managed) {
        acme.certificates.push(managed);
    }
    let identity = stored(b, table, &file);
    if let (Some(identity), Some(item)) = (&identity, table.list("names").first()) {
        listener_tls::check_time(b, item, identity);
    }
    Some(Wanted { names, identity })
}

fn name(b: &mut Build<'_>, item: &Item) -> Option<String> {
    let name = item.text().to_ascii_lowercase();
    if name.starts_with("*.") {
        let help = "write out the names, or take such a certificate from files";
        b.error(item.place, "authorities give no certificate for `*.` in these ways", help);
        return None;
    }
    if !is_name(&name) || name.parse::<std::net::IpAddr>().is_ok() {
        let message = format!("`{}` is no name of a host", item.text());
        b.error(item.place, message, "write it like `example.com`");
        return None;
    }
    Some(name)
}

/// The file of the certificate for these names: other names have another one.
fn file_of(names: &[String]) -> String {
    let mut hash = Hash::EMPTY;
    for name in names {
        hash.add(name.as_bytes());
    }
    format!("{}-{:08x}.pem", names[0], hash.value() as u32)
}

/// What is there of the certificate. The file is watched, whether it is there or not.
fn stored(b: &mut Build<'_>, table: &Table, file: &Path) -> Option<Identity> {
    let read = files::read_regular(file, LARGEST);
    b.secret_files.push(file.to_owned());
    match read {
        Ok(bytes) => {
            b.secrets.add(&bytes);
            let read = Identity::read(&bytes, &bytes, None);
            if let Err(fault) = &read {
                let message = format!("`{}` {fault}", file.display());
                b.warning(table.place, message, "it is ordered anew");
            }
            read.ok()
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            let message = format!("`{}` cannot be read: {error}", file.display());
            b.error(table.place, message, "let Plimsoll's user read what it has stored");
            None
        }
    }
}

/// Has the plain listeners answer where they are asked. There has to be one.
pub(super) fn check(b: &mut Build<'_>, root: &Table, listeners: &mut [Sourced<'_, Listener>]) {
    let (Some(acme), Some(table)) = (&b.acme, root.table("acme")) else { return };
    if acme.certificates.is_empty() && b.faults.any_error() {
        // What is wrong with them is told.
    } else if acme.certificates.is_empty() {
        b.warning(table.place, "no certificate has `acme = true`", "remove `[acme]`");
    } else if acme.challenge == AcmeChallenge::Http {
        let mut asked = 0;
        for one in listeners.iter_mut().map(|one| &mut one.model) {
            one.answers_challenges = one.tls.is_none() && one.tcp.is_none();
            asked += usize::from(one.answers_challenges);
        }
        if asked == 0 {
            let help = "add a plain listener, to which port 80 leads, or say `\"tls-alpn-01\"`";
            b.error(table.place_of("challenge"), "no listener can be asked over HTTP", help);
        }
    }
}

/// Whether a listener with these terms is asked in handshakes. It must not ask for a certificate then,
/// which the authority has not.
pub(super) fn is_asked(b: &mut Build<'_>, table: &Table, clients: Option<&ClientTerms>) -> bool {
    let in_handshakes =
        b.acme.as_ref().is_some_and(|acme| acme.challenge == AcmeChallenge::TlsAlpn);
    let managed = table.tables("certificate").any(|one| one.bool("acme"));
    if in_handshakes && managed && clients.is_some_and(ClientTerms::is_required) {
        let help = "say `verify = \"optional\"`, or `challenge = \"http-01\"` in `[acme]`";
        let message = "the authority has no certificate to show when it asks in a handshake";
        b.error(table.place_of("clients"), message, help);
    }
    in_handshakes && managed
}

impl Build<'_> {
    /// The folder that what is written there is relative to.
    pub(super) fn base(&self, item: &Item) -> &PathBuf {
        &self.bases[item.place.file]
    }
}
