//! TLS to backends: who is believed, what is agreed on, what failures become.

use crate::GET;
use crate::support::{
    Answer, Authority, Client, Lb, Origin, Pair, Wrapper, get, request, tls_server, until,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;
use tempfile::TempDir;

/// The program before origins that speak TLS, with these lines in the upstream's TLS section.
async fn before(
    authority: &Authority,
    tls: &str,
    more: &str,
    backends: &[&Wrapper],
) -> (Lb, TempDir) {
    let files = TempDir::new().unwrap();
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    let lb = Lb::start(config(&files, tls, more, backends)).await;
    (lb, files)
}

fn config(files: &TempDir, tls: &str, more: &str, backends: &[&Wrapper]) -> String {
    let backends: Vec<_> =
        backends.iter().map(|one| format!("{{ address = \"{}\" }}", one.addr())).collect();
    let backends = backends.join(", ");
    let tls = tls.replace("DIR", &files.path().display().to_string());
    format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"json\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\nstrategy = \"round_robin\"\n{more}\nbackend = [{backends}]\n\
         [upstream.app.tls]\n{tls}\n"
    )
}

/// An origin behind TLS with this certificate.
async fn secured(origin: &Origin, pair: &Pair) -> Wrapper {
    Wrapper::around_server(origin.address().parse().unwrap(), tls_server(pair)).await
}

#[tokio::test]
async fn backends_are_asked_for_their_name_and_connections_are_kept() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let backend = secured(&origin, &authority.issue(&["api.test"])).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"";
    let (lb, _files) = before(&authority, tls, "", &[&backend]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for _ in 0..3 {
        client.send(GET).await;
        assert_eq!(client.read_response().await.status, 200);
    }
    let shakes = backend.shakes();
    assert_eq!(shakes.len(), 1, "one connection served them all");
    assert_eq!(shakes[0].as_ref().unwrap().server_name.as_deref(), Some("api.test"));
}

#[tokio::test]
async fn sessions_go_on_and_large_bodies_pass_both_ways() {
    let authority = Authority::new("internal");
    let body: String = (0..300_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let origin = Origin::start("a").await;
    origin.answer(Answer::Ok(body.clone().into_bytes()));
    let backend = secured(&origin, &authority.issue(&["127.0.0.1"])).await;
    let more = "pool = { max_idle = 0 }";
    let (lb, _files) = before(&authority, "ca = \"DIR/ca.pem\"", more, &[&backend]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for _ in 0..3 {
        let length = body.len();
        let head = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
        client.send([&head, &*body].concat()).await;
        assert!(client.read_response().await.text() == body, "the body came whole");
        assert!(origin.seen().pop().unwrap().body == body.as_bytes(), "the body came whole");
    }
    let resumed =
        |shake: &Result<_, _>| matches!(shake, Ok(crate::support::Shake { resumed: true, .. }));
    assert_eq!(backend.shakes().iter().filter(|shake| resumed(shake)).count(), 2);
}

#[tokio::test]
async fn who_cannot_prove_its_name_gets_no_request() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let stranger = Authority::new("strangers").issue(&["api.test"]);
    let other = authority.issue(&["other.test"]);
    for pair in [&stranger, &other] {
        let backend = secured(&origin, pair).await;
        let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"";
        let (lb, _files) = before(&authority, tls, "", &[&backend]).await;
        assert_eq!(get(lb.addr("web"), "/").await.status, 502);
        let line = lb.until_out("\"status\":502").await;
        assert!(line.contains("connect_failed"), "{line}");
        lb.until_log("TLS handshake with a backend failed").await;
        lb.until_log("invalid peer certificate").await;
    }
    assert_eq!(origin.requests(), 0);
    // Unless nobody has to prove anything.
    let backend = secured(&origin, &stranger).await;
    let (lb, _files) = before(&authority, "insecure = true", "", &[&backend]).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 200);
}

#[tokio::test]
async fn a_failed_handshake_sends_the_request_elsewhere() {
    let authority = Authority::new("internal");
    let good = Origin::start("good").await;
    let trusted = secured(&good, &authority.issue(&["api.test"])).await;
    let bad = secured(&Origin::start("bad").await, &authority.issue(&["other.test"])).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"";
    let (lb, _files) = before(&authority, tls, "", &[&bad, &trusted]).await;
    for _ in 0..4 {
        // Also one that may not be sent twice: it was not sent at all.
        let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(request(lb.addr("web"), post).await.status, 200);
    }
    assert_eq!(good.requests(), 4);
}

