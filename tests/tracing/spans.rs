//! The spans of requests.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::collector::{Collector, Reply, Span};
use crate::support::{Answer, Client, Origin};
use crate::{SPAN, Setup, TRACE, ask, get_with, parts, seen};

/// The span of the request and those of its attempts, in the order in which they began.
fn tree(mut spans: Vec<Span>) -> (Span, Vec<Span>) {
    spans.sort_by_key(|span| (!span.is_server, span.raw.start_time_unix_nano));
    let server = spans.remove(0);
    assert!(server.is_server && spans.iter().all(|span| !span.is_server));
    for span in &spans {
        assert_eq!((&span.trace, &span.parent), (&server.trace, &server.id));
        assert!(server.raw.start_time_unix_nano <= span.raw.start_time_unix_nano);
        assert!(span.raw.start_time_unix_nano <= span.raw.end_time_unix_nano);
        assert!(span.raw.end_time_unix_nano <= server.raw.end_time_unix_nano);
    }
    (server, spans)
}

/// What a request tells that was answered in the end.
const OF_REQUEST: [(&str, &str); 14] = [
    ("http.request.method", "GET"),
    ("url.scheme", "http"),
    ("url.path", "/cart"),
    ("url.query", "id=1&sig=REDACTED"),
    ("server.address", "shop.test"),
    ("server.port", "80"),
    ("client.address", "127.0.0.1"),
    ("network.peer.address", "127.0.0.1"),
    ("network.protocol.version", "1.1"),
    ("user_agent.original", "tester"),
    ("http.response.status_code", "200"),
    ("plimsoll.listener", "web"),
    ("plimsoll.route", "all"),
    ("plimsoll.upstream", "app"),
];

#[tokio::test]
async fn a_request_with_two_attempts_is_three_spans() {
    let collector = Collector::start(Reply::Take).await;
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    a.answer(Answer::Reset);
    let setup = Setup {
        tracing: "parent = \"any\"\nservice = \"edge\"\nresource = { \"deployment.environment.name\" = \"test\" }",
        route: "request_headers = { set = { x-ids = \"${trace_id} ${span_id}\" } }",
        ..Setup::default()
    };
    let lb = setup.start(&collector, &[&a, &b]).await;
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let fields = format!(
        "traceparent: 00-{TRACE}-{SPAN}-01\r\ntracestate: vendor=1\r\ntracestate: other=2\r\n\
         User-Agent: tester\r\n"
    );
    let response = ask(&lb, "/cart?id=1&sig=secret", &fields).await;
    assert_eq!((response.status, response.text()), (200, "b".to_owned()));

    let (server, attempts) = tree(collector.until_spans(3).await);
    // Every backend was told the id of its own attempt.
    for (origin, span) in [&a, &b].into_iter().zip(&attempts) {
        assert_eq!(seen(origin), (TRACE.to_owned(), span.id.clone(), "01".to_owned()));
        assert_eq!(origin.last().headers().all("tracestate"), ["vendor=1", "other=2"]);
        let ids = format!("{TRACE} {}", server.id);
        assert_eq!(origin.last().header("x-ids"), Some(ids));
    }
    assert_eq!((&*server.trace, &*server.parent), (TRACE, SPAN));
    assert_eq!((&*server.raw.name, &*server.raw.trace_state), ("GET all", "vendor=1,other=2"));
    assert!(u128::from(server.raw.start_time_unix_nano) + 5_000_000 >= before.as_nanos());
    server.assert(&OF_REQUEST);
    assert!(server.get("network.peer.port").parse::<u16>().unwrap() > 0);
    assert!(!server.is_error);
    assert_eq!(server.resource["service.name"], "edge");
    assert_eq!(server.resource["deployment.environment.name"], "test");
    assert!(!server.resource["service.instance.id"].is_empty());

    let [first, second] = &attempts[..] else { panic!("{attempts:#?}") };
    let full = |origin: &Origin| format!("http://{}/cart?id=1&sig=REDACTED", origin.address());
    for (span, origin, outcome, error, again, reason) in
        [(first, &a, "reset", "reset", "", ""), (second, &b, "ok", "", "1", "reset")]
    {
        let port = origin.port().to_string();
        span.assert(&[
            ("http.request.method", "GET"),
            ("url.full", &full(origin)),
            ("server.address", "127.0.0.1"),
            ("server.port", &port),
            ("network.peer.port", &port),
            ("plimsoll.upstream", "app"),
            ("plimsoll.backend", &origin.address()),
            ("plimsoll.outcome", outcome),
            ("error.type", error),
            ("http.request.resend_count", again),
            ("plimsoll.retry.reason", reason),
        ]);
        assert_eq!(span.is_error, outcome != "ok");
        assert_eq!(span.raw.name, "GET app");
    }
    assert_eq!(second.get("http.response.status_code"), "200");
    let line = lb.until_out("/cart").await;
    assert!(line.contains(&format!("\"trace_id\":\"{TRACE}\"")), "{line}");
    lb.until_metric("plimsoll_spans_exported_total", 3.0).await;
}

