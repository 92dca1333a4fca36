//! TLS on the admin listener: who is believed, who may what by a certificate, and renewal. And how often
//! each may ask.

use std::process::Output;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::support::{Authority, Client, Lb, Origin, at, config, in_time, until};
use super::{ask, backend};

/// An admin listener with TLS, and who may ask it.
struct Secured {
    origin: Origin,
    lb: Lb,
    folder: tempfile::TempDir,
}

/// The authority's certificate is `ca.pem`, that of operators `operators.pem`.
async fn secured(more: &str, clients: &str) -> Secured {
    secured_at("127.0.0.1:0", more, clients).await
}

async fn secured_at(address: &str, more: &str, clients: &str) -> Secured {
    let folder = tempfile::tempdir().unwrap();
    let (authority, operators) = (Authority::new("admin"), Authority::new("operators"));
    let file = |name: &str| folder.path().join(name);
    std::fs::write(file("ca.pem"), authority.pem()).unwrap();
    std::fs::write(file("operators.pem"), operators.pem()).unwrap();
    authority.issue(&["admin.test", "localhost"]).write(folder.path(), "admin");
    operators.issue(&["ann.test"]).write(folder.path(), "ann");
    operators.issue_to("bob", 1).write(folder.path(), "bob");
    operators.issue(&["eve.test"]).write(folder.path(), "eve");
    Authority::new("others").issue(&["ann.test"]).write(folder.path(), "other");
    let origin = Origin::start("a").await;
    let text = config("", "", &[at(&origin)]);
    let admin = format!(
        "[admin]\naddress = \"{address}\"\n{}\n[admin.tls]\nchain = \"{}\"\nkey = \"{}\"\n{}\n",
        more,
        file("admin.pem").display(),
        file("admin.key").display(),
        clients.replace("FOLDER", &folder.path().display().to_string()),
    );
    let text = text.replace("[admin]\naddress = \"127.0.0.1:0\"\n", &admin);
    Secured { origin, lb: Lb::start(text).await, folder }
}

