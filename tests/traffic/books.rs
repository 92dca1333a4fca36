//! What is counted in is counted out, whatever happened between.

use crate::support::{Answer, Client, Origin, request};
use crate::{GET, Setup, until_clients};

#[tokio::test]
async fn after_all_kinds_of_endings_nothing_is_in_flight() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        listener: "max_body = 1000",
        route: "path = \"/in\"",
        upstream: "timeouts = { read = \"100ms\" }",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let get = "GET /in HTTP/1.1\r\nHost: test\r\n\r\n";
    let answers = [
        Answer::Status(200),
        Answer::Close,
        Answer::Reset,
        Answer::Never,
        Answer::Cut { declared: 9, sent: 1 },
        Answer::BeforeBody(403),
        Answer::Raw(b"nonsense\r\n".to_vec()),
    ];
    for answer in answers {
        origin.answer(answer);
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(get).await;
        let _ = client.try_read_response().await;
        let mut client = Client::connect(lb.addr("web")).await;
        client.send("POST /in HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc").await;
        drop(client);
    }
    for head in [GET, "nonsense\r\n\r\n"] {
        request(lb.addr("web"), head).await;
    }
    until_clients(&lb, 0).await;
    for gauge in [
        "plimsoll_requests_in_flight{route=\"all\"}",
        "plimsoll_requests_in_flight{route=\"_none\"}",
        "plimsoll_backend_in_flight",
    ] {
        lb.until_metric(gauge, 0.0).await;
    }
}

#[tokio::test]
async fn an_attempt_is_in_flight_until_its_response_is_through() {
    let origin = Origin::start("a").await;
    let lb = Setup::default().before(&[&origin]).await;
    origin.answer(Answer::Stream(64 << 20));
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    lb.until_metric("plimsoll_backend_in_flight", 1.0).await;
    lb.until_metric("plimsoll_requests_in_flight{route=\"all\"}", 1.0).await;
    client.read_response().await;
    lb.until_metric("plimsoll_backend_in_flight", 0.0).await;
    let answered = "plimsoll_requests_total{route=\"all\",code=\"2xx\"}";
    lb.until_metric(answered, 1.0).await;
    let bytes = "plimsoll_response_bytes_total{route=\"all\"}";
    lb.until_metric(bytes, f64::from(64 << 20)).await;
}
