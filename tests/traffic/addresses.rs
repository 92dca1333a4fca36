//! Where backends and listeners may be.

use crate::support::{Client, Origin, request};
use crate::wired::Wired;
use crate::{GET, Setup};

#[tokio::test]
async fn a_backend_may_be_a_unix_socket() {
    let origin = Origin::start_unix("u").await;
    let setup = Setup {
        more: "[[route]]\npath = \"/b\"\nupstream = \"app\"\nhost_header = \"backend\"",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    for _ in 0..3 {
        assert_eq!(request(lb.addr("web"), GET).await.text(), "u");
    }
    assert_eq!(origin.connections(), 1, "and is pooled");
    assert_eq!(origin.last().header("host").as_deref(), Some("test"));
    let head = "GET /b HTTP/1.1\r\nHost: test\r\n\r\n";
    assert_eq!(request(lb.addr("web"), head).await.status, 200);
    assert_eq!(origin.last().header("host").as_deref(), Some("localhost"));
}

#[tokio::test]
async fn a_unix_socket_that_is_not_there_is_502() {
    let lb = Setup::default().start(&["unix:/nonexistent/socket"]).await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 502);
}

#[tokio::test]
async fn listeners_and_backends_may_be_ipv6() {
    let backend = Wired::bind("::1").await;
    let config = format!(
        "workers = 1\n[[listener]]\nname = \"web\"\naddress = \"[::1]:0\"\nforwarded = \"auto\"\n\
         [[route]]\nupstream = \"app\"\n[[upstream.app.backend]]\naddress = \"{}\"",
        backend.address()
    );
    let lb = crate::support::Lb::start(config).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    let mut wire = backend.accept().await;
    let head = wire.head().await;
    assert!(head.contains("X-Forwarded-For: ::1\r\n"), "{head}");
    assert!(head.contains("Forwarded: for=\"[::1]\";host=test;proto=http\r\n"), "{head}");
    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv6").await;
    assert_eq!(client.read_response().await.text(), "v6");
}

#[tokio::test]
async fn a_backend_may_be_a_name() {
    let origin = Origin::start("named").await;
    let name = format!("localhost:{}", origin.port());
    let lb = Setup::default().start(&[&name]).await;
    for _ in 0..3 {
        assert_eq!(request(lb.addr("web"), GET).await.text(), "named");
    }
}
