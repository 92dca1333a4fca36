//! Certificates of an authority: a real one, Let's Encrypt's Pebble, which asks us over HTTP and in
//! handshakes, refuses some of our nonces, and takes its names from a name server of the test's.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::net::UdpSocket;
use tokio::process::{Child, Command};

use crate::support::{Authority, Lb, Origin, Pair, free_port, get, in_time, until};

const ORDERS: &str = "plimsoll_certificate_orders_total";

/// Pebble, and what it needs.
struct Pebble {
    /// Ended when this is dropped.
    _child: Child,
    files: TempDir,
    directory: SocketAddr,
    management: SocketAddr,
}

impl Pebble {
    /// Asks at the ports of these listeners; its certificates live so many seconds.
    async fn start(http: SocketAddr, tls: SocketAddr, life: u32) -> Self {
        Self::with(http, tls, life, serde_json::json!({})).await
    }

    /// The same, which only makes accounts that are bound to these (identifiers with their keys).
    async fn with(
        http: SocketAddr,
        tls: SocketAddr,
        life: u32,
        accounts: serde_json::Value,
    ) -> Self {
        let files = TempDir::new().unwrap();
        let authority = Authority::new("pebble's own");
        authority.issue(&["127.0.0.1"]).write(files.path(), "own");
        std::fs::write(files.path().join("ca.pem"), authority.pem()).unwrap();
        let names = names_of_this_machine().await;
        // It cannot tell which port it was given; another may have taken one since.
        for _ in 0..5 {
            let (directory, management) = (free(), free());
            let config = serde_json::json!({ "pebble": {
                "listenAddress": directory, "managementListenAddress": management,
                "certificate": files.path().join("own.pem"),
                "privateKey": files.path().join("own.key"),
                "httpPort": http.port(), "tlsPort": tls.port(),
                "certificateValidityPeriod": life,
                "externalAccountBindingRequired": accounts != serde_json::json!({}),
                "externalAccountMACKeys": accounts,
            } });
            let file = files.path().join("pebble.json");
            std::fs::write(&file, config.to_string()).unwrap();
            let mut child = Command::new("pebble")
                .arg("-config")
                .arg(&file)
                .args(["-dnsserver", &names.to_string()])
                .env("PEBBLE_VA_NOSLEEP", "1")
                // By default one request in twenty is refused, and thrice in a row is too much.
                .env("PEBBLE_WFE_NONCEREJECT", "1")
                // What was answered once is asked again: every order is a whole one.
                .env("PEBBLE_AUTHZREUSE", "0")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            let mut ended = false;
            until("Pebble listens or has ended", async || {
                ended = child.try_wait().unwrap().is_some();
                let listens = async |at| tokio::net::TcpStream::connect(at).await.is_ok();
                ended || (listens(directory).await && listens(management).await)
            })
            .await;
            if !ended {
                return Self { _child: child, files, directory, management };
            }
        }
        panic!("Pebble does not start");
    }

    /// `[acme]`, with these lines.
    fn section(&self, state: &Path, lines: &str) -> String {
        format!(
            "[acme]\ndirectory = \"https://{}/dir\"\nca = \"{}\"\nstate = \"{}\"\n\
             accept_terms = true\ncontact = [\"ops@example.com\"]\n{lines}\n",
            self.directory,
            self.files.path().join("ca.pem").display(),
            state.display(),
        )
    }

    /// The certificate by which its certificates are judged, in a file.
    async fn root(&self) -> PathBuf {
        let file = self.files.path().join("root.pem");
        let (url, ca) = (format!("https://{}/roots/0", self.management), self.files.path());
        let output = curl(&["--cacert", ca.join("ca.pem").to_str().unwrap(), &url]).await;
        assert!(output.status.success(), "{output:?}");
        std::fs::write(&file, output.stdout).unwrap();
        file
    }
}