#[tokio::test]
async fn what_fails_is_told_and_what_is_not_found_is_no_failure_of_the_server() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    // No connection that is kept could turn out to be dead.
    origin.close_after_each_answer();
    let lb = Setup::default().start(&collector, &[&origin]).await;
    origin.answer(Answer::Status(404));
    assert_eq!(ask(&lb, "/missing", "").await.status, 404);
    let (server, attempts) = tree(collector.until_spans(2).await);
    assert_eq!((server.is_error, server.get("error.type")), (false, ""));
    assert_eq!((attempts[0].is_error, attempts[0].get("error.type")), (true, "404"));

    origin.answer(Answer::Close);
    assert_eq!(ask(&lb, "/closed", "").await.status, 502);
    let (server, attempts) = tree(collector.until_spans(4).await.split_off(2));
    assert_eq!((server.is_error, server.get("error.type")), (true, "reset"));
    assert_eq!(server.get("http.response.status_code"), "502");
    assert_eq!((attempts[0].is_error, attempts[0].get("error.type")), (true, "reset"));

    origin.answer(Answer::Cut { declared: 100, sent: 10 });
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(get_with("/cut", "")).await;
    assert!(client.try_read_response().await.is_err());
    let (server, attempts) = tree(collector.until_spans(6).await.split_off(4));
    assert_eq!((server.is_error, server.get("error.type")), (true, "truncated"));
    assert_eq!(server.get("http.response.status_code"), "200");
    assert_eq!(attempts[0].get("plimsoll.outcome"), "truncated");

    // Methods that nobody knows make no names.
    origin.answer(Answer::Ok(b"a".to_vec()));
    client = Client::connect(lb.addr("web")).await;
    client.send("BREW /tea HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(client.read_response().await.status, 200);
    let (server, attempts) = tree(collector.until_spans(8).await.split_off(6));
    for span in [&server, &attempts[0]] {
        assert_eq!(span.get("http.request.method"), "_OTHER");
        assert_eq!(span.get("http.request.method_original"), "BREW");
    }
    assert_eq!(server.raw.name, "HTTP all");
}

#[tokio::test]
async fn a_hedged_request_has_a_span_for_each_of_the_two() {
    let collector = Collector::start(Reply::Take).await;
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let upstream = "hedge = { after = \"20ms\", budget = 100 }";
    let lb = Setup { upstream, ..Setup::default() }.start(&collector, &[&a, &b]).await;
    a.hold();
    assert_eq!(ask(&lb, "/slow", "").await.text(), "b");
    let (_, attempts) = tree(collector.until_spans(3).await);
    let [first, second] = &attempts[..] else { panic!("{attempts:#?}") };
    assert_eq!((seen(&a).1, seen(&b).1), (first.id.clone(), second.id.clone()));
    assert_eq!(first.get("plimsoll.outcome"), "cancelled");
    assert_eq!((first.is_error, first.get("plimsoll.retry.reason")), (false, ""));
    assert_eq!(second.get("plimsoll.outcome"), "ok");
    assert_eq!(second.get("plimsoll.retry.reason"), "hedge");
    assert_eq!(second.get("http.request.resend_count"), "1");
    a.release();
}

#[tokio::test]
async fn requests_that_never_reach_a_backend_have_a_span_too() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let route = "path = \"/only\"";
    let lb = Setup { route, ..Setup::default() }.start(&collector, &[&origin]).await;
    assert_eq!(ask(&lb, "/other", "").await.status, 404);
    let (server, attempts) = tree(collector.until_spans(1).await);
    assert!(attempts.is_empty());
    assert_eq!(server.raw.name, "GET");
    assert_eq!(server.get("plimsoll.failure"), "no_route");
    assert!(!server.is_error);
}

/// HTTP/2 on both sides, and a call of gRPC among the requests.
#[tokio::test]
async fn streams_of_http2_have_spans_and_context_as_well() {
    let collector = Collector::start(Reply::Take).await;
    let (address, fields) = h2::origin().await;
    let setup =
        Setup { listener: "http2 = true", upstream: "protocol = \"h2c\"", ..Setup::default() };
    let lb = crate::Lb::start(setup.config(Some(&collector), &[&address.to_string()])).await;
    for (call, path, content) in
        [(1, "/page", "text/plain"), (2, "/shop.Cart/Add", "application/grpc")]
    {
        let status = h2::post(lb.addr("web"), path, content).await;
        assert_eq!(status, 200);
        let (server, attempts) =
            tree(collector.until_spans(2 * call).await.split_off(2 * (call - 1)));
        assert_eq!(server.get("network.protocol.version"), "2");
        assert_eq!(attempts[0].get("network.protocol.version"), "2");
        assert_eq!(server.get("url.path"), path);
        let told = fields.lock().unwrap().last().unwrap().clone();
        let (trace, span, flags) = parts(told["traceparent"].to_str().unwrap());
        assert_eq!((trace, span, &*flags), (server.trace, attempts[0].id.clone(), "01"));
        assert_eq!(told["content-type"], content);
    }
}

mod h2 {
    //! A client and an origin of HTTP/2 with prior knowledge.

    use std::convert::Infallible;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use http_body_util::{Empty, Full};
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper::{HeaderMap, Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::net::{TcpListener, TcpStream};

    /// An origin that answers 200, and the fields of what it was asked.
    pub(super) async fn origin() -> (SocketAddr, Arc<Mutex<Vec<HeaderMap>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fields = Arc::<Mutex<Vec<HeaderMap>>>::default();
        let seen = Arc::clone(&fields);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&seen);
                let service = service_fn(move |request: Request<Incoming>| {
                    seen.lock().unwrap().push(request.headers().clone());
                    let response = Response::builder().header("grpc-status", "0");
                    let response = response.body(Empty::<Bytes>::new()).unwrap();
                    std::future::ready(Ok::<_, Infallible>(response))
                });
                let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        });
        (address, fields)
    }

    pub(super) async fn post(address: SocketAddr, path: &str, content: &str) -> u16 {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("http://shop.test{path}"))
            .header("content-type", content)
            .header("te", "trailers")
            .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
            .unwrap();
        sender.send_request(request).await.unwrap().status().as_u16()
    }
}
