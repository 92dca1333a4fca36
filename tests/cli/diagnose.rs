//! `plimsoll diagnose`: what is in the archive, and what is not.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::{err, out};
use crate::support::{Lb, Origin, at, config, get, in_time};

/// Secrets in the places where a configuration may have some. Each has this word in it.
const WORD: &str = "geheim";
const SECRETS: &str = r#"
# The old password was geheim-comment.

[admin.tokens.ann]
sha256 = "e92b1116bb9fb2442793605286980c3459afd60a2127035159e19e9a7106fa25"
role = "viewer"

[[route]]
name = "secret"
path = "/secret"
upstream = "api"
headers = { X-Api-Key = "geheim-match" }
when = [{ value = "${arg.key}", is = "geheim-when" }]
request_headers = { set = { Authorization = "Bearer geheim-bearer", X-Id = "${request_id}", X-File = { file = "token" } } }

[[route]]
name = "away"
path = "/away"
redirect = { to = "https://ann:geheim-url@example.com/x?sig=geheim-query" }

[variable.known]
from = "${header.key}"
cases = [{ is = "geheim-case", give = "geheim-given" }]

[upstream.base.check.base]
type = "redis"
password = "geheim-password"

[upstream.base.check.line]
type = "tcp"
send = "AUTH geheim-sent\r\n"

[upstream.base.check.program]
type = "exec"
# What it says comes back as the reason.
command = ["/bin/sh", "-c", "echo geheim-told; exit 1 # geheim-argument"]

[[upstream.base.backend]]
address = "127.0.0.1:1"
"#;

/// Has an archive made; gives the files in it.
async fn diagnose(
    folder: &Path,
    arguments: &[&str],
    token: &str,
) -> (Output, BTreeMap<String, String>) {
    let archive = folder.join("it.tar.gz");
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    program.arg("diagnose").arg("--output").arg(&archive).args(arguments);
    program.env("PLIMSOLL_TOKEN", token);
    let output = in_time("the end of the command", program.output()).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(fs::metadata(&archive).unwrap().permissions().mode() & 0o777, 0o600);
    (output, unpacked(&fs::read(&archive).unwrap()))
}

/// The files of an archive.
fn unpacked(archive: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let files = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let name = path.strip_prefix("plimsoll-diagnose/").unwrap().to_owned();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    });
    files.collect()
}

/// None of the secrets stands in any of them.
fn hold_no_secret(files: &BTreeMap<String, String>) {
    for (name, text) in files {
        assert!(!text.contains(WORD), "{name}: {text}");
        assert!(!text.contains("e92b1116bb9fb244"), "{name}: the hash of a token");
    }
}

