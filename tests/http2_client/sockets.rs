//! `WebSocket` over HTTP/2 (RFC 8441), to backends that know them over HTTP/1.1.

use bytes::Bytes;
use h2::ext::Protocol;
use http::Request;

use crate::before;
use crate::peer::{Peer, head, rest, whole};
use crate::support::{Answer, Lb, Origin, in_time};

/// The opening of one.
fn opening(protocol: &'static str) -> Request<()> {
    let mut request = Request::connect("http://test/chat")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .body(())
        .unwrap();
    request.extensions_mut().insert(Protocol::from_static(protocol));
    request
}

#[tokio::test]
async fn a_tunnel_stands_when_the_backend_has_switched() {
    let origin = Origin::start("a").await;
    // The origin's protocol is called so.
    let text = crate::text(&origin, "", "")
        .replace("upstream = \"api\"", "upstream = \"api\"\nupgrades = [\"echo\"]");
    let lb = Lb::start(text).await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    // That tunnels may be asked for is told in settings, which come with the first answer at last.
    peer.get("/").await;
    assert!(peer.send.is_extended_connect_protocol_enabled());
    origin.answer(Answer::Upgrade);
    let (response, mut stream) = peer.begin(opening("echo"), false).await;
    let response = head(response).await;
    for gone in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    let mut answer = response.into_body();
    for word in ["one", "two"] {
        stream.send_data(Bytes::from_static(word.as_bytes()), false).unwrap();
        let mut got = Vec::new();
        while got.len() < word.len() {
            let data = in_time("what was sent", answer.data()).await.unwrap().unwrap();
            answer.flow_control().release_capacity(data.len()).unwrap();
            got.extend(data);
        }
        assert_eq!(got, word.as_bytes());
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(rest(answer).await.unwrap().0, b"bye", "each side ends by itself");
    let seen = origin.last();
    assert_eq!(seen.line(), "GET /chat HTTP/1.1");
    assert_eq!(seen.header("upgrade").unwrap(), "echo");
    assert_eq!(peer.get("/").await.status, 502, "a switch that nobody asked for is none");
}

#[tokio::test]
async fn an_opening_is_refused_as_others_are() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let mut peer = Peer::connect(lb.addr("main")).await;
    peer.get("/").await;
    origin.answer(Answer::Status(403));
    let (response, _stream) = peer.begin(opening("websocket"), false).await;
    assert_eq!(whole(response).await.unwrap().status, 403);
    let seen = origin.last();
    assert_eq!(seen.header("upgrade").unwrap(), "websocket");
    assert!(seen.header("sec-websocket-key").is_some());
    // The backend answers as if nothing had been asked: there is no tunnel, and no success.
    origin.answer(Answer::Status(200));
    let (response, _stream) = peer.begin(opening("websocket"), false).await;
    assert!(whole(response).await.is_err());
    // A backend that is asked for something else instead could do more than refuse it.
    let asked = origin.requests();
    let (response, _stream) = peer.begin(opening("other"), false).await;
    assert_eq!(whole(response).await.unwrap().status, 501);
    assert_eq!(origin.requests(), asked);
}
