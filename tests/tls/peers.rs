//! Others' programs at the other end: curl and OpenSSL.

use std::process::Output;

use crate::support::{Answer, Authority, Lb, Origin, in_time};
use crate::{Setup, shop};

/// Runs a program with nothing to read.
async fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true);
    in_time(program, command.output()).await.unwrap()
}

/// What curl gets, and whether it is content with it.
async fn curl(lb: &Lb, setup: &Setup, arguments: &[&str]) -> (bool, String) {
    let port = lb.addr("web").port();
    let url = format!("https://shop.test:{port}/");
    let resolve = format!("shop.test:{port}:127.0.0.1");
    let ca = setup.files.path().join("authority.pem").display().to_string();
    let all = [&["-sS", "--cacert", &ca, "--resolve", &resolve, &url], arguments].concat();
    let output = run("curl", &all).await;
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(told).unwrap())
}

/// What `openssl s_client` tells.
async fn s_client(lb: &Lb, arguments: &[&str]) -> String {
    let at = lb.addr("web").to_string();
    let all = [&["s_client", "-connect", &at, "-servername", "shop.test"], arguments].concat();
    let output = run("openssl", &all).await;
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test]
async fn curl_and_openssl_are_content_with_both_versions() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]);
    setup.file("authority.pem", &authority.pem());
    let lb = setup.before(&origin).await;
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"], &["--http1.0"]] {
        let (good, told) = curl(&lb, &setup, version).await;
        assert!(good, "{version:?}: {told}");
    }
    let told = s_client(&lb, &["-tls1_2"]).await;
    assert!(told.contains("Cipher is ECDHE-ECDSA-"), "{told}");
    assert!(told.contains("Secure Renegotiation IS supported"), "{told}");
    let told = s_client(&lb, &["-tls1_1"]).await;
    assert!(told.contains("Cipher is (NONE)"), "{told}");
    let told = s_client(&lb, &["-alpn", "http/1.1"]).await;
    assert!(told.contains("ALPN protocol: http/1.1"), "{told}");
    assert_eq!(origin.requests(), 3);
}

#[tokio::test]
async fn a_name_is_the_same_in_upper_case_and_with_a_dot_behind_it() {
    let (_, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]).tls("unknown_names = \"refuse\"");
    let lb = setup.before(&origin).await;
    for (name, expected) in [
        ("shop.test", true),
        ("SHOP.test", true),
        ("shop.test.", true),
        ("Shop.Test.", true),
        ("shop.test..", false),
        ("other.shop.test", false),
        ("127.0.0.1", false),
    ] {
        let told = s_client(&lb, &["-servername", name]).await;
        assert_eq!(told.contains("BEGIN CERTIFICATE"), expected, "{name}: {told}");
    }
}

#[tokio::test]
async fn what_an_authority_says_of_the_certificate_is_stapled() {
    let (_, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]);
    let response = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/tls/example.ocsp");
    let config = setup.config(&origin).replace(
        "[[listener.tls.certificate]]",
        &format!("[[listener.tls.certificate]]\nocsp = \"{response}\""),
    );
    let lb = Lb::start(config).await;
    let told = s_client(&lb, &["-status"]).await;
    assert!(told.contains("OCSP Response Status: successful"), "{told}");
}

#[tokio::test]
async fn clients_show_certificates_of_an_authority_that_have_not_been_revoked() {
    let (authority, pair) = shop();
    let clients = Authority::new("clients");
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)])
        .tls("clients = { ca = \"DIR/clients.pem\", crl = [\"DIR/revoked.pem\"] }")
        .route(
            "request_headers = { set = { X-Me = \"${tls.client.verified} ${tls.client.subject} \
             ${tls.client.issuer} ${tls.client.serial}\", X-Pem = \"${tls.client.certificate}\", \
             X-Sha1 = \"${tls.client.fingerprint}\" } }",
        );
    setup.file("authority.pem", &authority.pem());
    setup.file("clients.pem", &clients.pem());
    setup.file("revoked.pem", &clients.revoke(&[0x99]));
    for (name, serial, by) in
        [("me", 0x1a2b, &clients), ("lost", 0x99, &clients), ("stranger", 1, &authority)]
    {
        by.issue_to(name, serial).write(setup.files.path(), name);
    }
    let lb = setup.before(&origin).await;
    let file = |name: &str| setup.files.path().join(name).display().to_string();
    let shown = |name: &str| {
        vec![
            "--cert".to_owned(),
            file(&format!("{name}.pem")),
            "--key".to_owned(),
            file(&format!("{name}.key")),
        ]
    };
    for (name, expected) in [("me", true), ("lost", false), ("stranger", false)] {
        let arguments = shown(name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (good, told) = curl(&lb, &setup, &arguments).await;
        assert_eq!(good, expected, "{name}: {told}");
    }
    let (good, told) = curl(&lb, &setup, &[]).await;
    assert!(!good, "{told}");
    assert_eq!(origin.requests(), 1);
    let head = String::from_utf8(origin.seen().pop().unwrap().head).unwrap();
    assert!(head.contains("X-Me: SUCCESS O=Test,CN=me CN=clients 1A2B\r\n"), "{head}");
    assert!(head.contains("X-Pem: -----BEGIN%20CERTIFICATE-----%0A"), "{head}");
    // OpenSSL says the same.
    let told = run(
        "openssl",
        &[
            "x509",
            "-in",
            &file("me.pem"),
            "-noout",
            "-subject",
            "-fingerprint",
            "-nameopt",
            "RFC2253",
        ],
    )
    .await;
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("subject=O=Test,CN=me"), "{told}");
    let sha1 = told.rsplit('=').next().unwrap().trim().replace(':', "").to_lowercase();
    assert!(head.contains(&format!("X-Sha1: {sha1}\r\n")), "{head} {told}");
}

