//! Requests and answers, one by one.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request};

use crate::peer::{Peer, get, post, whole};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, asking, block, frame,
};
use crate::support::{Answer, Client, Lb, Origin, at_rest};
use crate::{before, logged, support};

#[tokio::test]
async fn a_request_arrives_as_it_would_over_http_1() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let request = Request::get("http://shop.test:81/a%20b?x=1")
        .header("cookie", "a=1")
        .header("x-one", "1")
        .header("cookie", "b=2")
        .header("x-one", "2")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, _) = peer.begin(request, true).await;
    let got = whole(response).await.unwrap();
    assert_eq!((got.status, got.header("x-origin")), (200, Some("a")));
    for gone in ["connection", "keep-alive", "transfer-encoding"] {
        assert_eq!(got.header(gone), None);
    }
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /a%20b?x=1 HTTP/1.1");
    assert_eq!(seen.header("host").unwrap(), "shop.test:81");
    assert_eq!(seen.header("cookie").unwrap(), "a=1; b=2", "crumbs are one field again");
    assert_eq!(seen.headers().all("x-one"), ["1", "2"]);
    assert_eq!(seen.header("te").unwrap(), "trailers");
    assert_eq!(seen.header("x-forwarded-for").unwrap(), "127.0.0.1");
    assert_eq!(seen.header("x-forwarded-host").unwrap(), "shop.test:81");
    assert_eq!(seen.header("transfer-encoding"), None, "there is no body");
    let line = logged(&lb, "/a%20b").await;
    assert_eq!(line["version"], "HTTP/2.0");
    assert_eq!((line["method"].as_str(), line["status"].as_u64()), (Some("GET"), Some(200)));
}

#[tokio::test]
async fn bodies_arrive_with_their_length_or_in_chunks_and_with_trailers() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let body = b"0123456789".repeat(30_000);

    let with_length = Request::post("http://test/").header("content-length", body.len());
    assert_eq!(peer.post(with_length.body(()).unwrap(), &body).await.status, 200);
    let seen = origin.last();
    assert_eq!(seen.header("content-length").unwrap(), body.len().to_string());
    assert!(seen.body == body);

    assert_eq!(peer.post(post("/"), &body).await.status, 200);
    let seen = origin.last();
    assert_eq!(seen.header("transfer-encoding").unwrap(), "chunked");
    assert!(seen.body == body);

    let (response, mut stream) = peer.begin(post("/"), false).await;
    stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    trailers.insert("content-length", HeaderValue::from_static("7"));
    stream.send_trailers(trailers).unwrap();
    assert_eq!(whole(response).await.unwrap().status, 200);
    let seen = origin.last();
    assert_eq!(seen.body, b"abc");
    assert_eq!(seen.trailers.0, [("x-sum".to_owned(), "7".to_owned())]);

    let line = logged(&lb, "\"request_bytes\":300000").await;
    assert_eq!(line["status"], 200);
}

#[tokio::test]
async fn answers_come_in_every_framing() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let body = b"0123456789".repeat(30_000);
    let chunks = || body.chunks(7_001).map(<[u8]>::to_vec).collect::<Vec<_>>();
    for answer in [
        Answer::Ok(body.clone()),
        Answer::Chunked(chunks(), Vec::new()),
        Answer::UntilClose(body.clone()),
    ] {
        origin.answer(answer.clone());
        let got = peer.get("/").await;
        assert!(got.status == 200 && got.body == body && got.trailers.is_empty(), "{answer:?}");
    }
    origin.answer(Answer::Chunked(chunks(), vec![("x-sum", "7"), ("x-sum", "8")]));
    let got = peer.get("/").await;
    assert!(got.body == body);
    assert_eq!(got.trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["7", "8"]);
    for answer in [Answer::Ok(Vec::new()), Answer::Chunked(Vec::new(), Vec::new())] {
        origin.answer(answer);
        assert_eq!(peer.get("/").await.body, b"");
    }
    for status in [204, 304, 404, 503] {
        origin.answer(Answer::Status(status));
        assert_eq!(peer.get("/").await.status, status);
    }
    origin.answer(Answer::Ok(body.clone()));
    let request = Request::builder().method(Method::HEAD).uri("http://test/").body(()).unwrap();
    let (response, _) = peer.begin(request, true).await;
    let got = whole(response).await.unwrap();
    assert_eq!((got.status, got.header("content-length")), (200, Some("300000")));
    assert_eq!(got.body, b"");
}

#[tokio::test]
async fn one_port_speaks_both_and_only_if_it_shall() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    assert_eq!(support::get(lb.addr("main"), "/").await.status, 200);
    assert_eq!(Peer::connect(lb.addr("main")).await.get("/").await.status, 200);
    let without = Lb::start(crate::text(&origin, "", "").replace("http2 = true", "")).await;
    let mut client = Client::connect(without.addr("main")).await;
    client.send(support::frames::PREFACE).await;
    assert_eq!(client.read_response().await.status, 505);
}

