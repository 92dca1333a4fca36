//! Connections to backends that leave from addresses of other machines.
//!
//! The answers have to be routed back, which is arranged in a network namespace: the test runs itself
//! once more within one that `unshare` makes.

use std::path::Path;
use std::process::Stdio;

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::support::{Client, Lb, Origin, get, in_time};
use crate::{GET, Setup, ask};

/// Says that this process is the one within the namespace.
const WITHIN: &str = "PLIMSOLL_TEST_WITHIN_A_NAMESPACE";

/// Runs a test of this module within a network namespace of its own, where `198.51.100.0/24` and
/// `2001:db8::/32` lead back to it without being its own; `true` within.
async fn within_a_namespace(test: &str) -> bool {
    if std::env::var_os(WITHIN).is_some() {
        for arguments in [
            "link set lo up",
            "route add local 198.51.100.0/24 dev lo table 100",
            "rule add to 198.51.100.0/24 lookup 100",
            "-6 route add local 2001:db8::/32 dev lo table 100",
            "-6 rule add to 2001:db8::/32 lookup 100",
        ] {
            let mut ip = Command::new("ip");
            ip.args(arguments.split(' '));
            assert!(ip.status().await.unwrap().success(), "ip {arguments}");
        }
        return true;
    }
    let mut program = Command::new("unshare");
    program
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(std::env::current_exe().unwrap());
    program.args(["--exact", &format!("transparent::{test}"), "--nocapture"]).env(WITHIN, "1");
    let output = in_time("the test within", program.kill_on_drop(true).output()).await.unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    false
}

/// A backend whose connections are looked at, and its address.
async fn backend(at: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// Where the connection comes from that a request makes.
async fn came_from(lb: &Lb, request: &str, listener: &TcpListener) -> String {
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(request).await;
    let (_, peer) = in_time("a connection", listener.accept()).await.unwrap();
    peer.to_string()
}

#[tokio::test]
async fn backends_see_the_clients_own_address() {
    if !within_a_namespace("backends_see_the_clients_own_address").await {
        return;
    }
    let (listener, address) = backend("127.0.0.1:0").await;
    let setup = Setup {
        listener: "client_address = \"x-forwarded-for\"\ntrusted_proxies = [\"127.0.0.0/8\"]",
        upstream: "source = \"${client_ip}\"\ntransparent = true",
        ..Setup::default()
    };
    let lb = setup.start(&[&address]).await;
    for client in ["198.51.100.7", "198.51.100.8"] {
        let request = GET.replace("Host:", &format!("X-Forwarded-For: {client}\r\nHost:"));
        let from = came_from(&lb, &request, &listener).await;
        assert!(from.starts_with(&format!("{client}:")), "{from}");
    }
    // A backend of the other family is reached from an address of our own.
    let other = GET.replace("Host:", "X-Forwarded-For: 2001:db8::7\r\nHost:");
    assert!(came_from(&lb, &other, &listener).await.starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn the_port_may_be_the_clients_too_and_the_family_is_either() {
    let name = "the_port_may_be_the_clients_too_and_the_family_is_either";
    if !within_a_namespace(name).await {
        return;
    }
    let upstream = "source = \"${arg.from}\"\ntransparent = true";
    for (at, from) in [("127.0.0.1:0", "198.51.100.7:4711"), ("[::1]:0", "[2001:db8::7]:4711")] {
        let (listener, address) = backend(at).await;
        let lb = Setup { upstream, ..Setup::default() }.start(&[&address]).await;
        assert_eq!(came_from(&lb, &ask(&format!("/?from={from}")), &listener).await, from);
    }
}

#[tokio::test]
async fn a_connection_that_speaks_for_one_client_is_not_kept_for_another() {
    let name = "a_connection_that_speaks_for_one_client_is_not_kept_for_another";
    if !within_a_namespace(name).await {
        return;
    }
    for (source, connections) in [("${arg.from}", 3), ("198.51.100.7", 1)] {
        let origin = Origin::start("a").await;
        let upstream = format!("source = \"{source}\"\ntransparent = true");
        let lb = Setup { upstream: &upstream, ..Setup::default() }.before(&[&origin]).await;
        for _ in 0..3 {
            assert_eq!(get(lb.addr("web"), "/?from=198.51.100.7").await.status, 200);
        }
        assert_eq!(origin.connections(), connections, "{source}");
    }
}

#[tokio::test]
async fn without_the_right_it_is_said_what_is_lacking_and_no_backend_is_blamed() {
    let origin = Origin::start("a").await;
    let config = format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nupstream = \"app\"\n\
         [upstream.app]\nsource = \"198.51.100.7\"\ntransparent = true\n\
         passive = {{ max_fails = 1 }}\nbackend = [{{ address = \"{}\" }}]\n",
        origin.address()
    );
    let lb = Lb::start_by(&config, unprivileged).await;
    lb.until_log("may not use addresses of other machines").await;
    for _ in 0..3 {
        assert_eq!(get(lb.addr("web"), "/").await.status, 502);
    }
    lb.until_log("takes the capability CAP_NET_ADMIN or CAP_NET_RAW").await;
    assert_eq!(origin.connections(), 0);
    let status = lb.status().await.to_string();
    assert!(status.contains("\"eligible\":1"), "{status}");
}

/// The program without the rights of root, if it has them.
fn unprivileged(config: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    if rustix::process::getuid().is_root() {
        program = Command::new("setpriv");
        let bare = "--bounding-set=-net_admin,-net_raw";
        program.args([bare, "--inh-caps=-net_admin,-net_raw"]).arg(env!("CARGO_BIN_EXE_plimsoll"));
    }
    program.arg("run").arg("--config").arg(config).stdin(Stdio::null());
    program
}
