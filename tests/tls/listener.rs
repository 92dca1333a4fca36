//! Termination: which certificate is shown, what is agreed on, what backends and operators are told.

use crate::peer::{Peer, whole};
use crate::support::frames::PREFACE;
use crate::support::{
    Answer, Authority, Client, Origin, Wrapper, at_rest, get, metric, request, until,
};
use crate::{GET, Setup, shop};
use rcgen::PKCS_RSA_SHA256;
use rustls::{CipherSuite, ProtocolVersion};

#[tokio::test]
async fn requests_come_through_and_backends_learn_that_they_were_secured() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let edits = "request_headers = { set = { X-Tls = \"${https} ${tls.version} ${tls.cipher} \
                 ${tls.server_name} ${tls.protocol} ${tls.resumed} ${tls.client.verified}\" } }";
    let lb = Setup::new(&[("shop", &pair)]).route(edits).before(&origin).await;
    let mut config = authority.client();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let wrapper = Wrapper::around_clients(lb.addr("web"), config, "shop.test").await;
    let mut client = Client::connect(wrapper.addr()).await;
    for _ in 0..3 {
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
    }
    let head = String::from_utf8(origin.seen().pop().unwrap().head).unwrap();
    assert!(head.contains("X-Forwarded-Proto: https\r\n"), "{head}");
    let told = "X-Tls: on TLSv1.3 TLS_AES_256_GCM_SHA384 shop.test http/1.1 . NONE\r\n";
    assert!(head.contains(told), "{head}");
    let shake = wrapper.shakes().pop().unwrap().unwrap();
    assert_eq!(shake.protocol.as_deref(), Some(&b"http/1.1"[..]));
    let handshakes = "plimsoll_listener_tls_handshakes_total{listener=\"web\",result=\"full\"}";
    lb.until_metric(handshakes, 1.0).await;
    let metrics = lb.metrics().await;
    let expiry = metric(&metrics, "plimsoll_certificate_expiry_timestamp_seconds");
    assert!(expiry.unwrap() > 4e9, "{metrics}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways_whole() {
    let (authority, pair) = shop();
    let body: String = (0..700_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)])
        .route(&format!("[[route]]\npath = \"/large\"\nrespond = {{ body = \"{body}\" }}"))
        .before(&origin)
        .await;
    let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), "shop.test").await;
    let mut client = Client::connect(wrapper.addr()).await;
    for _ in 0..3 {
        client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let response = client.read_response().await;
        assert!(response.text() == body, "the body came whole");
    }
    let length = body.len();
    let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
    client.send([&head, &*body].concat()).await;
    assert_eq!(client.read_response().await.status, 200);
    assert!(origin.seen().pop().unwrap().body == body.as_bytes(), "the body came whole");
}

#[tokio::test]
async fn the_certificate_is_the_one_for_the_name_and_of_a_kind_that_the_client_knows() {
    let authority = Authority::new("tests");
    let first = authority.issue(&["first.test"]);
    let shop = authority.issue(&["shop.test", "*.wild.test"]);
    let rsa = authority.issue_with(&["shop.test", "*.wild.test"], &PKCS_RSA_SHA256, |_| {});
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("first", &first), ("rsa", &rsa), ("shop", &shop)]);
    let lb = setup.before(&origin).await;
    for (name, pair) in [("shop.test", &shop), ("a.wild.test", &shop), ("first.test", &first)] {
        let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), name).await;
        assert_eq!(request(wrapper.addr(), GET).await.status, 200);
        let shake = wrapper.shakes().pop().unwrap().unwrap();
        assert!(pair.is_of(&shake.peer[0]), "{name}");
    }
    // Who asks for no name of ours gets the first one, which is not for it.
    let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), "other.test").await;
    Client::connect(wrapper.addr()).await.expect_closed().await;
    let error = wrapper.shakes().pop().unwrap().unwrap_err();
    assert!(error.contains("not valid for name") && error.contains("first.test"), "{error}");
    // Of two kinds of keys a client that knows only one gets that.
    let mut only_rsa = authority.client_with(|provider| {
        provider
            .cipher_suites
            .retain(|known| known.suite() == CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    });
    only_rsa.alpn_protocols.clear();
    let wrapper = Wrapper::around_clients(lb.addr("web"), only_rsa, "shop.test").await;
    assert_eq!(request(wrapper.addr(), GET).await.status, 200);
    let shake = wrapper.shakes().pop().unwrap().unwrap();
    assert!(rsa.is_of(&shake.peer[0]));
    assert_eq!(shake.version, ProtocolVersion::TLSv1_2);
}