#[tokio::test]
async fn the_archive_has_all_there_is_to_know_and_no_secret() {
    let origin = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let token = folder.path().join("token");
    fs::write(&token, "geheim-file\n").unwrap();
    let text = config("", "", &[at(&origin)]) + SECRETS;
    let admin = format!("[admin]\nanonymous = \"admin\"\naudit_log = \"{}\"\n", audit.display());
    let text = text
        .replace("[admin]\n", &admin)
        .replace("{ file = \"token\" }", &format!("{{ file = \"{}\" }}", token.display()));
    let lb = Lb::start(&text).await;
    get(lb.addr("main"), "/").await;
    let one = format!("/api/v1/ha/load-balancer/backends/api%2F{}", origin.address());
    let weigh = format!("geheim-file is why, and {WORD}-bearer");
    let body = serde_json::json!({ "weight": 3, "reason": weigh }).to_string();
    let request = format!(
        "PATCH {one} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut client = crate::support::Client::connect(lb.admin_addr()).await;
    client.send(request.as_bytes()).await;
    assert_eq!(client.read_response().await.status, 200);
    crate::support::until("the program has said why it is down", async || {
        let all = lb.api("/api/v1/ha/health-checks").await.to_string();
        all.contains("geheim-told")
    })
    .await;

    let (config, admin) = (lb.config_path(), lb.admin_addr().to_string());
    let arguments = ["--config", config.to_str().unwrap(), "--admin", &admin];
    let (output, files) = diagnose(folder.path(), &arguments, "geheim-token").await;
    hold_no_secret(&files);
    assert!(out(&output).contains("secrets are masked"), "{}", out(&output));
    let json = |name: &str| -> Value { serde_json::from_str(&files[name]).unwrap() };
    assert_eq!(json("api/status.json")["pid"], lb.pid());
    assert_eq!(json("api/overrides.json")["overrides"][0]["weight"], 3);
    assert_eq!(json("api/overrides.json")["overrides"][0]["reason"], "*** is why, and ***");
    assert_eq!(json("check.json")["ok"], true);
    assert_eq!(json("version.json")["version"], env!("CARGO_PKG_VERSION"));
    let events = json("api/events.json");
    assert!(!events["events"].as_array().unwrap().is_empty());
    assert!(json("api/backends.json")["backends"].is_array());
    let line: Value = serde_json::from_str(files["audit.jsonl"].lines().next().unwrap()).unwrap();
    assert_eq!(line["asked"]["weight"], 3);
    assert!(files["metrics.txt"].contains("plimsoll_requests_total{"));
    let masked = files.iter().find(|(name, _)| name.starts_with("config/")).unwrap().1;
    assert!(masked.contains("X-Id = \"${request_id}\""), "{masked}");
    assert!(masked.contains("https://***@example.com/x?sig=***"), "{masked}");
    assert!(files["process/limits"].contains("Max open files"));
    assert!(files["process/threads.txt"].contains("worker-0"), "{}", files["process/threads.txt"]);
    assert!(files["process/descriptors.txt"].contains(" socket"));
    assert!(files["process/sockets.txt"].contains(" LISTEN"), "{}", files["process/sockets.txt"]);
    assert!(files["machine/sysctl"].contains("net.core.somaxconn = "));
    let summary = &files["SUMMARY.md"];
    assert!(summary.contains("upstream base is"), "{summary}");

    // The process itself tells the same to who cannot log in where it runs.
    let answer = get(lb.admin_addr(), "/api/v1/ha/diagnose").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/gzip"));
    let by_itself = unpacked(&answer.body);
    hold_no_secret(&by_itself);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    let mut told = names(&by_itself);
    // It needs a token of an admin from outside, and has none there.
    told.retain(|name| name != "api/config.json");
    assert_eq!(told, names(&files));
    let status: Value = serde_json::from_str(&by_itself["api/status.json"]).unwrap();
    assert_eq!(status["pid"], lb.pid());
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("plimsoll.toml");
    fs::write(&config, "[[listener]]\nadress = \"geheim-wrong\"\n").unwrap();
    let config = config.to_str().unwrap();
    let arguments = ["--config", config, "--admin", "unix:/no/such.sock"];
    let (output, files) = diagnose(folder.path(), &arguments, "").await;
    let said = out(&output);
    assert!(said.contains("missing: api: cannot reach the admin listener at unix:/no/such.sock"));
    assert!(said.contains("missing: process: it is not known which one it is"), "{said}");
    let summary = &files["SUMMARY.md"];
    assert!(summary.contains("does not answer on its admin listener"), "{summary}");
    assert!(summary.contains("the configuration would be refused"), "{summary}");
    let check: Value = serde_json::from_str(&files["check.json"]).unwrap();
    assert_eq!(check["ok"], false);
    assert!(files.keys().any(|name| name.starts_with("config/")), "{:?}", files.keys());
    assert!(files.values().all(|text| !text.contains(WORD)));

    let (output, files) =
        diagnose(folder.path(), &[&arguments[..], &["--json"]].concat(), "").await;
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut names: Vec<_> = told["files"].as_array().unwrap().iter().collect();
    names.sort_by_key(|name| name.as_str());
    assert_eq!(names, files.keys().collect::<Vec<_>>());
    assert_eq!(told["missing"][0]["name"], "api", "{told}");
    assert!(told["findings"][0].as_str().unwrap().contains("does not answer"), "{told}");
    assert!(told["file"].as_str().unwrap().ends_with("it.tar.gz"), "{told}");

    // Nor need there be a configuration, and the process can be named.
    let pid = std::process::id().to_string();
    let nowhere = ["--config", "/no/such.toml", "--admin", "unix:/no/such.sock", "--pid", &pid];
    let (output, files) = diagnose(folder.path(), &nowhere, "").await;
    let said = out(&output);
    assert!(said.contains("missing: config/no/such.toml"), "{said}");
    assert!(files.contains_key("machine/kernel"));
}