/// An address that nobody listens on.
fn free() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// A name server for which every name is this machine.
async fn names_of_this_machine() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 512];
        while let Ok((n, from)) = socket.recv_from(&mut question).await {
            let question = &question[..n];
            // RFC 1035 §4.1: the name ends with an empty label, type and class follow.
            let name = question[12..].iter().position(|byte| *byte == 0).unwrap();
            let end = 12 + name + 5;
            let is_ipv4 = question[end - 4..end - 2] == [0, 1];
            let mut answer = [&question[..2], b"\x81\x80\0\x01\0", &[u8::from(is_ipv4)]].concat();
            answer.extend_from_slice(b"\0\0\0\0");
            answer.extend_from_slice(&question[12..end]);
            if is_ipv4 {
                answer.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x7f\0\0\x01");
            }
            let _ = socket.send_to(&answer, from).await;
        }
    });
    address
}

async fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command.arg("-sS").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    in_time("curl", command.output()).await.unwrap()
}

/// Whether the listener proves to be `name` to who believes `root`, and serves it.
async fn is_served(lb: &Lb, name: &str, root: &Path) -> Result<(), String> {
    let port = lb.addr("tls").port();
    let (url, resolve) = (format!("https://{name}:{port}/"), format!("{name}:{port}:127.0.0.1"));
    let root = root.to_str().unwrap();
    let output = curl(&["--fail", "--cacert", root, "--resolve", &resolve, &url]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(told) }
}

/// The program with a plain listener and one with TLS, which has a certificate of files and those of
/// `more`.
fn config(files: &Path, origin: &Origin, acme: &str, more: &str) -> String {
    format!(
        "workers = 2\nwatch_interval = \"100ms\"\n{acme}\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"tls\"\naddress = \"127.0.0.1:0\"\n\
         [[listener.tls.certificate]]\nchain = \"{0}/first.pem\"\nkey = \"{0}/first.key\"\n{more}\n\
         [[route]]\nlisteners = [\"web\"]\nredirect = {{ to = \"https://${{host}}${{uri}}\" }}\n\
         [[route]]\nlisteners = [\"tls\"]\nupstream = \"app\"\n\
         [[upstream.app.backend]]\naddress = \"{1}\"",
        files.display(),
        origin.address(),
    )
}

/// Files of the test, with a certificate that no authority gave.
fn files() -> TempDir {
    let files = TempDir::new().unwrap();
    let first: Pair = Authority::new("tests").issue(&["first.test"]);
    first.write(files.path(), "first");
    files
}

/// A certificate for these names of the authority.
fn managed(names: &str) -> String {
    format!("[[listener.tls.certificate]]\nnames = [{names}]\nacme = true\n")
}

