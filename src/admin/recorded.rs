//! What is done once for each request that would change something: its body is read within a bound, one
//! that comes again under the same key gets the same answer, and it is written down.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::json;

use super::access::{Access, Who};
use super::audit::append;
use super::problem::Problem;
use crate::telemetry::at_utc;

/// Bytes of a body at most: as many as of a configuration.
pub(super) const LARGEST: usize = 64 << 20;
/// Answers that are kept for requests that come again.
const KEPT: usize = 256;
/// Bytes of a key at most.
const LONGEST_KEY: usize = 255;

/// Answers to requests that had a key (draft-ietf-httpapi-idempotency-key-header).
#[derive(Debug, Default)]
pub(super) struct Answered(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    /// Who asked, and under which key.
    key: (String, String),
    /// What was asked.
    hash: Vec<u8>,
    /// `None`: it is being done.
    answer: Option<Answer>,
}

type Answer = (StatusCode, HeaderMap, Bytes);

/// What is known of a key.
enum Known {
    New,
    Other,
    UnderWay,
    Before(Answer),
}

impl Answered {
    /// Takes up a key, or tells what is known of it.
    fn begin(&self, key: &(String, String), hash: &[u8]) -> Known {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = kept.iter().find(|one| one.key == *key) {
            return match &before.answer {
                _ if before.hash != hash => Known::Other,
                None => Known::UnderWay,
                Some(answer) => Known::Before(answer.clone()),
            };
        }
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Kept { key: key.clone(), hash: hash.to_vec(), answer: None });
        Known::New
    }

    /// Keeps an answer. One that came of a fault of ours is no answer: the request may come again.
    fn end(&self, key: &(String, String), answer: &Answer) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.0.is_server_error() {
            kept.retain(|one| one.key != *key);
        } else if let Some(one) = kept.iter_mut().find(|one| one.key == *key) {
            one.answer = Some(answer.clone());
        }
    }
}

/// Does a request that would change something.
pub(super) async fn record(
    (answered, access): (Arc<Answered>, Arc<Access>),
    who: Who,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let (method, uri) = (parts.method.clone(), parts.uri.clone());
    let Ok(body) = Limited::new(body, LARGEST).collect().await else {
        let told = "the body is larger than 64 MiB, or broke off";
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", told).into_response();
    };
    let body = body.to_bytes();
    let key = match key(&parts.headers, &method, &who) {
        Ok(key) => key,
        Err(problem) => return problem.into_response(),
    };
    if let Some(key) = &key {
        let hash = hash(&method, &uri, &body);
        let refuse =
            |status, code, told: &'static str| Problem::new(status, code, told).into_response();
        match answered.begin(key, hash.as_ref()) {
            Known::New => {}
            Known::Before((status, headers, body)) => {
                return (status, headers, body).into_response();
            }
            Known::Other => {
                let told = "this Idempotency-Key came with another request";
                return refuse(StatusCode::UNPROCESSABLE_ENTITY, "key_used", told);
            }
            Known::UnderWay => {
                let told = "the request with this Idempotency-Key is still under way";
                return refuse(StatusCode::CONFLICT, "under_way", told);
            }
        }
    }
    let asked = body.clone();
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if let Some(key) = &key {
        answered.end(key, &(parts.status, parts.headers.clone(), body.clone()));
    }
    if let Some(path) = &access.audit_log {
        let done =
            Done { who: &who, method: &method, uri: &uri, asked: &asked, status: parts.status };
        done.write_down(path, &body).await;
    }
    Response::from_parts(parts, Body::from(body))
}

/// The key of a request, with who it comes from: two people may choose the same.
fn key(
    headers: &HeaderMap,
    method: &Method,
    who: &Who,
) -> Result<Option<(String, String)>, Problem> {
    let Some(field) = headers.get("idempotency-key").filter(|_| *method == Method::POST) else {
        return Ok(None);
    };
    let good = |key: &&str| !key.is_empty() && key.len() <= LONGEST_KEY;
    let told = "Idempotency-Key has 1 to 255 printable characters";
    let key = field.to_str().ok().filter(good);
    let key = key.ok_or_else(|| Problem::bad_request("bad_key", told))?;
    Ok(Some((who.name.clone(), key.to_owned())))
}

fn hash(method: &Method, uri: &Uri, body: &[u8]) -> impl AsRef<[u8]> {
    let mut all = format!("{method} {uri}\n").into_bytes();
    all.extend_from_slice(body);
    digest(&SHA256, &all)
}

/// A request that was answered.
struct Done<'a> {
    who: &'a Who,
    method: &'a Method,
    uri: &'a Uri,
    asked: &'a Bytes,
    status: StatusCode,
}

impl Done<'_> {
    /// Appends a line to the audit log, before the answer goes out.
    async fn write_down(&self, path: &Path, answer: &[u8]) {
        /// Bytes of a body that stand in the log; a configuration's do not.
        const SHORT: usize = 4096;
        let short = Some(self.asked).filter(|asked| asked.len() <= SHORT);
        let asked = short.and_then(|asked| serde_json::from_slice(asked).ok());
        let answer: Option<serde_json::Value> = serde_json::from_slice(answer).ok();
        let told = |name: &str| answer.as_ref().and_then(|answer| answer.get(name)).cloned();
        let line = json!({
            "at": at_utc(SystemTime::now()),
            "actor": self.who.name,
            "role": self.who.role.map(crate::config::model::AdminRole::name),
            "method": self.method.as_str(),
            "path": self.uri.path(),
            "query": self.uri.query(),
            "asked": asked.unwrap_or(serde_json::Value::Null),
            "status": self.status.as_u16(),
            "code": told("code"),
            "generation": told("generation"),
            "revision": told("revision"),
        });
        append(path, &line).await;
    }
}

/// A content type, without its parameters.
pub(super) fn content_type(headers: &HeaderMap) -> Option<&str> {
    let field = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(field.split(';').next().unwrap_or_default().trim())
}