#[tokio::test]
async fn what_is_refused_is_answered_and_logged() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "max_headers = 20", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let mut many = Request::get("http://test/many");
    for n in 0..21 {
        many = many.header("cookie", format!("c{n}=1"));
    }
    let (response, _) = peer.begin(many.body(()).unwrap(), true).await;
    assert_eq!(whole(response).await.unwrap().status, 431, "crumbs count one by one");
    let (response, _) = peer.begin(get(&format!("/{}", "a".repeat(9_000))), true).await;
    assert_eq!(whole(response).await.unwrap().status, 414);
    let two = Request::get("http://test/two").header("host", "other").body(()).unwrap();
    let (response, _) = peer.begin(two, true).await;
    assert_eq!(whole(response).await.unwrap().status, 400);
    let connect = Request::connect("http://test:443").body(()).unwrap();
    let (response, _) = peer.begin(connect, true).await;
    assert_eq!(whole(response).await.unwrap().status, 405);
    assert_eq!(peer.get("/fine").await.status, 200, "the connection goes on");
    assert_eq!(logged(&lb, "GET /two HTTP/2.0").await["status"], 400);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn our_own_answers_come_as_others_do() {
    let origin = Origin::start("a").await;
    let rest = "\n[[route]]\npath = \"/gone\"\nrespond = { status = 410, body = \"it is\" }\n\
         [[route]]\npath = \"/there\"\nredirect = { to = \"/here\", status = 302 }\n";
    let lb = before(&origin, "max_body = \"1KiB\"", rest).await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    let got = peer.get("/gone").await;
    assert_eq!((got.status, &*got.body), (410, &b"it is"[..]));
    let got = peer.get("/there").await;
    assert_eq!((got.status, got.header("location")), (302, Some("/here")));
    let (response, mut stream) = peer.begin(post("/"), false).await;
    stream.send_data(vec![0; 2_000].into(), false).unwrap();
    assert_eq!(whole(response).await.unwrap().status, 413);
    assert_eq!(peer.get("/").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn interim_answers_are_passed_on() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    origin.answer(Answer::EarlyHints);
    let (mut response, _) = peer.begin(get("/"), true).await;
    let hints =
        support::in_time("hints", std::future::poll_fn(|cx| response.poll_informational(cx))).await;
    let hints = hints.unwrap().unwrap();
    assert_eq!(hints.status(), 103);
    assert!(hints.headers().contains_key("link"));
    assert_eq!(whole(response).await.unwrap().status, 200);

    origin.answer(Answer::Status(200));
    let waits = Request::post("http://test/").header("expect", "100-continue");
    let (mut response, mut stream) = peer.begin(waits.body(()).unwrap(), false).await;
    let go_on = support::in_time(
        "leave to go on",
        std::future::poll_fn(|cx| response.poll_informational(cx)),
    )
    .await;
    assert_eq!(go_on.unwrap().unwrap().status(), 100);
    stream.send_data(Bytes::from_static(b"abc"), true).unwrap();
    assert_eq!(whole(response).await.unwrap().status, 200);
    assert_eq!(origin.last().body, b"abc");
}

#[tokio::test]
async fn another_backend_is_asked_as_for_every_client() {
    let (broken, fine) = (Origin::start("broken").await, Origin::start("fine").await);
    broken.answer(Answer::Reset);
    let backend = format!("\n[[upstream.api.backend]]\n{}\n", support::at(&fine));
    let lb = before(&broken, "", &backend).await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    for _ in 0..4 {
        assert_eq!(peer.get("/").await.header("x-origin"), Some("fine"));
    }
    assert!(broken.requests() > 0);
}

#[tokio::test]
async fn behind_a_proxy_that_tells_the_client_the_preface_follows_its_header() {
    let origin = Origin::start("a").await;
    let listener = "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]";
    let lb = before(&origin, listener, "").await;
    let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 80\r\n";
    let mut peer = Peer::connect(support::prefixed(lb.addr("main"), line).await).await;
    for _ in 0..2 {
        assert_eq!(peer.get("/").await.status, 200);
        assert_eq!(origin.last().header("x-forwarded-for").unwrap(), "192.0.2.1");
    }
}

#[tokio::test]
async fn a_body_is_whole_when_its_stream_ends_and_no_sooner() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    for (n, (length, body)) in [("4", "test"), ("0", "")].into_iter().enumerate() {
        let head = [&asking("POST", "/")[..], &[("content-length", length)]].concat();
        let begun =
            [frame(HEADERS, END_HEADERS, 1, block(&head)), frame(DATA, 0, 1, body)].concat();
        for (rest, kind) in [("more", RST_STREAM), ("", HEADERS)] {
            let mut frames = Frames::open(lb.addr("main")).await;
            let asked = origin.requests();
            frames.send(&begun).await;
            origin.until_requests(asked + 1).await;
            assert_eq!(at_rest(|| origin.seen().len()).await, n, "more may come yet");
            frames.send(frame(DATA, END_STREAM, 1, rest)).await;
            let told = frames.until(|one| matches!(one.kind, HEADERS | RST_STREAM)).await.unwrap();
            assert_eq!(told.kind, kind, "{told:?}");
        }
        assert_eq!((origin.seen().len(), &*origin.last().body), (n + 1, body.as_bytes()));
    }
}