#[tokio::test]
async fn where_they_are_optional_clients_without_certificates_come_in_and_bad_ones_do_not() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)])
        .tls("clients = { ca = \"DIR/clients.pem\", verify = \"optional\" }")
        .route("request_headers = { set = { X-Me = \"${tls.client.verified}\" } }");
    setup.file("authority.pem", &authority.pem());
    setup.file("clients.pem", &Authority::new("clients").pem());
    authority.issue_to("stranger", 1).write(setup.files.path(), "stranger");
    let lb = setup.before(&origin).await;
    let (good, told) = curl(&lb, &setup, &[]).await;
    assert!(good, "{told}");
    let head = String::from_utf8(origin.seen().pop().unwrap().head).unwrap();
    assert!(head.contains("X-Me: NONE\r\n"), "{head}");
    let file = |name: &str| setup.files.path().join(name).display().to_string();
    let (chain, key) = (file("stranger.pem"), file("stranger.key"));
    let (good, told) = curl(&lb, &setup, &["--cert", &chain, "--key", &key]).await;
    assert!(!good, "{told}");
}

#[tokio::test]
async fn http_2_is_offered_unless_it_is_not_wanted() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    origin.answer(Answer::Ok(b"0123456789".repeat(100_000)));
    let setup = Setup::new(&[("shop", &pair)]);
    setup.file("authority.pem", &authority.pem());
    let lb = setup.before(&origin).await;
    let told = ["-o", "/dev/null", "-w", "%{http_version} %{size_download}"];
    for (more, expected) in [("--http2", "2 1000000"), ("--http1.1", "1.1 1000000")] {
        let (good, got) = curl(&lb, &setup, &[&told[..], &[more]].concat()).await;
        assert!(good && got == expected, "{more}: {got}");
    }
    assert_eq!(origin.last().header("x-forwarded-proto").unwrap(), "https");
    let without = setup.config(&origin).replace("[listener.tls]", "http2 = false\n[listener.tls]");
    let lb = Lb::start(without).await;
    let (good, got) = curl(&lb, &setup, &[&told[..], &["--http2"]].concat()).await;
    assert!(good && got == "1.1 1000000", "{got}");
}

#[tokio::test]
async fn certificates_of_clients_may_be_so_far_from_the_authority_and_no_further() {
    let (authority, pair) = shop();
    let clients = Authority::new("clients");
    let near = clients.below("near");
    let far = near.below("far");
    let origin = Origin::start("a").await;
    for (depth, expected) in [("depth = 1", false), ("depth = 2", true)] {
        let tls = format!("clients = {{ ca = \"DIR/clients.pem\", {depth} }}");
        let setup = Setup::new(&[("shop", &pair)]).tls(&tls);
        setup.file("authority.pem", &authority.pem());
        setup.file("clients.pem", &clients.pem());
        far.issue_to("me", 1).behind(&[&far, &near]).write(setup.files.path(), "me");
        let lb = setup.before(&origin).await;
        let file = |name: &str| setup.files.path().join(name).display().to_string();
        let shown = ["--cert", &file("me.pem"), "--key", &file("me.key")];
        let (good, told) = curl(&lb, &setup, &shown).await;
        assert_eq!(good, expected, "{depth}: {told}");
    }
}

#[tokio::test]
async fn the_key_of_a_certificate_may_be_encrypted() {
    let (authority, pair) = shop();
    let origin = Origin::start("a").await;
    let setup = Setup::new(&[("shop", &pair)]);
    setup.file("authority.pem", &authority.pem());
    setup.file("shop.key", &pair.locked("right"));
    let password = "[[listener.tls.certificate]]\npassword = \"right\"";
    let config = setup.config(&origin).replace("[[listener.tls.certificate]]", password);
    let lb = Lb::start(config).await;
    let (good, told) = curl(&lb, &setup, &[]).await;
    assert!(good, "{told}");
}
