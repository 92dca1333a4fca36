//! The admin listener: where it is, and who may what there.

use std::sync::Arc;

use super::address::listening;
use super::listener::socket_mode;
use super::{Build, field, listener_tls};
use crate::config::model::{Admin, AdminCertificate, AdminRole, AdminToken, CertificateOf};
use crate::config::tree::Table;
use crate::model::Address;
use crate::policy::probation::Rules;
use crate::tls::{Named, ServerTerms};

pub(super) fn admin(b: &mut Build<'_>, table: &Table) -> Admin {
    let address = listening(b, table.item("address"));
    let tokens = tokens(b, table);
    let tls = table.table("tls").and_then(|table| tls(b, table)).map(Arc::new);
    let certificates = certificates(b, table);
    let asks = table.table("tls").is_some_and(|tls| tls.table("clients").is_some());
    if !asks && !certificates.is_empty() {
        let message = "nobody is asked for a certificate";
        let help = "say by `[admin.tls.clients]` which authorities vouch for them";
        b.error(table.place_of("certificates"), message, help);
    }
    let is_guarded = !tokens.is_empty() || !certificates.is_empty();
    let state = table.written("state").map(|(_, item)| b.base(item).join(item.text()));
    let audit_log = table.written("audit_log").map(|(_, item)| item.text().into());
    Admin {
        anonymous: anonymous(b, table, &address, is_guarded),
        address,
        socket_mode: socket_mode(b, table),
        tokens,
        tls,
        certificates,
        max_rate: table.integer("max_rate").unwrap_or_default(),
        state,
        revisions: table.integer("revisions").unwrap_or_default(),
        guard: guard(table),
        audit_log,
    }
}

/// When a configuration is worse than the one before.
fn guard(table: &Table) -> Rules {
    let Some(table) = table.table("guard") else { return Rules::default() };
    Rules {
        min_requests: table.integer("min_requests").unwrap_or_default(),
        min_failed: table.integer("min_failures").unwrap_or_default(),
        rise: table.float("failure_points").unwrap_or_default() / 100.0,
        client_error_rise: table.float("client_error_points").unwrap_or_default() / 100.0,
        min_timed: table.integer("min_timed_requests").unwrap_or_default(),
        factor: table.float("latency_factor").unwrap_or_default(),
        slack: table.duration("latency_slack").unwrap_or_default(),
    }
}

/// What somebody may who shows no token.
fn anonymous(
    b: &mut Build<'_>,
    table: &Table,
    address: &Address,
    is_guarded: bool,
) -> Option<AdminRole> {
    let public = matches!(address, Address::Ip(address) if !address.ip().is_loopback());
    let allowed = table.bool("allow_public");
    if public && !allowed && !is_guarded {
        let message =
            format!("{address} can be reached by others, and nobody is asked who they are");
        let help = "add `[admin.tokens.NAME]`, use `127.0.0.1`, `[::1]` or `unix:/path`, or let anybody \
                    read with `allow_public = true`";
        b.error(table.place_of("address"), message, help);
    }
    let Some((place, item)) = table.written("anonymous") else {
        return match address {
            Address::Unix(_) => Some(AdminRole::Admin),
            Address::Ip(_) => (!public || allowed).then_some(AdminRole::Viewer),
        };
    };
    let role = role(item.text());
    if public && role > Some(AdminRole::Viewer) {
        let message = format!("anybody who reaches {address} could change what is served");
        b.error(place, message, "give those who may a token: `[admin.tokens.NAME]`");
    }
    role
}

/// How connections are secured. One certificate will do: who asks knows where.
fn tls(b: &mut Build<'_>, table: &Table) -> Option<ServerTerms> {
    let clients = table.table("clients").and_then(|table| listener_tls::clients(b, table));
    let ((_, chain), (_, key)) = (table.written("chain")?, table.written("key")?);
    let identity = listener_tls::identity(b, table, (chain, key))?;
    listener_tls::check_time(b, chain, &identity);
    let names = identity.names().to_vec();
    Some(ServerTerms {
        identities: vec![Named { label: chain.text().to_owned(), identity, names }],
        awaited: Vec::new(),
        answers_challenges: false,
        known_names_only: false,
        refuses_misdirected: false,
        policy: listener_tls::policy(table),
        protocols: vec![b"http/1.1".to_vec()],
        // Whoever asks seldom gains nothing by them, and who is asked for a certificate shall show it.
        tickets: false,
        clients,
        handshake_timeout: table.duration("handshake_timeout").unwrap_or_default(),
    })
}

fn certificates(b: &mut Build<'_>, table: &Table) -> Vec<AdminCertificate> {
    let mut certificates = Vec::new();
    for (key, item) in table.map("certificates") {
        let Some(table) = item.table() else { continue };
        let name = field::name(b, key.place, &key.name);
        let text = |key| table.written(key).map(|(_, item)| item.text().to_owned());
        let by = match (text("san"), text("subject")) {
            (Some(name), None) => CertificateOf::Name(name),
            (None, Some(subject)) => CertificateOf::Subject(subject),
            _ => {
                let help = "write one of its names as `san`, or its whole `subject`";
                b.error(table.place, "exactly one of `san` and `subject` is needed", help);
                continue;
            }
        };
        let role = role(table.text("role")).unwrap_or(AdminRole::Viewer);
        certificates.push(AdminCertificate { name, by, role });
    }
    certificates
}

fn role(word: &str) -> Option<AdminRole> {
    [AdminRole::Viewer, AdminRole::Operator, AdminRole::Admin]
        .into_iter()
        .find(|role| role.name() == word)
}

fn tokens(b: &mut Build<'_>, table: &Table) -> Vec<AdminToken> {
    let mut tokens: Vec<AdminToken> = Vec::new();
    for (key, item) in table.map("tokens") {
        let Some(table) = item.table() else { continue };
        let name = field::name(b, key.place, &key.name);
        let Some(sha256) = digest(table.text("sha256")) else {
            if table.written("sha256").is_some() {
                let help =
                    "64 hexadecimal digits, as `printf %s \"$TOKEN\" | sha256sum` tells them";
                b.error(table.place_of("sha256"), "this is no SHA-256", help);
            }
            continue;
        };
        if let Some(same) = tokens.iter().find(|one| one.sha256 == sha256) {
            let message = format!("`{}` has the same token", same.name);
            b.error(table.place_of("sha256"), message, "give each its own, to tell them apart");
        }
        let role = role(table.text("role")).unwrap_or(AdminRole::Viewer);
        tokens.push(AdminToken { name, sha256, role });
    }
    tokens
}

fn digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(digest)
}
