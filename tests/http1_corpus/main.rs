//! What may be forwarded and what must be refused: raw messages of both sides, each with its verdict.
//!
//! The files in `requests` and `responses` are meant to be read and added to; their form stands in
//! `case.rs`. Each case runs through the real program. Behind each comes another request, so that a byte
//! too many or too few on either side, or a connection that should not be used again, shows.
//!
//! What a request can come to:
//! - `forwarded`: exactly the bytes behind it reach the backend, and the connection goes on;
//! - `forwarded, last`: the same, and the client's connection is closed after the answer;
//! - `400` (or another status): the client gets it and is closed; nothing reaches a backend;
//! - `400, kept`: the same, but the connection goes on;
//! - `400 half-way`: a backend may have seen its beginning, never its end, and the connection to it is closed;
//! - `closed`: the client is closed without a word; nothing reaches a backend;
//! - `closed half-way`: the same, and a backend may have seen a beginning.
//!
//! What a response can come to:
//! - `passed`: exactly the bytes behind it reach the client, and both connections go on;
//! - `passed, not reused`: the same, but the backend's connection is not used again;
//! - `passed, last`: the same, but the client's connection is closed;
//! - `passed, not reused, last`: both;
//! - `502`: the client gets this instead, and the backend's connection is not used again;
//! - `cut`: exactly the bytes behind it reach the client, both connections are closed.
//!
//! Responses are also tried for clients that speak HTTP/2 (`over_http2.rs`).

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod backend;
mod case;
mod over_http2;

use std::panic::AssertUnwindSafe;

use backend::{Backend, text};
use case::{Case, Verdict};
use support::{Client, Lb};

/// The request behind each case.
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The program with the listeners that cases name. `plain` adds nothing to a request.
async fn before(backend: &Backend) -> Lb {
    let plain =
        "x_forwarded = \"off\"\nforwarded = \"off\"\nx_real_ip = false\nrequest_id = \"off\"";
    let listeners = [
        ("plain", plain.to_owned()),
        ("edge", "request_id = \"off\"".to_owned()),
        ("nginx", format!("{plain}\nnginx = {{ ignore_invalid_headers = true }}")),
        (
            "underscores",
            format!(
                "{plain}\nnginx = {{ ignore_invalid_headers = true, underscores_in_headers = true }}"
            ),
        ),
        ("unique", format!("{plain}\nnginx = {{ refuse_repeated_fields = true }}")),
        ("short", format!("{plain}\nmax_body = \"4B\"")),
        ("h2", format!("{plain}\nhttp2 = true")),
    ];
    let listeners = listeners.map(|(name, settings)| {
        format!("[[listener]]\nname = \"{name}\"\naddress = \"127.0.0.1:0\"\n{settings}\n")
    });
    Lb::start(format!(
        "workers = 1\n[access_log]\nformat = \"off\"\n{}\n\
         [[route]]\nupstream = \"app\"\nresponse_headers = {{ remove = [\"Date\"] }}\n\
         [upstream.app]\npassive = {{ max_fails = 0 }}\n[[upstream.app.backend]]\naddress = \"{}\"\n",
        listeners.concat(),
        backend.address,
    ))
    .await
}

#[tokio::test]
async fn every_request_has_its_verdict() {
    let cases = case::read("requests");
    assert!(cases.len() >= 200, "{} cases", cases.len());
    run(cases, async |lb, backend, case| request(lb, backend, case).await).await;
}

#[tokio::test]
async fn every_response_has_its_verdict() {
    let cases = case::read("responses");
    assert!(cases.len() >= 60, "{} cases", cases.len());
    run(cases, async |lb, backend, case| response(lb, backend, case).await).await;
}

#[tokio::test]
async fn every_response_has_its_verdict_over_http2() {
    let mut cases = case::read("responses");
    // A client of HTTP/1.0 has no twin.
    cases.retain(|case| !case.request.as_ref().is_some_and(|line| line.ends_with("/1.0")));
    run(cases, async |lb, backend, case| over_http2::response(lb, backend, case).await).await;
}

