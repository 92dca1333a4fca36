//! Who asks, and what they may.

use std::path::PathBuf;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, Method, StatusCode, header};

use super::problem::Problem;
use super::serve::Shown;
use crate::config::model::{Admin, AdminCertificate, AdminRole, AdminToken, CertificateOf};
use crate::model::Address;

/// Who may what, as `[admin]` says.
#[derive(Debug, Clone, Default)]
pub struct Access {
    anonymous: Option<AdminRole>,
    /// Whether it is a Unix socket: who shows no token came by its mode.
    by_socket: bool,
    tokens: Vec<AdminToken>,
    certificates: Vec<AdminCertificate>,
    /// Requests a second of each; 0 is no limit.
    pub(super) max_rate: u32,
    pub(super) audit_log: Option<PathBuf>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Who {
    /// The token's or certificate's name; `unix` of who came by a Unix socket without one, else `anonymous`.
    pub(super) name: String,
    /// What they may; `None`: nothing.
    pub(super) role: Option<AdminRole>,
}

impl Access {
    /// As the section says.
    pub fn of(admin: &Admin) -> Self {
        Self {
            anonymous: admin.anonymous,
            by_socket: matches!(admin.address, Address::Unix(_)),
            tokens: admin.tokens.clone(),
            certificates: admin.certificates.clone(),
            max_rate: admin.max_rate,
            audit_log: admin.audit_log.clone(),
        }
    }

    /// Finds out who asks. A token that is shown and not known is nobody's, even where anybody may. A
    /// certificate was verified in the handshake; one that is none of those known is anybody's.
    pub(super) fn who(&self, headers: &HeaderMap, client: &Shown) -> Result<Who, Problem> {
        let mut shown = headers.get_all(header::AUTHORIZATION).iter();
        let Some(field) = shown.next() else {
            let name = if self.by_socket { "unix" } else { "anonymous" };
            let nobody = || Who { name: name.to_owned(), role: self.anonymous };
            return Ok(self.certified(client).unwrap_or_else(nobody));
        };
        let token = field.to_str().ok().and_then(|field| {
            let (scheme, token) = field.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let known = token.filter(|_| shown.next().is_none()).and_then(|token| self.bearer(token));
        let unknown = "the token is not known; show one as `Authorization: Bearer TOKEN`";
        known.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "unknown_token", unknown))
    }

    fn certified(&self, client: &Shown) -> Option<Who> {
        let is = |one: &&AdminCertificate| match &one.by {
            CertificateOf::Name(name) => client.names.contains(name),
            CertificateOf::Subject(subject) => client.subject.as_ref() == Some(subject),
        };
        let one = self.certificates.iter().find(is)?;
        Some(Who { name: one.name.clone(), role: Some(one.role) })
    }

    fn bearer(&self, token: &str) -> Option<Who> {
        let hash = digest(&SHA256, token.as_bytes());
        let is = |one: &&AdminToken| verify_slices_are_equal(&one.sha256, hash.as_ref()).is_ok();
        let one = self.tokens.iter().find(is)?;
        Some(Who { name: one.name.clone(), role: Some(one.role) })
    }
}

impl Who {
    /// Whether they may do what needs this role.
    pub(super) fn may(&self, needed: Option<AdminRole>) -> Result<(), Problem> {
        let Some(needed) = needed.filter(|needed| self.role < Some(*needed)) else {
            return Ok(());
        };
        let needed = needed.name();
        Err(match self.role {
            None => Problem::new(
                StatusCode::UNAUTHORIZED,
                "token_needed",
                format!(
                    "this needs the token of a {needed}: `Authorization: Bearer TOKEN` (commands: \
                     `PLIMSOLL_TOKEN`)"
                ),
            ),
            Some(role) => Problem::new(
                StatusCode::FORBIDDEN,
                "role",
                format!(
                    "{} is {}, and this needs {needed}: show the token of one (commands: `PLIMSOLL_TOKEN`)",
                    self.name,
                    role.name()
                ),
            )
            .with("needed", needed.into()),
        })
    }
}

/// What is needed for a request to that path, as routes name it; `None`: nothing.
pub(super) fn needed(method: &Method, path: Option<&str>) -> Option<AdminRole> {
    let reads = !changes(method, path);
    let is = |ends: &[&str]| path.is_some_and(|path| ends.iter().any(|end| path.ends_with(end)));
    match path {
        Some("/livez" | "/readyz") => None,
        // The page's own files hold no facts; what they show is asked for with a token.
        Some(path) if path.starts_with("/dashboard") => None,
        // These tell nothing of what stands in the files.
        _ if is(&["/config/validate", "/config/plan", "/config/revisions"]) => {
            Some(AdminRole::Viewer)
        }
        Some(path) if path.contains("/config") || path.ends_with("/diagnose") => {
            Some(AdminRole::Admin)
        }
        _ if reads => Some(AdminRole::Viewer),
        _ => Some(AdminRole::Operator),
    }
}

/// Whether a request would change something, or takes away what only its owner may know: a backup. Of those
/// that have a body, to explain, to check and to plan does not.
pub(super) fn changes(method: &Method, path: Option<&str>) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let only_tells = ["/explain", "/config/validate", "/config/plan"];
    match path {
        Some(path) if path.ends_with("/config/backup") => true,
        path => {
            !reads && !path.is_some_and(|path| only_tells.iter().any(|end| path.ends_with(end)))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn access(anonymous: Option<AdminRole>) -> Access {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, b"secret").as_ref());
        let token = AdminToken { name: "deploy".to_owned(), sha256, role: AdminRole::Operator };
        let by =
            |name: &str, by| AdminCertificate { name: name.to_owned(), by, role: AdminRole::Admin };
        let certificates = vec![
            by("ann", CertificateOf::Name("ann@example.com".to_owned())),
            by("bob", CertificateOf::Subject("CN=bob".to_owned())),
        ];
        let (by_socket, tokens, audit_log) = (false, vec![token], None);
        Access { anonymous, by_socket, tokens, certificates, max_rate: 0, audit_log }
    }

