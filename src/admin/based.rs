//! On which revision a change is based: the `ETag` that was read, said by `If-Match`.

use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::problem::Problem;
use crate::control::{Ledger, Objection};

/// The revision that a change is based on, as `If-Match` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Based {
    Unsaid,
    /// Whichever is in force.
    OnAny,
    /// The one of this tag.
    On(String),
}

impl Based {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(field) = headers.get(header::IF_MATCH) else { return Ok(Self::Unsaid) };
        let named = field.to_str().unwrap_or_default().trim();
        if named == "*" {
            return Ok(Self::OnAny);
        }
        let bare = named.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let bare = bare.filter(|bare| !bare.contains('"'));
        let told = "If-Match is the ETag of a revision, such as \"7-1f3a09bc\", or *";
        // What is no revision fits none (RFC 9110 §13.1.1).
        let other = || Problem::new(StatusCode::PRECONDITION_FAILED, "bad_if_match", told);
        bare.map(|tag| Self::On(tag.to_owned())).ok_or_else(other)
    }

    /// Whether that is in force.
    pub(super) fn fits(&self, ledger: &Ledger) -> Result<(), Objection> {
        ledger.is_at(self.tag().as_deref())
    }

    /// The tag of the revision; `None`: whichever is in force.
    pub(super) fn tag(&self) -> Option<String> {
        match self {
            Self::On(tag) => Some(tag.clone()),
            Self::Unsaid | Self::OnAny => None,
        }
    }
}

/// A revision by its tag, as answers name it.
pub(super) fn etag(tag: &str) -> [(HeaderName, String); 1] {
    [(header::ETAG, format!("\"{tag}\""))]
}