async fn comes_and_is_served(challenge: &str) {
    let (files, origin) = (files(), Origin::start("a").await);
    let mut lb = Lb::start(config(files.path(), &origin, "", "")).await;
    let pebble = Pebble::start(lb.addr("web"), lb.addr("tls"), 3600).await;
    let state = files.path().join("state");
    let acme = pebble.section(&state, &format!("challenge = \"{challenge}\""));
    let more = managed("\"a.test\", \"b.test\"");
    let with = config(files.path(), &origin, &acme, &more);
    lb.reload(&with);
    until("an order has ended", async || lb.metric(ORDERS).await > Some(0.0)).await;
    let ordered = lb.metric(&format!("{ORDERS}{{result=\"ok\"}}")).await;
    assert_eq!(ordered, Some(1.0), "{}", lb.log_text());
    let root = pebble.root().await;
    for name in ["a.test", "b.test"] {
        until("the certificate is shown", async || is_served(&lb, name, &root).await.is_ok()).await;
    }
    // Nobody else may read what was kept, and nothing else was.
    let mut kept: Vec<_> = walk(&state);
    kept.sort();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert!(kept[0].ends_with("account.json") && kept[1].extension().unwrap() == "pem", "{kept:?}");
    for path in kept.iter().flat_map(|path| [path, path.parent().unwrap()]) {
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
    }
    // A path that nobody was told of is no question, and goes to the routes.
    let other = get(lb.addr("web"), "/.well-known/acme-challenge/other").await;
    assert_eq!(other.status, 302);

    // What is on the disk is enough after a new start.
    lb.signal(rustix::process::Signal::TERM);
    lb.exit().await;
    let lb = Lb::start(&with).await;
    is_served(&lb, "a.test", &root).await.unwrap();
    assert_eq!(lb.metric(ORDERS).await, None, "nothing was ordered");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn a_certificate_is_had_by_answers_over_http() {
    comes_and_is_served("http-01").await;
}

#[tokio::test]
async fn an_account_is_bound_to_one_at_the_authoritys_site_where_it_asks_for_that() {
    let (files, origin) = (files(), Origin::start("a").await);
    let lb = Lb::start(config(files.path(), &origin, "", "")).await;
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let accounts = serde_json::json!({ "kid-1": key });
    let pebble = Pebble::with(lb.addr("web"), lb.addr("tls"), 3600, accounts).await;
    let state = files.path().join("state");
    let without = pebble.section(&state, "");
    lb.reload(config(files.path(), &origin, &without, &managed("\"a.test\"")));
    lb.until_metric(&format!("{ORDERS}{{result=\"failed\"}}"), 1.0).await;
    std::fs::write(files.path().join("eab"), format!("{key}\n")).unwrap();
    let file = files.path().join("eab");
    let bound = format!(
        "external_account = {{ id = \"kid-1\", key = {{ file = \"{}\" }} }}",
        file.display()
    );
    // Another name: the first one is asked for again after a pause only.
    let with = pebble.section(&state, &bound);
    lb.reload(config(files.path(), &origin, &with, &managed("\"b.test\"")));
    lb.until_metric(&format!("{ORDERS}{{result=\"ok\"}}"), 1.0).await;
}

#[tokio::test]
async fn a_certificate_is_had_by_answers_in_handshakes() {
    comes_and_is_served("tls-alpn-01").await;
}

#[tokio::test]
async fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
    let (files, origin) = (files(), Origin::start("a").await);
    let lb = Lb::start(config(files.path(), &origin, "", "")).await;
    // It lives from a moment ago on; a third of ten seconds is left after seven.
    let pebble = Pebble::start(lb.addr("web"), lb.addr("tls"), 10).await;
    let acme = pebble.section(&files.path().join("state"), "");
    lb.reload(config(files.path(), &origin, &acme, &managed("\"a.test\"")));
    let expiry = "plimsoll_certificate_expiry_timestamp_seconds{certificate=\"a.test\"}";
    let mut first = None;
    until("the first one is there", async || {
        first = lb.metric(expiry).await;
        first.is_some()
    })
    .await;
    until("the second one is there", async || lb.metric(expiry).await > first).await;
    let orders = lb.metric(&format!("{ORDERS}{{result=\"ok\"}}")).await;
    assert!(orders >= Some(2.0), "{orders:?}");
}

#[tokio::test]
async fn what_is_not_had_is_told_and_holds_up_nothing_else() {
    let (files, origin) = (files(), Origin::start("a").await);
    let lb = Lb::start(config(files.path(), &origin, "", "")).await;
    // It asks where nobody is, for one of two names.
    let pebble = Pebble::start(free(), lb.addr("tls"), 3600).await;
    let acme = pebble.section(&files.path().join("state"), "");
    lb.reload(config(files.path(), &origin, &acme, &managed("\"a.test\"")));
    lb.until_metric(&format!("{ORDERS}{{result=\"failed\"}}"), 1.0).await;
    lb.until_log("no certificate, trying again after a pause").await;
    let told = lb.event("no certificate, trying again after a pause", |_| true).unwrap();
    let told = told.to_string();
    assert!(told.contains("a.test") && told.contains("refused"), "{told}");
    // Who asks for it is turned away; another certificate is not shown in its place.
    let told = is_served(&lb, "a.test", &files.path().join("first.pem")).await.unwrap_err();
    assert!(told.contains("alert") && told.contains("SSL"), "{told}");
    // All others are served as before.
    let port = lb.addr("tls").port();
    let resolve = format!("first.test:{port}:127.0.0.1");
    let url = format!("https://first.test:{port}/");
    let output = curl(&["-k", "--fail", "--resolve", &resolve, &url]).await;
    assert!(output.status.success(), "{output:?}");
}