#[tokio::test]
async fn a_backend_that_does_not_shake_hands_is_given_up_in_the_time_to_connect() {
    let authority = Authority::new("internal");
    // It listens, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let files = TempDir::new().unwrap();
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    let more = "timeouts = { connect = \"100ms\" }\nretry = { tries = 1 }";
    let silent = format!("backend = [{{ address = \"{}\" }}]", silent.local_addr().unwrap());
    let config = config(&files, "ca = \"DIR/ca.pem\"", more, &[]).replace("backend = []", &silent);
    let lb = Lb::start(config).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 504);
}

#[tokio::test]
async fn what_a_backend_says_before_the_handshake_is_no_answer() {
    let authority = Authority::new("internal");
    let eager = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = format!("backend = [{{ address = \"{}\" }}]", eager.local_addr().unwrap());
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut socket, _)) = eager.accept().await {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await.unwrap();
            open.push(socket);
        }
    });
    let files = TempDir::new().unwrap();
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    let config = config(&files, "ca = \"DIR/ca.pem\"", "", &[]);
    let lb = Lb::start(config.replace("backend = []", &backend)).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 502);
}

/// An origin behind TLS that lets in only whom this authority vouches for.
async fn asking(authority: &Authority, origin: &Origin) -> Wrapper {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der()).unwrap();
    let provider = crate::support::provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let (chain, key) = authority.issue(&["api.test"]).der();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    Wrapper::around_server(origin.address().parse().unwrap(), server).await
}

#[tokio::test]
async fn backends_may_ask_who_we_are() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let backend = asking(&authority, &origin).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"";
    let (lb, files) = before(&authority, tls, "", &[&backend]).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 502);
    authority.issue_to("plimsoll", 7).write(files.path(), "own");
    let own = format!("{tls}\ncertificate = \"DIR/own.pem\"\nkey = \"DIR/own.key\"");
    let generation = lb.generation().await;
    lb.reload(config(&files, &own, "", &[&backend]));
    lb.until_generation(generation + 1).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 200);
}

#[tokio::test]
async fn stricter_terms_hold_for_connections_that_were_kept() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let backend = secured(&origin, &Authority::new("strangers").issue(&["api.test"])).await;
    let (lb, files) = before(&authority, "insecure = true", "", &[&backend]).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 200);
    let generation = lb.generation().await;
    lb.reload(config(&files, "ca = \"DIR/ca.pem\"", "", &[&backend]));
    lb.until_generation(generation + 1).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 502);
    assert_eq!(origin.requests(), 1);
}

#[tokio::test]
async fn probes_ask_over_tls_and_tell_what_is_wrong_with_a_certificate() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let good = secured(&origin, &authority.issue(&["api.test"])).await;
    let bad = secured(&origin, &authority.issue(&["other.test"])).await;
    let more = "health = { interval = \"100ms\", timeout = \"5s\", fall = 1, rise = 1 }";
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"";
    let (lb, _files) = before(&authority, tls, more, &[&good, &bad]).await;
    let up =
        |at: &Wrapper| format!("plimsoll_backend_up{{upstream=\"app\",backend=\"{}\"}}", at.addr());
    lb.until_metric(&up(&good), 1.0).await;
    lb.until_metric(&up(&bad), 0.0).await;
    until("the log says why", async || {
        lb.log_text().contains("probe: TLS: invalid peer certificate")
    })
    .await;
}

#[tokio::test]
async fn http_2_is_agreed_on_within_tls() {
    let authority = Authority::new("internal");
    let plain = h2_origin().await;
    let mut server = tls_server(&authority.issue(&["api.test"]));
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let backend = Wrapper::around_server(plain, server).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"";
    let (lb, _files) = before(&authority, tls, "protocol = \"h2\"", &[&backend]).await;
    for _ in 0..3 {
        let response = get(lb.addr("web"), "/").await;
        assert_eq!((response.status, &*response.text()), (200, "https"));
    }
    let shakes = backend.shakes();
    assert_eq!(shakes.len(), 1, "one connection served them all");
    assert_eq!(shakes[0].as_ref().unwrap().protocol.as_deref(), Some(&b"h2"[..]));
    // Who speaks HTTP/1.1 only is none for it.
    let backend = secured(&Origin::start("a").await, &authority.issue(&["api.test"])).await;
    let (lb, _files) = before(&authority, tls, "protocol = \"h2\"", &[&backend]).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 502);
    lb.until_log("the backend does not speak h2").await;
}

