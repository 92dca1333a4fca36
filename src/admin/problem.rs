//! What is answered when something is not done (RFC 9457).

use std::borrow::Cow;

use axum::body::to_bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::control::{Objection, Refusal, ReloadError};

/// The member that is a field of the response too.
pub(super) const RETRY_AFTER: &str = "retry_after_seconds";

/// Why something is not done, for people and for programs.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// A word for programs.
    pub(super) code: &'static str,
    /// A sentence for people.
    detail: Cow<'static, str>,
    /// What else belongs to it.
    more: Map<String, Value>,
}

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status, code, detail: detail.into(), more: Map::new() }
    }

    pub(super) fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The same with one more member.
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after = self.more.get(RETRY_AFTER).and_then(Value::as_u64);
        let mut body = json!({
            "type": format!("urn:plimsoll:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.more);
        }
        let content_type = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.status, content_type, format!("{body:#}\n")).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// What is refused before it comes to us, such as a body that is too large or a path that is no text, in the form
/// of all else that is refused.
pub(super) async fn in_form(response: Response) -> Response {
    /// Bytes of what is said of it at most.
    const SAID: usize = 1024;
    let plain = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/plain");
    let status = response.status();
    if !status.is_client_error() || !response.headers().get(header::CONTENT_TYPE).is_some_and(plain)
    {
        return response;
    }
    let said = to_bytes(response.into_body(), SAID).await.unwrap_or_default();
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_request" };
    let told = String::from_utf8_lossy(&said).into_owned();
    Problem::new(status, code, told).into_response()
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Refused(refusal) => refusal.into(),
            ReloadError::Objected(objection) => objection.into(),
            ReloadError::Invalid(report) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_config",
                "the configuration has faults; the one before stays in force",
            )
            .with("diagnostics", report.to_json()),
            ReloadError::Unavailable(why) => Self::new(StatusCode::CONFLICT, "unavailable", why),
            ReloadError::NoFile => {
                Self::new(StatusCode::CONFLICT, "no_file", ReloadError::NoFile.to_string())
            }
            ReloadError::NotKept(_) => {
                let told = error.to_string();
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "not_kept", told)
            }
            ReloadError::Ended => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "ended", error.to_string())
            }
        }
    }
}

impl From<Objection> for Problem {
    fn from(objection: Objection) -> Self {
        let status = match objection {
            Objection::OtherRevision(..) => StatusCode::PRECONDITION_FAILED,
            Objection::NoRevision(_) => StatusCode::NOT_FOUND,
            Objection::OnProbation(_)
            | Objection::NothingToConfirm
            | Objection::NoneBefore
            | Objection::FileChanged(_)
            | Objection::Included(..) => StatusCode::CONFLICT,
        };
        Self::new(status, objection.code(), objection.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NoUpstream(_) | Refusal::NoBackend(_) => StatusCode::NOT_FOUND,
            Refusal::Address(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Exists(_)
            | Refusal::KeepOne(_)
            | Refusal::OnlyOne(_)
            | Refusal::OneOfAName(_)
            | Refusal::NoChecks(_) => StatusCode::CONFLICT,
        };
        Self::new(status, refusal.code(), refusal.to_string())
    }
}
