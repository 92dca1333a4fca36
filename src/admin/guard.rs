//! Keeps web pages out of the admin listener.
//!
//! A page in an operator's browser may point a name of its own at 127.0.0.1 and then read whatever
//! answers there (DNS rebinding). Such a request carries that name in `Host`. Accepted are therefore
//! only addresses and names without a dot: `localhost`, or the name of a container, which nobody on
//! the Internet can own.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};
use axum::middleware::Next;
use axum::response::Response;

use super::endpoints::refusal;

/// Refuses foreign hosts and forbids caches and guesses at the content's type.
pub(super) async fn protect(request: Request, next: Next) -> Response {
    let mut response = if is_trusted(request.uri(), request.headers()) {
        next.run(request).await
    } else {
        refusal(
            StatusCode::MISDIRECTED_REQUEST,
            "Host must be an IP address or a name without a dot, such as localhost",
        )
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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
