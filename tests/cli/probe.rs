//! `plimsoll probe`: a backend's checks, run once by hand.

use super::support::{Answer, Origin};
use super::{err, out, plimsoll};

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
async fn probed(backend: &str, file: &str) -> std::process::Output {
    let arguments =
        ["probe".to_owned(), backend.to_owned(), "--config".to_owned(), file.to_owned()];
    let run = move || plimsoll(&arguments.each_ref().map(String::as_str));
    tokio::task::spawn_blocking(run).await.unwrap()
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
