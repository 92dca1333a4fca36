//! Informational answers of backends that speak HTTP/2.

use std::future::poll_fn;

use crate::config;
use crate::origin::saying;
use crate::peer::{self, Peer, whole};
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, block, frame};
use crate::support::{Client, Lb, in_time, request};

fn answer(stream: u32, flags: u8, status: &str) -> Vec<u8> {
    let fields = [(":status", status), ("link", "</a.css>"), ("x-own", "1")];
    frame(HEADERS, END_HEADERS | flags, stream, block(&fields))
}

/// A balancer before a backend that says this; `route` goes into the route.
async fn before(what: fn(u32) -> Vec<u8>, route: &str) -> Lb {
    let (backend, _) = saying(what).await;
    let text = config("", &[backend])
        .replace("name = \"main\"", "name = \"main\"\nhttp2 = true")
        .replacen("upstream = \"h2\"", &format!("upstream = \"h2\"\n{route}"), 1);
    Lb::start(text).await
}

#[tokio::test]
async fn early_hints_reach_who_understands_them_and_the_others_end_here() {
    let all = |id| {
        let interim = ["100", "102", "103"].map(|status| answer(id, 0, status)).concat();
        [interim, answer(id, END_STREAM, "200")].concat()
    };
    let lb = before(all, "").await;
    let statuses = async |version: &str| {
        let text = format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n");
        let response = request(lb.addr("main"), text).await;
        let interim = response.interim.iter();
        (interim.map(|one| one.status).collect::<Vec<_>>(), response.status)
    };
    assert_eq!(statuses("1.1").await, (vec![103], 200));
    assert_eq!(statuses("1.0").await, (vec![], 200));
    let mut peer = Peer::connect(lb.addr("main")).await;
    let (mut response, _) = peer.begin(peer::get("/"), true).await;
    let hints = in_time("hints", poll_fn(|cx| response.poll_informational(cx))).await;
    let hints = hints.unwrap().unwrap();
    assert_eq!(
        (hints.status().as_u16(), &hints.headers()["link"]),
        (103, &"</a.css>".parse().unwrap())
    );
    assert_eq!(whole(response).await.unwrap().status, 200);
    let lb = before(all, "early_hints = false").await;
    let response = request(lb.addr("main"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((response.interim.len(), response.status), (0, 200));
}

#[tokio::test]
async fn early_hints_do_not_wait_for_the_answer() {
    let lb = before(|id| answer(id, 0, "103"), "").await;
    let mut client = Client::connect(lb.addr("main")).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.read_exact(13).await, b"HTTP/1.1 103 ");
    // Who has left frees the backend nevertheless.
    client.reset();
    lb.until_metric("plimsoll_backend_in_flight", 0.0).await;
}
