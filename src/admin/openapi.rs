//! `/openapi.json`: the API as a document that programs read (`OpenAPI` 3.1).
//!
//! It is written by hand. The tests hold it against the router: every path, method and role, both ways.

use axum::http::header;
use axum::response::IntoResponse;

/// The document.
const DOCUMENT: &str = include_str!("openapi.json");

/// `GET /openapi.json`.
pub(super) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/openapi+json")], DOCUMENT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::http::{Method, Request, StatusCode, header};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::super::access::needed;
    use super::super::tests::admin;
    use super::*;
    use crate::config::model::AdminRole;

    const METHODS: [Method; 5] =
        [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    fn paths() -> serde_json::Map<String, Value> {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        document["paths"].as_object().unwrap().clone()
    }

    /// Every operation that it names, with what it says of it.
    fn operations() -> impl Iterator<Item = (String, Method, Value)> {
        paths().into_iter().flat_map(|(path, of_path)| {
            let named = METHODS.into_iter().filter_map(move |method| {
                let operation = of_path.get(method.as_str().to_ascii_lowercase())?.clone();
                Some((path.clone(), method, operation))
            });
            named.collect::<Vec<_>>()
        })
    }

    #[tokio::test]
    async fn what_it_names_is_there_for_the_role_that_it_names() {
        let (router, _phase, _cell) = admin(&[]);
        for (path, method, operation) in operations() {
            let request = Request::builder().method(&method).uri(path.replace("{id}", "nobody"));
            let request = request.header(header::HOST, "localhost").body(Body::empty());
            let response = router.clone().oneshot(request.unwrap()).await.unwrap();
            assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let needs = needed(&method, Some(&path)).map_or("anybody", AdminRole::name);
            let says = operation["x-role"].as_str().unwrap_or("anybody");
            assert_eq!(says, needs, "{method} {path}");
        }
    }

    #[test]
    fn every_route_is_in_it() {
        // The routes stand in the source as `.route("/path", get(…).post(…))`.
        let (of_root, of_api) = include_str!("endpoints.rs").split_once("fn api()").unwrap();
        let of_api = of_api.split_once("\n}\n").unwrap().0;
        let mut routes = BTreeSet::new();
        for (prefix, source) in [("", of_root), ("/api/v1/ha", of_api)] {
            for route in source.split(".route(").skip(1) {
                let (path, rest) =
                    route.trim_start().split_once('"').unwrap().1.split_once('"').unwrap();
                let handlers = rest.split(".route(").next().unwrap();
                for method in METHODS {
                    let name = method.as_str().to_ascii_lowercase();
                    if handlers.contains(&format!("{name}(")) {
                        routes.insert((format!("{prefix}{path}"), name));
                    }
                }
            }
        }
        assert!(routes.len() > 15, "{routes:?}");
        let named: BTreeSet<_> = operations()
            .map(|(path, method, _)| (path, method.as_str().to_ascii_lowercase()))
            .collect();
        let different: Vec<_> = routes.symmetric_difference(&named).collect();
        assert!(different.is_empty(), "in one of both only: {different:?}");
    }

    #[test]
    fn what_it_refers_to_is_in_it() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        for reference in DOCUMENT.split("\"$ref\": \"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
