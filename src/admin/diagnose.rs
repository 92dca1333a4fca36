//! `GET diagnose`: the archive for who shall help from afar, made by the process itself.

use std::io;

use axum::Router;
use axum::body::Body;
use axum::extract::State as Extract;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::task::spawn_blocking;
use tower::ServiceExt;

use super::backup::TYPE;
use super::endpoints::paths;
use super::problem::Problem;
use super::state::Shared;
use crate::config::Masked;
use crate::diagnose::{Collected, TOLD};

pub(super) async fn diagnose(Extract(state): Extract<Shared>) -> Result<Response, Problem> {
    let failed = |error: io::Error| {
        let told = format!("it cannot be made: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_packed", told)
    };
    let ledger = state.control.ledger();
    let begun = spawn_blocking(move || {
        let mut known = Masked::default();
        // What happened while these were in force may tell of their secrets.
        for file in ledger.revisions.iter().flat_map(|one| &one.files) {
            known.learn(&file.text);
        }
        Collected::of(ledger.file.as_deref(), known)
    });
    let mut collected = begun.await.map_err(io::Error::other).map_err(failed)?;
    let router = paths().with_state(state);
    for (path, name) in TOLD {
        match answer(&router, path).await {
            Ok(text) => collected.told(name, serde_json::from_str(&text).unwrap_or_default()),
            Err(why) => collected.lacks(&format!("api/{name}"), &why),
        }
    }
    collected.had("metrics.txt", answer(&router, "/metrics").await);
    let packed = spawn_blocking(move || {
        let archive = collected.end(None, "this process");
        io::Result::Ok((archive.name(), archive.pack(Vec::new())?))
    });
    let (name, packed) = packed.await.map_err(io::Error::other).flatten().map_err(failed)?;
    let name = format!("attachment; filename=\"{name}\"");
    let told = [(header::CONTENT_TYPE, TYPE.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((told, packed).into_response())
}

/// What is answered at a path, as text.
async fn answer(router: &Router, path: &str) -> Result<String, String> {
    let request = Request::get(path).body(Body::empty()).map_err(|error| error.to_string())?;
    let Ok(answer) = router.clone().oneshot(request).await;
    let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
    String::from_utf8(body.to_bytes().into()).map_err(|error| error.to_string())
}
