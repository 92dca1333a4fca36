//! The page for people: the state of everything at a glance, and drain and weight at hand.
//!
//! The files are in the program and ask for nothing from elsewhere. They hold no facts: their script asks
//! the API for those, with the token of whoever looks.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;

/// Nothing but the page's own files may run, be shown or be asked.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files behind the page: path, type, content.
const FILES: [(&str, &str, &str); 8] = [
    ("/dashboard/style.css", STYLE, include_str!("dashboard/style.css")),
    ("/dashboard/page.js", SCRIPT, include_str!("dashboard/page.js")),
    ("/dashboard/api.js", SCRIPT, include_str!("dashboard/api.js")),
    ("/dashboard/change.js", SCRIPT, include_str!("dashboard/change.js")),
    ("/dashboard/draw.js", SCRIPT, include_str!("dashboard/draw.js")),
    ("/dashboard/overrides.js", SCRIPT, include_str!("dashboard/overrides.js")),
    ("/dashboard/rates.js", SCRIPT, include_str!("dashboard/rates.js")),
    ("/dashboard/revisions.js", SCRIPT, include_str!("dashboard/revisions.js")),
];

/// `/dashboard` and its files, which anybody may have who may reach the listener.
pub(super) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = || async { file("text/html; charset=utf-8", include_str!("dashboard/page.html")) };
    let router = Router::new()
        .route("/dashboard", get(page))
        .route("/dashboard/", get(|| async { Redirect::permanent("/dashboard") }));
    FILES.into_iter().fold(router, |router, (path, kind, content)| {
        router.route(path, get(move || async move { file(kind, content) }))
    })
}

fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let fields = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (fields, content)
}
