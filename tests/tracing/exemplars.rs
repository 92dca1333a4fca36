//! Exemplars: from a bucket of a histogram to the trace of a request in it.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::collector::{Collector, Reply};
use crate::support::{Origin, free_port, get, request, until};
use crate::{Setup, ask};

/// `/metrics` as who accepts this gets it: the media type, and the text.
async fn metrics(admin: SocketAddr, accept: &str) -> (String, String) {
    let asked = format!("GET /metrics HTTP/1.1\r\nHost: admin\r\nAccept: {accept}\r\n\r\n");
    let response = request(admin, asked).await;
    assert_eq!(response.status, 200, "{response:?}");
    (response.header("content-type").unwrap().to_owned(), response.text())
}

#[tokio::test]
async fn only_openmetrics_has_exemplars_and_only_of_sampled_requests() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let route =
        "[[route]]\nname = \"quiet\"\nupstream = \"app\"\npath = \"/quiet\"\ntrace_sample = 0.0";
    let lb = Setup { route, ..Setup::default() }.start(&collector, &[&origin]).await;
    ask(&lb, "/quiet", "").await;
    ask(&lb, "/", "").await;
    let trace = collector.until_spans(2).await[0].trace.clone();

    let (media, text) = metrics(lb.admin_addr(), "text/plain").await;
    assert!(media.starts_with("text/plain; version=0.0.4"), "{media}");
    assert!(!text.contains("trace_id") && !text.contains("# EOF"));
    let (media, text) =
        metrics(lb.admin_addr(), "application/openmetrics-text;version=1.0.0").await;
    assert_eq!(media, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.ends_with("# EOF\n"));
    let exemplars: Vec<_> = text.lines().filter(|line| line.contains(" # {")).collect();
    for family in [
        "plimsoll_request_duration_seconds_bucket",
        "plimsoll_upstream_attempt_duration_seconds_bucket",
        "plimsoll_upstream_first_byte_seconds_bucket",
    ] {
        let of_family: Vec<_> = exemplars.iter().filter(|line| line.starts_with(family)).collect();
        assert_eq!(of_family.len(), 1, "{exemplars:#?}");
        assert!(of_family[0].contains(&format!("# {{trace_id=\"{trace}\"}} ")), "{of_family:?}");
    }
    assert_eq!(exemplars.len(), 3, "{exemplars:#?}");
    assert!(!exemplars.iter().any(|line| line.contains("quiet")), "{exemplars:#?}");
}

#[tokio::test]
async fn a_real_prometheus_keeps_the_exemplars() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let lb = Setup::default().start(&collector, &[&origin]).await;
    ask(&lb, "/", "").await;
    let trace = collector.until_spans(2).await[0].trace.clone();

    let folder = tempfile::tempdir().unwrap();
    let (file, port) = (folder.path().join("prometheus.yaml"), free_port());
    let target = lb.admin_addr();
    let text = format!(
        "global: {{scrape_interval: 200ms}}\nscrape_configs:\n  - job_name: plimsoll\n    \
         static_configs: [{{targets: [\"{target}\"]}}]\n"
    );
    fs::write(&file, text).unwrap();
    let _prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--enable-feature=exemplar-storage")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus runs; ./scripts/test installs it");
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    until("prometheus answers", async || {
        tokio::net::TcpStream::connect(address).await.is_ok()
            && get(address, "/-/ready").await.status == 200
    })
    .await;
    let path = "/api/v1/query_exemplars?query=plimsoll_request_duration_seconds_bucket\
                &start=2020-01-01T00:00:00Z&end=2100-01-01T00:00:00Z";
    let mut found = Value::Null;
    until("the exemplar is there", async || {
        let response = get(address, path).await;
        let answer: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        found = answer["data"][0].clone();
        !found.is_null()
    })
    .await;
    assert_eq!(found["seriesLabels"]["route"], "all", "{found}");
    assert_eq!(found["exemplars"][0]["labels"]["trace_id"], trace, "{found}");
}