#[tokio::test]
async fn who_agrees_on_nothing_is_not_spoken_to_in_http_2() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let mut server = tls_server(&authority.issue(&["api.test"]));
    server.alpn_protocols = Vec::new();
    let backend = Wrapper::around_server(origin.address().parse().unwrap(), server).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"";
    let (lb, _files) = before(&authority, tls, "protocol = \"h2\"", &[&backend]).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 502);
    lb.until_log("the backend does not speak h2").await;
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn a_list_of_revoked_certificates_that_has_run_out_speaks_for_no_backend() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let backend = secured(&origin, &authority.issue(&["api.test"])).await;
    for (year, status) in [(2021, 502), (4000, 200)] {
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
        std::fs::write(files.path().join("crl.pem"), authority.revoke_until(&[9], year)).unwrap();
        let tls = "ca = \"DIR/ca.pem\"\ncrl = [\"DIR/crl.pem\"]\nserver_name = \"api.test\"";
        let lb = Lb::start(config(&files, tls, "", &[&backend])).await;
        assert_eq!(get(lb.addr("web"), "/").await.status, status, "{year}");
    }
}

#[tokio::test]
async fn where_bytes_are_passed_through_or_probed_no_protocol_is_offered() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    // It would agree on this one, if it were asked for any, and else on none.
    let mut server = tls_server(&authority.issue(&["db.test"]));
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let backend = Wrapper::around_server(origin.address().parse().unwrap(), server).await;
    let files = TempDir::new().unwrap();
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"db.test\"";
    let passing = "[[listener]]\nname = \"db\"\naddress = \"127.0.0.1:0\"\nmode = \"tcp\"\n\
                   upstream = \"app\"\n[[route]]";
    let config = config(&files, tls, "", &[&backend]).replace("[[route]]", passing);
    let lb = Lb::start(config.clone()).await;
    // The protocols are those of each connection, whatever sessions went before.
    for (listener, protocol) in [("db", None), ("web", Some(&b"http/1.1"[..])), ("db", None)] {
        assert_eq!(get(lb.addr(listener), "/").await.status, 200);
        let shakes = backend.shakes();
        let last = shakes.last().unwrap().as_ref().unwrap();
        assert_eq!(last.protocol.as_deref(), protocol, "{listener}");
    }
    drop(lb);
    let seen = backend.shakes().len();
    let probe = "[upstream.app.health]\ntype = \"tcp\"\nsend = \"GET / HTTP/1.0\\r\\n\\r\\n\"\n\
                 receive = \"200\"\n[upstream.app]";
    let probed = config.replace("[upstream.app]", probe);
    let _lb = Lb::start(probed).await;
    until("it is probed", async || backend.shakes().len() > seen).await;
    assert_eq!(backend.shakes()[seen].as_ref().unwrap().protocol, None);
}

/// An origin that speaks HTTP/2 without TLS and answers with the scheme that it is asked by.
async fn h2_origin() -> std::net::SocketAddr {
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = service_fn(async |request: hyper::Request<hyper::body::Incoming>| {
                let scheme = request.uri().scheme_str().unwrap_or_default().to_owned();
                Ok::<_, std::convert::Infallible>(hyper::Response::new(scheme))
            });
            let serve = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(serve);
        }
    });
    address
}

#[tokio::test]
async fn a_certificate_too_far_from_the_authority_is_not_believed() {
    let authority = Authority::new("internal");
    let near = authority.below("near");
    let far = near.below("far");
    let pair = far.issue(&["api.test"]).behind(&[&far, &near]);
    let origin = Origin::start("a").await;
    let backend = secured(&origin, &pair).await;
    for (depth, status) in [("depth = 1", 502), ("depth = 2", 200), ("", 200)] {
        let tls = format!("ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"\n{depth}");
        let (lb, _files) = before(&authority, &tls, "", &[&backend]).await;
        assert_eq!(get(lb.addr("web"), "/").await.status, status, "{depth}");
    }
}

#[tokio::test]
async fn each_request_may_have_a_name_of_its_own_for_the_backend() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let backend = secured(&origin, &authority.issue(&["one.test", "two.test"])).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"${arg.name}\"";
    let (lb, _files) = before(&authority, tls, "", &[&backend]).await;
    for (name, status) in
        [("one.test", 200), ("two.test", 200), ("three.test", 502), ("", 502), ("one.test", 200)]
    {
        assert_eq!(get(lb.addr("web"), &format!("/?name={name}")).await.status, status, "{name}");
    }
    let shakes = backend.shakes();
    let told = shakes.iter().flatten().filter_map(|shake| shake.server_name.as_deref());
    let told: Vec<&str> = told.collect();
    assert_eq!(told, ["one.test", "two.test", "one.test"], "no connection was kept");
}

