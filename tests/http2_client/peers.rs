//! Programs of others: curl, and nghttp2's.

use tokio::process::Command;

use crate::before;
use crate::support::{Answer, Origin, in_time};

/// Runs a program to its end; gives what it said.
async fn run(program: &str, arguments: &[&str]) -> String {
    let work = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = in_time(program, work).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[tokio::test]
async fn curl_gets_and_sends() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let url = format!("http://{}/", lb.addr("main"));
    let body = b"0123456789".repeat(100_000);
    origin.answer(Answer::Ok(body.clone()));
    let common = ["--silent", "--show-error", "--http2-prior-knowledge", &url];
    let got = run("curl", &[&common[..], &["--write-out", "\n%{http_version}"]].concat()).await;
    let (page, version) = got.rsplit_once('\n').unwrap();
    assert!(page.as_bytes() == body && version == "2", "{version}");
    let sent = [&common[..], &["--data-binary", "@Cargo.lock", "--output", "/dev/null"]].concat();
    run("curl", &sent).await;
    assert_eq!(origin.last().body, std::fs::read("Cargo.lock").unwrap());
}

#[tokio::test]
async fn nghttp2_asks_for_much_at_once() {
    let origin = Origin::start("a").await;
    let lb = before(&origin, "", "").await;
    let url = format!("http://{}/", lb.addr("main"));
    origin.answer(Answer::Chunked(vec![b"abc".to_vec(), b"def".to_vec()], vec![("x-sum", "7")]));
    let said = run("nghttp", &["--verbose", &url]).await;
    assert!(said.contains("abcdef") && said.contains("x-sum: 7"), "{said}");
    origin.answer(Answer::Ok(b"0123456789".to_vec()));
    let said = run("h2load", &["-n", "2000", "-c", "4", "-m", "50", &url]).await;
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored"), "{said}");
}
