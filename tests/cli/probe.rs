//! `plimsoll probe`: a backend's checks, run once by hand.

use std::process::Output;

use super::support::{Answer, Origin, in_time};
use super::{err, out};

fn file(address: &str, checks: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.toml");
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[route]]\nupstream = \"api\"\n\
         [upstream.api]\n{checks}\n[[upstream.api.backend]]\naddress = \"{address}\"\n"
    );
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// The program, without keeping the origin from answering.
async fn probed(backend: &str, file: &str) -> Output {
    probed_with(backend, file, &[]).await
}

async fn probed_with(backend: &str, file: &str, more: &[&str]) -> Output {
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    program.args(["probe", backend, "--config", file]).args(more);
    in_time("the end of the command", program.output()).await.unwrap()
}

const HTTP: &str = "[upstream.api.check.deep]\npath = \"/healthz\"";

#[tokio::test]
async fn what_was_said_is_shown_with_the_verdict() {
    let origin = Origin::start("a").await;
    let (_folder, file) = file(&origin.address(), HTTP);
    let well = probed(&format!("api/{}", origin.address()), &file).await;
    assert_eq!(well.status.code(), Some(0), "{}", err(&well));
    for words in ["check deep", "> GET /healthz", "< 200 OK", "  up, "] {
        assert!(out(&well).contains(words), "{words}: {}", out(&well));
    }
    let json = probed_with(&origin.address(), &file, &["--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    let backend = &json["backends"][0];
    assert_eq!((&backend["upstream"], &backend["well"]), (&"api".into(), &true.into()), "{json}");
    let check = &backend["checks"][0];
    assert_eq!((&check["check"], &check["found"]), (&"deep".into(), &"up".into()), "{json}");
    assert!(check["took_seconds"].as_f64().unwrap() > 0.0, "{json}");
    let talk = check["talk"].as_array().unwrap();
    assert!(talk[0].as_str().unwrap().starts_with("> GET /healthz"), "{json}");
    origin.answer(Answer::Status(503));
    let ill = probed(&origin.address(), &file).await;
    assert_eq!(ill.status.code(), Some(1), "{}", out(&ill));
    assert!(out(&ill).contains("  down, ") && out(&ill).contains("status 503"), "{}", out(&ill));
}

#[tokio::test]
async fn a_name_is_asked_for_and_who_is_unknown_or_unchecked_is_told() {
    let origin = Origin::start("a").await;
    let named = format!("localhost:{}", origin.port());
    let (_folder, file) = file(&named, HTTP);
    let told = probed(&named, &file).await;
    assert!(out(&told).contains(&format!("api/{named} at 127.0.0.1:")), "{}", out(&told));
    let unknown = probed("api/10.0.0.1:80", &file).await;
    assert_eq!(unknown.status.code(), Some(2));
    assert!(err(&unknown).contains("no backend is called"), "{}", err(&unknown));
    let (_folder, file) = self::file(&named, "");
    let unchecked = probed(&named, &file).await;
    assert!(out(&unchecked).contains("has no checks"), "{}", out(&unchecked));
}
