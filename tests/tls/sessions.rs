//! Going on from earlier sessions.

use std::time::{Duration, SystemTime};

use rcgen::PKCS_ECDSA_P256_SHA256;

use crate::support::{Authority, Client, Origin, Wrapper, get, until};
use crate::{Setup, shop};

/// How many of so many connections, one after the other, went on from an earlier session.
async fn resumed(wrapper: &Wrapper, connections: usize) -> usize {
    let before = wrapper.shakes().len();
    for _ in 0..connections {
        assert_eq!(get(wrapper.addr(), "/").await.status, 200);
    }
    let shakes = wrapper.shakes().split_off(before);
    shakes.iter().filter(|shake| shake.as_ref().unwrap().resumed).count()
}

#[tokio::test]
async fn clients_go_on_from_their_sessions_on_every_worker_and_over_reloads() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]);
    let lb = setup.before(&origin).await;
    let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), "shop.test").await;
    assert_eq!(resumed(&wrapper, 20).await, 19);
    // A renewed certificate, and another setting: what was asked of clients is the same.
    let renewed = authority.issue(&["shop.test"]);
    renewed.write(setup.files.path(), "shop");
    let generation = lb.generation().await;
    lb.reload(
        setup
            .config(&origin)
            .replace("[listener.tls]", "[listener.tls]\nhandshake_timeout = \"9s\""),
    );
    lb.until_generation(generation + 1).await;
    assert_eq!(resumed(&wrapper, 5).await, 5);
    let count = "plimsoll_listener_tls_handshakes_total{listener=\"web\",result=\"resumed\"}";
    lb.until_metric(count, 24.0).await;
}

#[tokio::test]
async fn tickets_of_before_do_not_hold_once_something_else_is_asked_of_clients() {
    let (authority, pair) = shop();
    let clients = Authority::new("clients");
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]);
    setup.file("ca.pem", &clients.pem());
    let lb = setup.before(&origin).await;
    let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), "shop.test").await;
    assert_eq!(resumed(&wrapper, 3).await, 2);
    let generation = lb.generation().await;
    let directory = setup.files.path().display();
    lb.reload(setup.config(&origin).replace(
        "[listener.tls]",
        &format!("[listener.tls]\nclients = {{ ca = \"{directory}/ca.pem\" }}"),
    ));
    lb.until_generation(generation + 1).await;
    // Its ticket does not spare it the certificate, which it has not.
    let mut client = Client::connect(wrapper.addr()).await;
    client.send_what_is_taken(crate::GET).await;
    client.expect_closed().await;
    assert_eq!(origin.requests(), 3);
    until("the handshake has failed", async || {
        let count = "plimsoll_listener_tls_handshakes_total{listener=\"web\",result=\"failed\"}";
        lb.metric(count).await == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn a_ticket_is_good_for_as_long_as_the_certificate_that_was_shown_for_it() {
    let (authority, pair) = shop();
    let clients = Authority::new("clients");
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]).tls("clients = { ca = \"DIR/ca.pem\" }");
    setup.file("ca.pem", &clients.pem());
    let lb = setup.before(&origin).await;
    // Short, but long enough for two handshakes, however busy the machine is.
    let mut life = 2;
    let (wrapper, end) = loop {
        let end = SystemTime::now() + Duration::from_secs(life);
        let me = clients.issue_with(&["me"], &PKCS_ECDSA_P256_SHA256, |params| {
            params.not_after = end.into();
        });
        let config = authority.client_as(&me);
        let wrapper = Wrapper::around_clients(lb.addr("web"), config, "shop.test").await;
        let mut served = 0;
        for _ in 0..2 {
            let mut client = Client::connect(wrapper.addr()).await;
            client.send_what_is_taken(crate::GET).await;
            served += usize::from(client.try_read_response().await.is_ok());
        }
        if served == 2 && SystemTime::now() < end {
            break (wrapper, end);
        }
        life *= 2;
    };
    assert!(wrapper.shakes()[1].as_ref().unwrap().resumed);
    let before = origin.requests();
    let second = Duration::from_secs(1);
    until("the certificate has run out", async || SystemTime::now() > end + second).await;
    let mut client = Client::connect(wrapper.addr()).await;
    client.send_what_is_taken(crate::GET).await;
    client.expect_closed().await;
    assert_eq!(origin.requests(), before);
}

#[tokio::test]
async fn without_tickets_every_handshake_is_a_full_one() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)]).tls("session_tickets = false").before(&origin).await;
    let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), "shop.test").await;
    assert_eq!(resumed(&wrapper, 3).await, 0);
}
