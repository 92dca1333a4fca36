//! A response that broke off looks broken off, whatever its framing.

use crate::support::{Answer, Broken, Client, Origin};
use crate::wired::Wired;
use crate::{GET, Setup, logged, plain};

const OLD: &str = "GET / HTTP/1.0\r\n\r\n";

async fn broken(lb: &crate::support::Lb, head: &str) -> Broken {
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(head).await;
    client.try_read_response().await.unwrap_err()
}

#[tokio::test]
async fn with_a_length_the_connection_ends_before_it() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    for head in [GET, OLD] {
        // The second one goes by another way: see `proxy::piped`.
        for declared in [100_000, 4_000_000] {
            let sent = declared / 2;
            origin.answer(Answer::Cut { declared, sent });
            let partial = broken(&lb, head).await.partial.unwrap();
            assert_eq!(partial.header("content-length"), Some(&*declared.to_string()));
            assert_eq!(partial.body.len(), sent);
        }
    }
    assert_eq!(logged(&lb, "truncated").await["status"], 200);
}

#[tokio::test]
async fn in_chunks_the_last_one_is_missing() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::CutChunked(vec![b'x'; 50_000]));
    let partial = broken(&lb, GET).await.partial.unwrap();
    assert_eq!(partial.header("transfer-encoding"), Some("chunked"));
    assert_eq!(partial.body.len(), 50_000);
}

#[tokio::test]
async fn where_only_the_close_ends_the_body_the_connection_is_reset() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    origin.answer(Answer::CutChunked(b"abc".to_vec()));
    assert!(broken(&lb, OLD).await.reset);
}

#[tokio::test]
async fn a_chunk_that_is_broken_cuts_the_response() {
    let backend = Wired::bind("127.0.0.1").await;
    let lb = Setup::default().start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.read_exact(17).await;
    wire.send("oops\r\n").await;
    let rest = client.read_to_end().await;
    assert!(rest.ends_with(b"\r\n\r\n3\r\nabc\r\n"), "{}", rest.escape_ascii());
    assert_eq!(wire.rest().await, b"");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_cut_in_time() {
    let backend = Wired::bind("127.0.0.1").await;
    let setup = Setup { upstream: "timeouts = { read = \"1s\" }", ..Setup::default() };
    let lb = setup.start(&[&backend.address()]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").await;
    let partial = client.try_read_response().await.unwrap_err().partial.unwrap();
    assert_eq!(partial.body, b"abc");
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    wire.head().await;
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\nabc").await;
    wire.send(vec![b'x'; 500_000]).await;
    let partial = client.try_read_response().await.unwrap_err().partial.unwrap();
    assert_eq!(partial.body.len(), 500_003, "the same by the other way");
    assert_eq!(logged(&lb, "timeout").await["status"], 200);
}
