//! Which route a request takes: hosts, prefixes, conditions, access.

use std::net::SocketAddr;

use crate::support::{Answer, Client, Lb, Origin, request};
use crate::{Setup, ask, logged};

/// Answers with the name of the route that was taken.
fn answering(sections: &[(&str, &str)]) -> String {
    let section = |(name, lines): &(&str, &str)| {
        format!("[[route]]\nname = \"{name}\"\nrespond = {{ body = \"{name}\" }}\n{lines}\n")
    };
    sections.iter().map(section).collect()
}

async fn taken(client: &mut Client, host: &str, target: &str, fields: &str) -> String {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await;
    client.read_response().await.text()
}

#[tokio::test]
async fn prefixes_go_by_bytes_or_by_segments_and_before_expressions_if_told() {
    let origin = Origin::start("a").await;
    let more = answering(&[
        ("bytes", "path_prefix = \"/foo\""),
        ("slash", "path_prefix = \"/bar/\""),
        ("early", "path_prefix = \"/img/\"\nbefore_regex = true"),
        ("png", "path_regex = '\\.png$'"),
        ("gif", "path_prefix = \"/img/\"\npath_regex = '\\.gif$'"),
    ]);
    let lb = Setup { more: &more, ..Setup::default() }.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for (target, route) in [
        ("/foobar", "bytes"),
        ("/%66oo", "bytes"),
        ("/bar/x", "slash"),
        ("/bar", "a"),
        ("/x.png", "png"),
        ("/img/x.png", "early"),
        ("/img/x.gif", "gif"),
        ("/x.gif", "a"),
    ] {
        assert_eq!(taken(&mut client, "test", target, "").await, route, "{target}");
    }
}

#[tokio::test]
async fn conditions_look_at_any_text_and_first_goes_before_all() {
    let origin = Origin::start("a").await;
    let more = answering(&[
        ("exact", "path_exact = \"/x\""),
        ("v2", "first = true\nwhen = [{ value = \"${arg.v}\", is = \"2\" }]"),
        (
            "beta",
            "when = [{ value = \"${cookie.beta}\", not = \"\" },\
             { value = \"${header.user-agent}\", not_regex = \"(?i)bot\" }]",
        ),
        ("www", "hosts = ['~^www\\d+\\.', \"static.*\"]"),
    ]);
    let lb = Setup { more: &more, ..Setup::default() }.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for (host, target, fields, route) in [
        ("test", "/x", "", "exact"),
        ("test", "/x?v=2", "", "v2"),
        ("test", "/x?v=22", "", "exact"),
        ("test", "/y", "Cookie: beta=1\r\n", "beta"),
        ("test", "/y", "Cookie: beta=1\r\nUser-Agent: GoodBot\r\n", "a"),
        ("WWW7.test:80", "/y", "", "www"),
        ("static.example", "/x", "", "www"),
        ("www.test", "/y", "", "a"),
    ] {
        assert_eq!(taken(&mut client, host, target, fields).await, route, "{host}{target}");
    }
}

#[tokio::test]
async fn who_is_kept_out_gets_403_and_the_connection_lives_on() {
    let origin = Origin::start("a").await;
    let setup = Setup {
        listener: "trusted_proxies = [\"127.0.0.1\"]",
        route: "access = [{ deny = [\"192.0.2.7\"] }, { allow = [\"192.0.2.0/24\"] }, \
                { deny = [\"all\"] }]",
        more: "",
        ..Setup::default()
    };
    let lb = setup.before(&[&origin]).await;
    let mut client = Client::connect(lb.addr("web")).await;
    for (address, status) in [("192.0.2.7", 403), ("192.0.2.8", 200), ("198.51.100.1", 403)] {
        let fields = format!("X-Forwarded-For: {address}\r\n");
        client.send(format!("GET / HTTP/1.1\r\nHost: test\r\n{fields}\r\n")).await;
        assert_eq!(client.read_response().await.status, status, "{address}");
    }
    assert_eq!(origin.requests(), 1);
    let line = logged(&lb, "192.0.2.7").await;
    assert_eq!((&line["status"], &line["failure"]), (&403.into(), &"forbidden".into()));
    let direct = request(lb.addr("web"), "GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(direct.status, 403);
}

#[tokio::test]
async fn where_the_last_byte_counts_who_takes_long_over_its_body_is_slow() {
    let (slow, quick) = (Origin::start("slow").await, Origin::start("quick").await);
    slow.answer(Answer::Ok(vec![b'x'; 150_000]));
    let lb = Lb::start(format!(
        "workers = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nupstream = \"app\"\nrate = {{ backend = 100000 }}\n\
         [upstream.app]\nstrategy = \"least_response_time\"\nmeasure = \"last_byte\"\n\
         backend = [{{ address = \"{}\" }}, {{ address = \"{}\" }}]",
        slow.address(),
        quick.address()
    ))
    .await;
    the_quick_one_is_picked(lb.addr("web"), &slow, &quick).await;
}

/// Both are asked once; those after them go to the quick one.
pub(crate) async fn the_quick_one_is_picked(web: SocketAddr, slow: &Origin, quick: &Origin) {
    slow.hold();
    quick.hold();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(web).await;
        client.send(ask("/")).await;
        clients.push(client);
    }
    slow.until_requests(1).await;
    quick.until_requests(1).await;
    slow.release();
    quick.release();
    for mut client in clients {
        assert_eq!(client.read_response().await.status, 200);
    }
    for _ in 0..6 {
        assert_eq!(request(web, ask("/")).await.status, 200);
    }
    // One pick in 64 is by chance.
    assert!(quick.requests() >= 5, "{} and {}", slow.requests(), quick.requests());
}
