//! A real Prometheus scrapes the real program, loads the alerts, and is asked every query of the
//! dashboards.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::at_root;
use crate::support::{Answer, Lb, Load, Origin, at, config, free_port, get, until};

/// Prometheus; it is killed when this is dropped.
struct Prometheus {
    _process: Child,
    _folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Prometheus {
    async fn start(target: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, port) = (folder.path().join("prometheus.yaml"), free_port());
        let rules = at_root("conf/prometheus/alerts.yaml");
        let rules = rules.display();
        let text = format!(
            "global: {{scrape_interval: 200ms, evaluation_interval: 200ms}}\n\
             rule_files: [\"{rules}\"]\n\
             scrape_configs:\n  - job_name: plimsoll\n    static_configs: [{{targets: [\"{target}\"]}}]\n"
        );
        fs::write(&file, text).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus runs; ./scripts/test installs it");
        let address = ([127, 0, 0, 1], port).into();
        until("prometheus answers", async || {
            tokio::net::TcpStream::connect(address).await.is_ok()
                && get(address, "/-/ready").await.status == 200
        })
        .await;
        Self { _process: process, _folder: folder, address }
    }

    async fn ask(&self, path: &str) -> Value {
        let response = get(self.address, path).await;
        assert_eq!(response.status, 200, "{path}: {response:?}");
        serde_json::from_slice(&response.body).unwrap()
    }

    /// The samples that a query gives.
    async fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.ask(&format!("/api/v1/query?query={}", escaped(query))).await;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }
}

fn escaped(query: &str) -> String {
    let mut escaped = String::new();
    for byte in query.bytes() {
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => write!(escaped, "{}", char::from(byte)),
            other => write!(escaped, "%{other:02X}"),
        };
    }
    escaped
}

/// Every query of a dashboard, with the dashboard's variables filled in, and the panel that it is of.
fn queries(board: &Value) -> Vec<(String, String)> {
    let panels = board["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().unwrap().iter();
        targets
            .map(move |target| (panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap()))
    });
    let fill = |expr: &str| {
        let variables = board["templating"]["list"].as_array().unwrap().iter();
        let names = variables.map(|variable| variable["name"].as_str().unwrap());
        let filled =
            names.fold(expr.to_owned(), |expr, name| expr.replace(&format!("${name}"), ".*"));
        filled.replace("$__rate_interval", "10s")
    };
    targets.map(|(title, expr)| (title.to_owned(), fill(expr))).collect()
}

#[tokio::test]
async fn every_query_of_the_dashboards_finds_something_and_the_alerts_are_evaluated() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    // One keeps its connections, the other has them opened anew.
    b.answer(Answer::UntilClose(b"b".to_vec()));
    let upstream = "[upstream.api.health]\ntype = \"tcp\"\ninterval = \"300ms\"\n\
         [upstream.api.breaker]\n[upstream.api.queue]\ndepth = 10\n";
    let lb = Lb::start(config("", "", &[at(&a), at(&b)]) + upstream).await;
    let prometheus = Prometheus::start(lb.admin_addr()).await;
    let load = Load::start(lb.addr("main"), 1);

    let mut asked = 0;
    for file in ["conf/grafana/requests.json", "conf/grafana/backends.json"] {
        let board: Value =
            serde_json::from_str(&fs::read_to_string(at_root(file)).unwrap()).unwrap();
        for (title, query) in queries(&board) {
            asked += 1;
            assert!(!query.contains('$'), "{file}: {title}: {query}");
            until(&format!("{title} shows something: {query}"), async || {
                let samples = prometheus.query(&query).await;
                samples.iter().any(|sample| sample["value"][1] != "NaN")
            })
            .await;
        }
        // What the variables offer to choose from.
        for variable in board["templating"]["list"].as_array().unwrap() {
            let Some(query) = variable["query"]["query"].as_str() else { continue };
            let inside = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
            let (series, label) = inside.rsplit_once(", ").unwrap();
            let samples = prometheus.query(&series.replace("$instance", ".*")).await;
            assert!(samples.iter().any(|sample| sample["metric"][label].is_string()), "{query}");
        }
    }
    assert!(asked >= 40, "{asked}");

    until("all alerts are evaluated", async || {
        let rules = prometheus.ask("/api/v1/rules").await;
        let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
        rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
    drop(load);
}
