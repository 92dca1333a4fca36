//! The chapters of the manual that tell how to do something are done here as they stand: configurations
//! are written and checked, commands run in a shell, and what they are said to print is waited for.
//!
//! A block `toml plimsoll.toml` is a file; it has to be good and without warnings. So is `nginx nginx.conf`, to
//! be imported. A block `sh` is run, line by line as it was written; a block `text` after it is what its last
//! line prints among other things, sooner or later: that line is run again until it does. A block `yaml`
//! stands in the manifest for Kubernetes. Ports are others than those that are written, for tests run beside each other.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod shell;

use std::fs;
use std::path::Path;

use shell::Shell;
use support::free_port;

/// What is written in the chapters, in the order in which each is replaced by a free one.
const PORTS: [&str; 6] = ["8080", "8443", "9901", "9001", "9002", "9003"];

/// A fenced block: the words behind the fence, and its content.
struct Block {
    kind: String,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let parts: Vec<_> = markdown.split("```").collect();
    assert!(parts.len() % 2 == 1, "a block is not closed");
    let inside = parts.iter().skip(1).step_by(2);
    inside
        .map(|block| block.split_once('\n').unwrap())
        .map(|(kind, text)| Block { kind: kind.to_owned(), text: text.to_owned() })
        .collect()
}

/// Does what a chapter says.
async fn follow(chapter: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let as_written = fs::read_to_string(root.join("src/manual").join(chapter)).unwrap();
    let mut text = as_written.clone();
    for written in PORTS {
        text = text.replace(&format!(":{written}"), &format!(":@{written}"));
        text = text.replace(&format!("http.server {written}"), &format!("http.server @{written}"));
    }
    for written in PORTS {
        text = text.replace(&format!("@{written}"), &free_port().to_string());
    }
    let manifest = fs::read_to_string(root.join("docker/kubernetes/plimsoll.yaml")).unwrap();
    let mut shell = Shell::start(Path::new(env!("CARGO_BIN_EXE_plimsoll"))).await;
    let (mut last, mut done) = (None, 0);
    for (Block { kind, text }, written) in blocks(&text).into_iter().zip(blocks(&as_written)) {
        match kind.as_str() {
            "toml plimsoll.toml" => {
                let file = shell.folder().join("plimsoll.toml");
                fs::write(&file, &text).unwrap();
                match plimsoll::config::load(&file, &|_| None) {
                    Ok(loaded) => assert_eq!(loaded.warnings.len(), 0, "{chapter}: {text}"),
                    Err(report) => panic!("{chapter}: {}", report.render(false)),
                }
            }
            "nginx nginx.conf" => {
                fs::write(shell.folder().join("nginx.conf"), text).unwrap();
            }
            "sh" => {
                let lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
                for line in &lines {
                    let said = shell.run(line).await;
                    last = Some(((*line).to_owned(), said));
                }
                done += lines.len();
            }
            "text" => {
                let (line, said) = last.take().unwrap_or_else(|| panic!("{chapter}: {text}"));
                shell.until_said(&line, said, &text).await;
            }
            "yaml" => {
                let text = written.text;
                assert!(manifest.contains(&text), "{chapter}: not in the manifest:\n{text}");
                done += 1;
            }
            // There is nothing here to run it by.
            "haproxy" => {}
            other => panic!("{chapter}: what is a block of {other}?"),
        }
    }
    assert!(done > 0, "{chapter} has nothing to do");
}

#[tokio::test]
async fn tutorial() {
    follow("tutorial.md").await;
}

#[tokio::test]
async fn draining_for_a_deploy() {
    follow("draining.md").await;
}

#[tokio::test]
async fn changing_the_configuration_safely() {
    follow("configuring.md").await;
}

#[tokio::test]
async fn upgrading() {
    follow("upgrading.md").await;
}

#[tokio::test]
async fn tuning() {
    follow("tuning.md").await;
}

#[tokio::test]
async fn tracing() {
    follow("tracing.md").await;
}

#[tokio::test]
async fn kubernetes() {
    follow("kubernetes.md").await;
}

#[tokio::test]
async fn serving_https() {
    follow("tls.md").await;
}

#[tokio::test]
async fn trying_a_new_version_on_a_few() {
    follow("canary.md").await;
}

#[tokio::test]
async fn coming_from_nginx() {
    follow("coming_from_nginx.md").await;
}

#[tokio::test]
async fn coming_from_haproxy() {
    follow("coming_from_haproxy.md").await;
}

#[test]
fn every_chapter_that_tells_how_is_followed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let here = fs::read_to_string(root.join("tests/manual/main.rs")).unwrap();
    for entry in fs::read_dir(root.join("src/manual")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let has_steps = path.extension().is_some_and(|extension| extension == "md")
            && fs::read_to_string(&path).unwrap().contains("```sh");
        assert!(!has_steps || here.contains(&format!("follow(\"{name}\")")), "{name}");
    }
}