/// Tries each case, and tells of all that fail.
async fn run(cases: Vec<Case>, one: impl AsyncFn(&Lb, &mut Backend, &Case)) {
    let mut failed = Vec::new();
    let mut backend = Backend::start().await;
    let mut lb = before(&backend).await;
    for case in cases {
        if let Err(panic) = unwinding(one(&lb, &mut backend, &case)).await {
            let text = panic.downcast_ref::<String>().cloned();
            failed.push(format!("{}\n    {}", case.title, text.unwrap_or_default()));
            // What is left of it shall not be in the way of the next one.
            backend = Backend::start().await;
            lb = before(&backend).await;
        }
    }
    assert!(failed.is_empty(), "{} cases failed:\n\n{}\n", failed.len(), failed.join("\n\n"));
}

/// What the work came to, or the panic that ended it.
async fn unwinding(work: impl Future<Output = ()>) -> std::thread::Result<()> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic)),
        }
    })
    .await
}

async fn request(lb: &Lb, backend: &mut Backend, case: &Case) {
    let listener = lb.addr(case.listener.as_deref().unwrap_or("plain"));
    let mut client = Client::connect(listener).await;
    client.send_what_is_taken(&case.sent).await;
    if case.ends {
        client.half_close().await;
    }
    let (mut goes_on, mut half_way) = (true, false);
    for Verdict { words, out } in &case.verdicts {
        assert!(goes_on, "no more can follow");
        if let Some(how) = words.strip_prefix("forwarded") {
            let connection = backend.expect(out).await;
            backend.send(connection, OK).await;
            let response = client.read_response().await;
            assert_eq!(response.status, 200);
            goes_on = how.is_empty();
            assert!(goes_on || how == ", last", "{words}");
            assert_eq!(response.header("connection") == Some("close"), !goes_on, "{response:?}");
        } else {
            let (what, how) = words.split_at(words.find([' ', ',']).unwrap_or(words.len()));
            goes_on = how == ", kept";
            if what == "closed" {
                assert_eq!(text(&client.read_to_end().await), "");
            } else {
                let head = case.sent.starts_with(b"HEAD ");
                let response = if head {
                    client.read_response_to_head().await
                } else {
                    client.read_response().await
                };
                assert_eq!(response.status.to_string(), what, "{words}");
                let page = format!("{what} {}\n", response.reason);
                assert!(head || response.text() == page, "{response:?}");
            }
            half_way = how == " half-way";
            assert!(goes_on || half_way || how.is_empty(), "{words}");
        }
    }
    if !goes_on {
        client.expect_closed().await;
        client = Client::connect(listener).await;
    }
    next(lb, backend, goes_on.then_some(client), half_way).await;
}

/// Another request finds everything in order; tells on which of the backend's connections.
async fn next(lb: &Lb, backend: &mut Backend, client: Option<Client>, half_way: bool) -> usize {
    let mut client = match client {
        Some(client) => client,
        None => Client::connect(lb.addr("plain")).await,
    };
    client.send(NEXT).await;
    let connection = if half_way {
        backend.expect_behind_a_part(NEXT).await
    } else {
        backend.expect(NEXT).await
    };
    backend.send(connection, OK).await;
    assert_eq!(client.read_response().await.text(), "ok");
    connection
}

async fn response(lb: &Lb, backend: &mut Backend, case: &Case) {
    let line = case.request.as_deref().unwrap_or("GET / HTTP/1.1");
    let asked = format!("{line}\r\nHost: a\r\n\r\n");
    let mut client = Client::connect(lb.addr("plain")).await;
    client.send(&asked).await;
    let forwarded = asked.replace("HTTP/1.0", "HTTP/1.1");
    let connection = backend.expect(forwarded.as_bytes()).await;
    backend.send(connection, &case.sent).await;
    if case.ends {
        backend.end(connection).await;
    }
    let [Verdict { words, out }] = &case.verdicts[..] else { panic!("one verdict, please") };
    let kept = match &**words {
        "cut" => false,
        passed if passed.starts_with("passed") => !passed.ends_with(", last"),
        status => {
            let head = line.starts_with("HEAD ");
            let response = if head {
                client.read_response_to_head().await
            } else {
                client.read_response().await
            };
            assert_eq!(response.status.to_string(), status);
            let page = format!("{status} {}\n", response.reason);
            assert!(head || response.text() == page, "{response:?}");
            true
        }
    };
    assert_eq!(text(&client.read_exact(out.len()).await), text(out));
    if !case.later.is_empty() {
        backend.send(connection, &case.later).await;
    }
    if !kept {
        client.expect_closed().await;
    }
    let reused = matches!(&**words, "passed" | "passed, last");
    let again = next(lb, backend, kept.then_some(client), false).await;
    assert_eq!(again == connection, reused, "whether the backend's connection is used again");
}