#[tokio::test]
async fn unknown_names_and_old_versions_are_refused_where_the_file_says_so() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)])
        .tls("unknown_names = \"refuse\"\npolicy = \"modern\"")
        .before(&origin)
        .await;
    let at = lb.addr("web");
    let wrapper = Wrapper::around_clients(at, authority.client(), "other.test").await;
    Client::connect(wrapper.addr()).await.expect_closed().await;
    let error = wrapper.shakes().pop().unwrap().unwrap_err();
    assert!(error.contains("AccessDenied"), "{error}");
    let old = authority.client_with(|provider| {
        provider.cipher_suites.retain(|known| known.tls13().is_none());
    });
    let wrapper = Wrapper::around_clients(at, old, "shop.test").await;
    Client::connect(wrapper.addr()).await.expect_closed().await;
    let error = wrapper.shakes().pop().unwrap().unwrap_err();
    assert!(error.contains("ProtocolVersion"), "{error}");
    let failed = "plimsoll_listener_tls_handshakes_total{listener=\"web\",result=\"failed\"}";
    lb.until_metric(failed, 2.0).await;
    let wrapper = Wrapper::around_clients(at, authority.client(), "shop.test").await;
    assert_eq!(request(wrapper.addr(), GET).await.status, 200);
}

#[tokio::test]
async fn a_plain_request_is_told_that_it_came_to_the_wrong_place() {
    let (_, pair) = shop();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)]).before(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    assert_eq!(client.read_response().await.status, 400);
    client.expect_closed().await;
    assert_eq!(origin.requests(), 0);
    let line = lb.until_out("plain_http").await;
    assert!(line.contains("\"status\":400"), "{line}");
}

#[tokio::test]
async fn who_does_not_shake_hands_in_time_is_cut_off() {
    let (_, pair) = shop();
    let origin = Origin::start("a").await;
    let lb =
        Setup::new(&[("shop", &pair)]).tls("handshake_timeout = \"100ms\"").before(&origin).await;
    // Nothing at all, and the beginning of a hello.
    for bytes in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(bytes).await;
        client.expect_closed().await;
    }
    let timed_out = "plimsoll_listener_tls_handshakes_total{listener=\"web\",result=\"timed_out\"}";
    lb.until_metric(timed_out, 2.0).await;
}

#[tokio::test]
async fn behind_a_proxy_that_tells_the_client_a_handshake_follows_its_header() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]);
    let config = setup.config(&origin).replace(
        "[listener.tls]",
        "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]\n[listener.tls]",
    );
    let lb = crate::Lb::start(config).await;
    let header = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n";
    let relay = crate::support::prefixed(lb.addr("web"), header.as_bytes()).await;
    let wrapper = Wrapper::around_clients(relay, authority.client(), "shop.test").await;
    assert_eq!(request(wrapper.addr(), GET).await.status, 200);
    let head = String::from_utf8(origin.seen().pop().unwrap().head).unwrap();
    assert!(head.contains("X-Real-IP: 192.0.2.1\r\n"), "{head}");
}

