//! Who gets in: no web page of another site, and nobody beyond their role.
//!
//! A page in an operator's browser may point a name of its own at 127.0.0.1 and then read whatever
//! answers there (DNS rebinding). Such a request carries that name in `Host`. Accepted are therefore
//! only addresses and names without a dot: `localhost`, or the name of a container, which nobody on
//! the Internet can own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State as Extract};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::access::{Who, changes, needed};
use super::audit;
use super::problem::{Problem, RETRY_AFTER};
use super::recorded::record;
use super::serve::Shown;
use super::state::Shared;

/// Lets in whom it may, and forbids caches and guesses at the content's type.
pub(super) async fn protect(
    Extract(shared): Extract<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let entered = enter(&shared, request, next).await;
    plain(entered.unwrap_or_else(IntoResponse::into_response))
}

/// Forbids caches and guesses at the content's type.
pub(super) fn plain(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn enter(shared: &Shared, mut request: Request, next: Next) -> Result<Response, Problem> {
    let shown = request.extensions().get::<Arc<Shown>>().cloned().unwrap_or_default();
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let changes = changes(request.method(), path.as_deref());
    let admitted = admit(shared, &request, &shown, path.as_deref(), changes);
    if let (true, Err(problem)) = (changes, &admitted) {
        audit::denied(shared, &request, &shown, problem);
    }
    let Some(who) = admitted? else { return Ok(next.run(request).await) };
    request.extensions_mut().insert(who.clone());
    if !changes {
        return Ok(next.run(request).await);
    }
    let kept = (Arc::clone(&shared.answered), Arc::clone(&shared.access));
    Ok(record(kept, who, request, next).await)
}

/// Finds out who asks, and whether they may that. `None`: anybody may.
fn admit(
    shared: &Shared,
    request: &Request,
    shown: &Shown,
    path: Option<&str>,
    changes: bool,
) -> Result<Option<Who>, Problem> {
    // Within TLS a page would need a certificate for its name that our key fits.
    if !shown.secured && !is_trusted(request.uri(), request.headers()) {
        let told = "Host must be an IP address or a name without a dot, such as localhost";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", told));
    }
    if changes && !is_of_this_site(request.headers()) {
        let told = "a web page of another site may not change anything here";
        return Err(Problem::new(StatusCode::FORBIDDEN, "foreign_origin", told));
    }
    let needed = needed(request.method(), path);
    // Who watches whether the process lives has no token, or an old one.
    let who = needed.map(|_| identify(shared, request.headers(), shown)).transpose()?;
    who.as_ref().map_or(Ok(()), |who| who.may(needed))?;
    Ok(who)
}

/// Finds out who asks, and whether they may now.
fn identify(shared: &Shared, headers: &HeaderMap, shown: &Shown) -> Result<Who, Problem> {
    let who = shared.access.who(headers, shown);
    // Who tries out tokens is one of many.
    let name = who.as_ref().map_or("", |who| &who.name);
    let pass = shared.rates.take(name, Instant::now());
    pass.map_err(too_often)?;
    who
}

fn too_often(wait: Duration) -> Problem {
    let told = "too many requests a second; `max_rate` of `[admin]` says how many there may be";
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_often", told);
    problem.with(RETRY_AFTER, seconds.into())
}

/// Whether a request comes from no web page, or from one of ours: browsers name the page's origin in each
/// request that is not a plain reading one.
fn is_of_this_site(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|field: &HeaderValue| field.to_str().unwrap_or("?"));
    let site = text("sec-fetch-site");
    let origin =
        text("origin").map(|origin| origin.split_once("://").map_or("?", |(_, host)| host));
    site.is_none_or(|site| matches!(site, "same-origin" | "none"))
        && origin.is_none_or(|origin| text("host") == Some(origin))
}

/// Whether every host that the request names is one of ours. A request without any (HTTP/1.0) comes
/// from a program, not from a browser.
fn is_trusted(uri: &Uri, headers: &HeaderMap) -> bool {
    let in_target = uri.authority().map(Authority::host);
    let in_fields = headers.get_all(header::HOST).iter();
    in_target.is_none_or(is_trusted_host)
        && in_fields
            .map(|field| field.to_str().ok()?.parse::<Authority>().ok())
            .all(|authority| authority.is_some_and(|authority| is_trusted_host(authority.host())))
}

fn is_trusted_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok() || !bare.contains(['.', ':', '@'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let of_this_site = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("127.0.0.1:9901"));
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            is_of_this_site(&headers)
        };
        assert!(of_this_site(&[]), "a program");
        assert!(of_this_site(&[("origin", "http://127.0.0.1:9901")]));
        assert!(of_this_site(&[("sec-fetch-site", "same-origin")]));
        assert!(!of_this_site(&[("origin", "http://127.0.0.1:8080")]), "another port");
        assert!(!of_this_site(&[("origin", "https://evil.example")]));
        assert!(!of_this_site(&[("origin", "null")]));
        assert!(!of_this_site(&[("sec-fetch-site", "cross-site")]));
        assert!(!of_this_site(&[("sec-fetch-site", "same-site")]));
    }

    #[test]
    fn addresses_and_names_without_a_dot_are_trusted_and_nothing_else() {
        let trusted = |hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(header::HOST, HeaderValue::from_str(host).unwrap());
            }
            is_trusted(&Uri::from_static("/metrics"), &headers)
        };
        for host in ["127.0.0.1", "127.0.0.1:9901", "[::1]:9901", "localhost:9901", "plimsoll"] {
            assert!(trusted(&[host]), "{host}");
        }
        assert!(trusted(&[]), "HTTP/1.0");
        for host in
            ["evil.example", "localhost.evil.example:9901", "127.0.0.1.evil.example", "", "a b"]
        {
            assert!(!trusted(&[host]), "{host}");
        }
        assert!(!trusted(&["localhost", "evil.example"]));
        let absolute = Uri::from_static("http://evil.example/metrics");
        assert!(!is_trusted(&absolute, &HeaderMap::new()));
    }
}