#[tokio::test]
async fn the_key_of_our_own_certificate_may_be_encrypted() {
    let authority = Authority::new("internal");
    let own = authority.issue(&["proxy.test"]);
    let origin = Origin::start("a").await;
    let backend = secured(&origin, &authority.issue(&["127.0.0.1"])).await;
    let files = TempDir::new().unwrap();
    own.write(files.path(), "own");
    std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
    std::fs::write(files.path().join("own.key"), own.locked("right")).unwrap();
    std::fs::write(files.path().join("passwords"), "wrong\nright\n").unwrap();
    let with = |password: &str| {
        let tls = format!(
            "ca = \"DIR/ca.pem\"\ncertificate = \"DIR/own.pem\"\nkey = \"DIR/own.key\"\n{password}"
        );
        config(&files, &tls, "", &[&backend])
    };
    let lb = Lb::start(
        with("password = { file = \"DIR/passwords\" }")
            .replace("DIR", &files.path().display().to_string()),
    )
    .await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 200);
    for (password, told) in [
        ("", "holds an encrypted private key"),
        ("password = \"wrong\"", "that none of the passwords decrypts"),
    ] {
        let output = Lb::refuse(with(password)).await;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(told), "{password}: {text}");
        assert!(!text.contains("wrong"), "the password is told: {text}");
    }
}

#[tokio::test]
async fn each_request_may_show_a_certificate_of_its_own_and_never_anothers() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let backend = asking(&authority, &origin).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"\n\
               certificate = \"DIR/${arg.who}.pem\"\nkey = \"DIR/${arg.who}.key\"";
    let (lb, files) = before(&authority, tls, "", &[&backend]).await;
    let (one, two) = (authority.issue_to("one", 1), authority.issue_to("two", 2));
    one.write(files.path(), "one");
    two.write(files.path(), "two");
    std::fs::create_dir(files.path().join("below")).unwrap();
    let mut client = Client::connect(lb.addr("web")).await;
    for (who, status) in [
        ("one", 200),
        ("two", 200),
        ("one", 200),
        ("two", 200),
        ("three", 502),
        ("below/../one", 502),
        ("one", 200),
    ] {
        client.send(format!("GET /?who={who} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
        assert_eq!(client.read_response().await.status, status, "{who}");
    }
    let met = |pair: &Pair| {
        let shakes = backend.shakes();
        let shown = shakes.iter().flatten().filter(|shake| pair.is_of(&shake.peer[0]));
        shown.map(|shake| shake.resumed).collect::<Vec<_>>()
    };
    assert_eq!((met(&one), met(&two)), (vec![false], vec![false]), "each has a connection");
    lb.until_log("three.pem` cannot be read").await;
    // A certificate that is renewed counts with the next fresh connection.
    origin.answer(Answer::UntilClose(b"bye".to_vec()));
    assert_eq!(get(lb.addr("web"), "/?who=one").await.status, 200);
    let renewed = authority.issue_to("one", 3);
    renewed.write(files.path(), "one");
    for _ in 0..2 {
        assert_eq!(get(lb.addr("web"), "/?who=one").await.status, 200);
    }
    assert_eq!((met(&one), met(&renewed)), (vec![false], vec![false, false]));
}

#[tokio::test]
async fn where_no_path_comes_of_the_text_no_certificate_is_shown() {
    let authority = Authority::new("internal");
    let origin = Origin::start("a").await;
    let open = secured(&origin, &authority.issue(&["api.test"])).await;
    let tls = "ca = \"DIR/ca.pem\"\nserver_name = \"api.test\"\n\
               certificate = \"${arg.who}\"\nkey = \"${arg.who}\"";
    let (lb, files) = before(&authority, tls, "", &[&open]).await;
    assert_eq!(get(lb.addr("web"), "/").await.status, 200);
    // What is no regular file is not waited for.
    for path in ["/dev/zero", "/dev/null"] {
        assert_eq!(get(lb.addr("web"), &format!("/?who={path}")).await.status, 502, "{path}");
    }
    lb.until_log("not a regular file").await;
    // No connection of HTTP/2 is one request's.
    let output = Lb::refuse(config(&files, tls, "protocol = \"h2\"", &[&open])).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("shows one certificate"), "{told}");
}