#[tokio::test]
async fn renewed_certificates_are_taken_up_without_touching_a_connection() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]);
    let lb = setup.before(&origin).await;
    let at = lb.addr("web");
    let wrapper = Wrapper::around_clients(at, authority.client(), "shop.test").await;
    let mut before = Client::connect(wrapper.addr()).await;
    before.send(GET).await;
    assert_eq!(before.read_response().await.status, 200);

    // A bad pair changes nothing, and says so.
    let renewed = authority.issue(&["shop.test"]);
    setup.file("shop.pem", &renewed.chain);
    lb.until_metric("plimsoll_config_last_reload_successful", 0.0).await;
    lb.until_log("holds the private key of another certificate").await;
    assert_eq!(get(wrapper.addr(), "/").await.status, 200);
    assert!(pair.is_of(&wrapper.shakes().pop().unwrap().unwrap().peer[0]));

    setup.file("shop.key", &renewed.key);
    lb.until_metric("plimsoll_config_last_reload_successful", 1.0).await;
    until("the renewed certificate is shown", async || {
        // Without a ticket of before, in which there is the certificate of before.
        let wrapper = Wrapper::around_clients(at, authority.client(), "shop.test").await;
        assert_eq!(get(wrapper.addr(), "/").await.status, 200);
        renewed.is_of(&wrapper.shakes().pop().unwrap().unwrap().peer[0])
    })
    .await;
    before.send(GET).await;
    assert_eq!(before.read_response().await.status, 200);
}

#[tokio::test]
async fn a_request_for_a_name_of_another_certificate_is_misdirected() {
    let authority = Authority::new("tests");
    let (a, b) = (authority.issue(&["a.test", "both.test"]), authority.issue(&["*.b.test"]));
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("a", &a), ("b", &b)]);
    let lb = setup.before(&origin).await;
    let asked = async |lb: &crate::support::Lb, name: &str, hosts: &[&str]| {
        let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), name).await;
        let mut client = Client::connect(wrapper.addr()).await;
        let mut statuses = Vec::new();
        for host in hosts {
            client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            statuses.push(client.read_response().await.status);
        }
        statuses
    };
    // The connection is as good as before; names without a certificate are nobody else's.
    let hosts = ["x.b.test", "A.test:443", "both.test", "elsewhere.test", "y.b.test."];
    assert_eq!(asked(&lb, "a.test", &hosts).await, [421, 200, 200, 200, 421]);
    assert_eq!(asked(&lb, "x.b.test", &["y.b.test", "a.test"]).await, [200, 421]);
    let line = lb.until_out("misdirected").await;
    assert!(line.contains("\"status\":421"), "{line}");
    assert_eq!(origin.requests(), 4);

    let lb = setup.tls("misdirected = \"serve\"").before(&origin).await;
    assert_eq!(asked(&lb, "a.test", &["x.b.test"]).await, [200]);
}

#[tokio::test]
async fn a_request_over_http_2_may_be_misdirected_too() {
    let authority = Authority::new("tests");
    let (a, b) = (authority.issue(&["a.test"]), authority.issue(&["b.test"]));
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("a", &a), ("b", &b)]).before(&origin).await;
    let mut config = authority.client();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let wrapper = Wrapper::around_clients(lb.addr("web"), config, "a.test").await;
    let mut peer = Peer::connect(wrapper.addr()).await;
    let mut statuses = Vec::new();
    for host in ["a.test", "b.test", "elsewhere.test", "a.test"] {
        let request = http::Request::get(format!("https://{host}/")).body(()).unwrap();
        let (response, _) = peer.begin(request, true).await;
        statuses.push(whole(response).await.unwrap().status);
    }
    assert_eq!(statuses, [200, 421, 200, 200]);
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn who_speaks_nothing_that_is_spoken_here_is_told_so_in_the_handshake() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)]).before(&origin).await;
    let offering = async |protocols: &[&str]| {
        let mut config = authority.client();
        config.alpn_protocols = protocols.iter().map(|one| one.as_bytes().to_vec()).collect();
        Wrapper::around_clients(lb.addr("web"), config, "shop.test").await
    };
    let wrapper = offering(&["postgresql"]).await;
    Client::connect(wrapper.addr()).await.expect_closed().await;
    let error = wrapper.shakes().pop().unwrap().unwrap_err();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    // Who offers nothing speaks HTTP/1.1.
    for (offered, agreed) in [(&[][..], None), (&["postgresql", "http/1.1"][..], Some("http/1.1"))]
    {
        let wrapper = offering(offered).await;
        assert_eq!(request(wrapper.addr(), GET).await.status, 200);
        let shake = wrapper.shakes().pop().unwrap().unwrap();
        assert_eq!(shake.protocol.as_deref(), agreed.map(str::as_bytes));
    }
    // Agreed on is agreed on, whatever comes then.
    for (agreed, comes, answer) in
        [("h2", GET.as_bytes(), &b""[..]), ("http/1.1", PREFACE, b"HTTP/1.1 505 ")]
    {
        let mut client = Client::connect(offering(&[agreed]).await.addr()).await;
        client.send(comes).await;
        let said = client.read_to_end().await;
        // Settings may come before what is wrong is seen; they are no answer.
        let said = said.strip_prefix(b"\0\0").map_or(&said[..], |_| b"");
        assert!(said.starts_with(answer) && said.is_empty() == answer.is_empty(), "{agreed}");
    }
    assert_eq!(origin.requests(), 2);
}