    fn who(access: &Access, fields: &[&str]) -> Result<Who, StatusCode> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        access.who(&headers, &Shown::default()).map_err(|problem| problem.status)
    }

    #[test]
    fn tokens_are_known_by_their_hash_and_unknown_ones_are_nobodys() {
        let access = access(Some(AdminRole::Viewer));
        let deploy = Who { name: "deploy".to_owned(), role: Some(AdminRole::Operator) };
        for field in ["Bearer secret", "bearer secret", "BEARER  secret "] {
            assert_eq!(who(&access, &[field]), Ok(deploy.clone()), "{field}");
        }
        let nobody = Err(StatusCode::UNAUTHORIZED);
        for fields in [
            &["Bearer wrong"][..],
            &["Basic secret"],
            &["secret"],
            &["Bearer"],
            &[""],
            &["Bearer secret", "Bearer secret"],
        ] {
            assert_eq!(who(&access, fields), nobody, "{fields:?}");
        }
        assert_eq!(who(&access, &[]).unwrap().role, Some(AdminRole::Viewer));
    }

    #[test]
    fn certificates_are_known_by_a_name_or_by_their_subject_and_tokens_go_before_them() {
        let access = access(None);
        let who = |names: &[&str], subject: &str, headers: &HeaderMap| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            let shown =
                Shown { peer: None, secured: true, subject: Some(subject.to_owned()), names };
            access.who(headers, &shown).unwrap()
        };
        let none = HeaderMap::new();
        let ann = who(&["x", "ann@example.com"], "CN=x", &none);
        assert_eq!((&*ann.name, ann.role), ("ann", Some(AdminRole::Admin)));
        assert_eq!(who(&[], "CN=bob", &none).name, "bob");
        // A subject is no name, and a part of one is neither.
        for (name, subject) in [("CN=bob", "ann@example.com"), ("example.com", "CN=bobby")] {
            let nobody = who(&[name], subject, &none);
            assert_eq!((&*nobody.name, nobody.role), ("anonymous", None));
        }
        let mut token = HeaderMap::new();
        token.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        assert_eq!(who(&[], "CN=bob", &token).name, "deploy");
    }

    #[test]
    fn each_role_may_what_those_before_it_may() {
        let who = |role| Who { name: "x".to_owned(), role };
        let may = |role, needed| who(role).may(needed).map_err(|problem| problem.status);
        let (viewer, operator) = (Some(AdminRole::Viewer), Some(AdminRole::Operator));
        assert_eq!(may(None, None), Ok(()));
        assert_eq!(may(None, viewer), Err(StatusCode::UNAUTHORIZED));
        assert_eq!(may(viewer, viewer), Ok(()));
        assert_eq!(may(viewer, operator), Err(StatusCode::FORBIDDEN));
        assert_eq!(may(Some(AdminRole::Admin), operator), Ok(()));
    }
}
