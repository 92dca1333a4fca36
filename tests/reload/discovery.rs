//! Backends that come and go: names that nobody knows yet, and a file that another program writes.

use std::net::SocketAddr;
use std::path::Path;

use tokio::net::UdpSocket;

use super::ask;
use crate::support::{Lb, Origin, get, until};

const HEAD: &str = "workers = 1\nwatch_interval = \"100ms\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
    [[listener]]\nname = \"main\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"api\"\n";

/// An address where nobody answers questions yet.
async fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Answers each question for A with 127.0.0.1, and all others with nothing (RFC 1035 §4.1).
async fn answer(socket: UdpSocket) {
    let mut question = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut question).await.unwrap();
        let question = &question[..length];
        let name_ends = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let asks_a = question[name_ends..name_ends + 2] == [0, 1];
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(asks_a), 0, 0, 0, 0]);
        answer.extend(&question[12..name_ends + 4]);
        if asks_a {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_delays_no_start_and_serves_once_it_is_known() {
    let origin = Origin::start("a").await;
    let names = nobody().await;
    let lb = Lb::start(format!(
        "{HEAD}[upstream.api.dns]\nservers = [\"{names}\"]\ntimeout = \"1s\"\n\
         [[upstream.api.backend]]\naddress = \"api.test:{}\"\n",
        origin.port()
    ))
    .await;
    assert_eq!(ask(&lb, "/").await.0, 503);
    lb.until_log("backend name not resolved").await;
    let server = tokio::spawn(answer(UdpSocket::bind(names).await.unwrap()));
    until("the name is known", async || ask(&lb, "/").await == (200, "a".to_owned())).await;
    server.abort();
}

fn write(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).unwrap();
    std::fs::rename(&draft, path).unwrap();
}

#[tokio::test]
async fn a_file_of_backends_is_taken_up_when_it_changes_and_a_bad_one_changes_nothing() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("api.json");
    write(&list, &format!("[\"{}\"]", a.address()));
    let lb = Lb::start(format!(
        "{HEAD}[upstream.api]\nstrategy = \"round_robin\"\nbackends_file = \"{}\"\n",
        list.display()
    ))
    .await;
    assert_eq!(ask(&lb, "/").await, (200, "a".to_owned()));

    write(&list, &format!("[\"{}\", {{ \"address\": \"{}\" }}]", a.address(), b.address()));
    until("the second serves", async || get(lb.addr("main"), "/").await.text() == "b").await;
    let generation = lb.generation().await;
    write(&list, "[\"10.0.0.1:80\", 7]");
    lb.until_metric("plimsoll_config_reloads_total{result=\"refused\"}", 1.0).await;
    lb.until_log("api.json:1:17").await;
    assert_eq!(lb.generation().await, generation);
    assert_eq!(ask(&lb, "/").await.0, 200);

    write(&list, &format!("[\"{}\"]", b.address()));
    lb.until_generation(generation + 1).await;
    for _ in 0..4 {
        assert_eq!(ask(&lb, "/").await, (200, "b".to_owned()));
    }
}