#[tokio::test]
async fn a_list_of_revoked_certificates_that_has_run_out_lets_nobody_in() {
    let (authority, pair) = shop();
    let clients = Authority::new("clients");
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)])
        .tls("clients = { ca = \"DIR/clients.pem\", crl = [\"DIR/revoked.pem\"] }");
    setup.file("clients.pem", &clients.pem());
    setup.file("revoked.pem", &clients.revoke_until(&[0x99], 2021));
    let lb = setup.before(&origin).await;
    lb.until_log("the list of revoked certificates").await;
    let config = authority.client_as(&clients.issue_to("me", 1));
    let wrapper = Wrapper::around_clients(lb.addr("web"), config, "shop.test").await;
    let asks = async || {
        let mut client = Client::connect(wrapper.addr()).await;
        client.send_what_is_taken(GET).await;
        client.try_read_response().await.is_ok()
    };
    assert!(!asks().await);
    assert_eq!(origin.requests(), 0);
    // A new one is taken up.
    setup.file("revoked.pem", &clients.revoke(&[0x99]));
    until("it is taken up", async || asks().await).await;
}

/// What OpenSSL 3.0 begins with.
const HELLO: &[u8] = include_bytes!("../../src/net/client_hello.openssl");

#[tokio::test]
async fn handshakes_that_break_off_at_any_byte_leave_nothing_behind() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)]).before(&origin).await;
    for len in 1..HELLO.len() {
        Client::connect(lb.addr("web")).await.send(&HELLO[..len]).await;
    }
    let failed = "plimsoll_listener_tls_handshakes_total{listener=\"web\",result=\"failed\"}";
    lb.until_metric(failed, (HELLO.len() - 1) as f64).await;
    lb.until_metric("plimsoll_listener_connections_active", 0.0).await;
    let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), "shop.test").await;
    assert_eq!(request(wrapper.addr(), GET).await.status, 200);
}

#[tokio::test]
async fn a_handshake_may_come_in_records_of_one_byte() {
    let (_, pair) = shop();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)]).before(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for byte in &HELLO[5..] {
        client.send([22, 3, 1, 0, 1, *byte]).await;
    }
    let answer = client.read_exact(6).await;
    assert_eq!((answer[0], answer[5]), (22, 2), "a ServerHello");
}

#[tokio::test]
async fn a_secured_connection_has_no_more_memory_than_the_manual_says() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let lb = Setup::new(&[("shop", &pair)]).before(&origin).await;
    let memory = async || lb.metric("process_resident_memory_bytes").await.unwrap() as u64;
    let wrapper = Wrapper::around_clients(lb.addr("web"), authority.client(), "shop.test").await;
    let before = memory().await;
    let mut clients = Vec::new();
    for _ in 0..300 {
        let mut client = Client::connect(wrapper.addr()).await;
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
        clients.push(client);
    }
    let idle = memory().await.saturating_sub(before);
    assert!(idle < 300 * (24 << 10) + (8 << 20), "{idle} bytes for 300 idle connections");
    drop(clients);
    origin.answer(Answer::Stream(64 << 20));
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = Client::connect(wrapper.addr()).await;
        client.send(GET).await;
        clients.push(client);
    }
    origin.until_requests(340).await;
    at_rest(|| origin.written()).await;
    let held = memory().await.saturating_sub(before);
    assert!(held < 40 * (1 << 20) + (16 << 20), "{held} bytes for 40 that are held up");
}