const ROLES: &str = "anonymous = \"nobody\"
certificates = { ann = { san = \"ann.test\", role = \"operator\" }, bob = { subject = \"O=Test,CN=bob\" } }
";
const OPTIONAL: &str = "clients = { ca = \"FOLDER/operators.pem\", verify = \"optional\" }";

impl Secured {
    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// `curl` as `admin.test`; gives its exit code, the status, and the body.
    async fn curl(&self, arguments: &[&str], path: &str) -> (i32, String, Value) {
        let port = self.lb.admin_addr().port();
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--write-out", "\n%{http_code}"]).args(arguments);
        curl.args(["--resolve", &format!("admin.test:{port}:127.0.0.1")]);
        curl.arg(format!("https://admin.test:{port}{path}"));
        let Output { status, stdout, .. } = in_time("curl", curl.output()).await.unwrap();
        let text = String::from_utf8(stdout).unwrap();
        let (body, code) = text.rsplit_once('\n').unwrap();
        let body = serde_json::from_str(body).unwrap_or_default();
        (status.code().unwrap(), code.to_owned(), body)
    }

    /// Our own program as `localhost`.
    async fn plimsoll(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        let at = format!("https://localhost:{}", self.lb.admin_addr().port());
        program.args(arguments).args(["--admin", &at]);
        let output = in_time("the end of the command", program.output()).await.unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(told).unwrap())
    }
}

#[tokio::test]
async fn who_is_believed_is_asked_by_tls_and_renewed_certificates_are_taken_up() {
    let it = secured("", "").await;
    let (ca, status) = (it.file("ca.pem"), "/api/v1/ha/status");
    let (exit, code, body) = it.curl(&["--cacert", &ca], status).await;
    assert_eq!((exit, &*code), (0, "200"), "a name with a dot, which TLS vouches for");
    assert_eq!(body["phase"], "ready");
    assert_eq!(it.curl(&[], status).await.0, 60, "nobody vouches for it");
    let (exit, told) = it.plimsoll(&["status", "--cacert", &ca]).await;
    assert_eq!(exit, Some(0), "{told}");
    assert!(told.contains("ready"), "{told}");
    let (exit, told) = it.plimsoll(&["status"]).await;
    assert_eq!(exit, Some(1));
    assert!(told.contains("invalid peer certificate"), "{told}");

    let mut plain = TcpStream::connect(it.lb.admin_addr()).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answered = Vec::new();
    // An alert, and the end, which may be a reset.
    let _ = in_time("the end", plain.read_to_end(&mut answered)).await;
    assert!(!answered.starts_with(b"HTTP/"), "without TLS nothing is told");

    let next = Authority::new("next");
    next.issue(&["localhost"]).write(it.folder.path(), "admin");
    std::fs::write(it.file("next.pem"), next.pem()).unwrap();
    it.lb.signal(Signal::HUP);
    let next = it.file("next.pem");
    until("the new certificate is shown", async || {
        it.plimsoll(&["status", "--cacert", &next]).await.0 == Some(0)
    })
    .await;
    assert!(!it.lb.log_text().contains("after a restart"), "{}", it.lb.log_text());
}

#[tokio::test]
async fn who_may_what_is_told_by_the_certificate() {
    let it = secured(ROLES, OPTIONAL).await;
    let (one, ca) = (backend(&it.origin), it.file("ca.pem"));
    let weigh = ["--request", "PATCH", "--json", "{\"weight\": 3}", "--cacert", &ca];
    for (who, read, change) in
        [("", "401", "401"), ("ann", "200", "200"), ("bob", "200", "403"), ("eve", "401", "401")]
    {
        let (cert, key) = (it.file(&format!("{who}.pem")), it.file(&format!("{who}.key")));
        let shown = ["--cert", &*cert, "--key", &*key];
        let shown = if who.is_empty() { &[][..] } else { &shown };
        let (_, code, _) = it.curl(&[shown, &["--cacert", &ca]].concat(), &one).await;
        assert_eq!(code, read, "{who}");
        let (_, code, body) = it.curl(&[shown, &weigh].concat(), &one).await;
        assert_eq!(code, change, "{who}: {body}");
    }
    let (cert, key) = (it.file("other.pem"), it.file("other.key"));
    let (exit, code, _) =
        it.curl(&["--cacert", &ca, "--cert", &cert, "--key", &key], "/livez").await;
    assert!(exit != 0 && code == "000", "of an authority that nobody knows: {exit} {code}");

    let (cert, key) = (it.file("ann.pem"), it.file("ann.key"));
    let shown = ["--cacert", &*ca, "--cert", &cert, "--key", &key];
    let name = it.origin.address();
    let weigh = [&["backend", "weight", &name, "7"][..], &shown].concat();
    let (exit, told) = it.plimsoll(&weigh).await;
    assert!(exit == Some(0) && told.contains("weight 7"), "{told}");
    let (_, told) = it.plimsoll(&[&["events", "--json"][..], &shown].concat()).await;
    assert!(told.contains("operator:ann"), "{told}");
    let (exit, told) = it.plimsoll(&["status", "--cacert", &ca, "--cert", &cert]).await;
    assert!(exit == Some(2) && told.contains("--key"), "{told}");
}

#[tokio::test]
async fn whoever_shows_none_is_turned_away_where_one_is_required() {
    let it = secured("", "clients = { ca = \"FOLDER/operators.pem\" }").await;
    let (ca, cert, key) = (it.file("ca.pem"), it.file("eve.pem"), it.file("eve.key"));
    let (exit, code, _) = it.curl(&["--cacert", &ca], "/livez").await;
    assert!(exit != 0 && code == "000", "{exit} {code}");
    let (exit, told) = it.plimsoll(&["status", "--cacert", &ca]).await;
    assert!(exit == Some(1) && told.contains("broke off"), "{told}");
    let shown = ["--cacert", &*ca, "--cert", &cert, "--key", &key];
    let (_, code, _) = it.curl(&shown, "/api/v1/ha/status").await;
    assert_eq!(code, "200", "as anybody on a loopback address");
}

#[tokio::test]
async fn certificates_guard_an_address_that_others_reach_if_they_are_asked_for() {
    let origin = Origin::start("a").await;
    let of = |more: &str| {
        let text = config("", "", &[at(&origin)]);
        text.replace(
            "[admin]\naddress = \"127.0.0.1:0\"\n",
            &format!("[admin]\naddress = \"0.0.0.0:0\"\n{more}"),
        )
    };
    let ann = "certificates = { ann = { san = \"ann.test\" } }\n";
    let both = "certificates = { ann = { san = \"ann.test\", subject = \"CN=ann\" } }\n";
    for (more, said) in [
        (ann, "nobody is asked for a certificate"),
        (both, "exactly one of `san` and `subject`"),
        (
            "tls = { chain = \"/no/such.pem\", key = \"/no/such.key\" }\n",
            "nobody is asked who they are",
        ),
    ] {
        let output = Lb::refuse(of(more)).await;
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && err.contains(said), "{err}");
    }
    let it = secured_at("0.0.0.0:0", ROLES, OPTIONAL).await;
    let (ca, cert, key) = (it.file("ca.pem"), it.file("bob.pem"), it.file("bob.key"));
    let shown = ["--cacert", &*ca, "--cert", &cert, "--key", &key];
    assert_eq!(it.curl(&shown, "/metrics").await.1, "200");
    assert_eq!(it.curl(&["--cacert", &ca], "/metrics").await.1, "401");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let origin = Origin::start("a").await;
    let text = config("", "", &[at(&origin)]).replace("[admin]\n", "[admin]\nmax_rate = 1\n");
    let text = text
        + "[admin.tokens.eve]\n\
                       sha256 = \"d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799\"\n";
    let lb = Lb::start(text).await;
    let admin = lb.admin_addr();
    let mut refused = None;
    until("one is refused", async || {
        let mut client = Client::connect(admin).await;
        client.send(b"GET /api/v1/ha/status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let response = client.read_response().await;
        let is_refused = response.status == 429;
        refused = Some(response);
        is_refused
    })
    .await;
    let refused = refused.unwrap();
    assert_eq!(refused.header("retry-after"), Some("1"));
    let body: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!((&body["code"], &body["status"]), (&"too_often".into(), &429.into()));
    let by = ["Authorization: Bearer viewer"];
    assert_eq!(ask(admin, "GET", "/metrics", &by, "").await.status, 200, "another one's");
    for _ in 0..5 {
        assert_eq!(ask(admin, "GET", "/livez", &[], "").await.status, 200);
    }
    let wrong = ["Authorization: Bearer wrong"];
    until("tokens cannot be tried out", async || {
        ask(admin, "GET", "/metrics", &wrong, "").await.status == 429
    })
    .await;
}
