//! `plimsoll diagnose`: one archive with all that somebody asks for who shall help from afar.
//!
//! Whatever cannot be had is named in it, with the reason: it is made most often when something does not
//! work. Every text goes in through [`Masked::hide`].

mod findings;
mod machine;
mod process;

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use super::admin::Place;
use super::{check, output_failed, run};
use crate::config::{self, Config, Masked};
use crate::telemetry::tail;

/// What the admin listener is asked for, and the file that it goes into.
const TOLD: [(&str, &str); 9] = [
    ("/api/v1/ha/status", "status.json"),
    ("/api/v1/ha/load-balancer/stats", "stats.json"),
    ("/api/v1/ha/load-balancer/backends", "backends.json"),
    ("/api/v1/ha/health-checks", "health-checks.json"),
    ("/api/v1/ha/failover/status", "failover.json"),
    ("/api/v1/ha/overrides", "overrides.json"),
    ("/api/v1/ha/events", "events.json"),
    ("/readyz", "readyz.json"),
    ("/healthz", "healthz.json"),
];

/// Bytes of a log's end that go in.
const TAIL: u64 = 256 << 10;

/// What is collected.
#[derive(Debug, Clone, Args)]
pub(super) struct DiagnoseArgs {
    /// The archive (`.tar.gz`) [default: plimsoll-diagnose-TIME.tar.gz]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The configuration [default: plimsoll.toml, then /etc/plimsoll/plimsoll.toml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    admin: Place,
    /// The process, where neither its admin listener nor its `pid_file` tells it
    #[arg(long)]
    pid: Option<u32>,
}

/// What has been collected.
#[derive(Debug, Default)]
struct Collected {
    masked: Masked,
    /// Names and texts.
    files: Vec<(String, String)>,
    /// What could not be had, and why.
    missing: Vec<(String, String)>,
}

impl Collected {
    /// Takes a text in, without the secrets in it.
    fn put(&mut self, name: impl Into<String>, text: impl AsRef<str>) {
        self.files.push((name.into(), self.masked.hide(text.as_ref())));
    }

    /// Takes in what could be had, or why it could not.
    fn had<E: ToString>(&mut self, name: &str, text: Result<String, E>) {
        match text {
            Ok(text) => self.put(name, text),
            Err(why) => self.lacks(name, &why.to_string()),
        }
    }

    fn lacks(&mut self, name: &str, why: &str) {
        self.missing.push((name.to_owned(), self.masked.hide(why)));
    }
}

/// Makes the archive, and tells where it is and what is not in it.
pub(super) fn command(arguments: &DiagnoseArgs, out: &mut impl Write) -> ExitCode {
    match diagnose(arguments, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output_failed(&error),
    }
}

fn diagnose(arguments: &DiagnoseArgs, out: &mut impl Write) -> io::Result<()> {
    let now = Timestamp::now();
    let mut into = Collected::default();
    let config = configuration(arguments, &mut into);
    let status = ask(&arguments.admin, &mut into);
    let pid = process::find(arguments.pid, &status, config.as_ref());
    into.put("version.json", format!("{:#}\n", version(now, &arguments.admin)));
    match pid {
        Ok(pid) => process::collect(pid, &mut into),
        Err(why) => into.lacks("process", why),
    }
    machine::collect(&mut into);
    audit(config.as_ref(), &mut into);
    let findings = findings::find(&into.files);
    let summary = summary(now, &findings, &into);
    into.put("SUMMARY.md", &summary);

    let stamp = now.strftime("%Y%m%dT%H%M%SZ");
    let usual = || PathBuf::from(format!("plimsoll-diagnose-{stamp}.tar.gz"));
    let path = arguments.output.clone().unwrap_or_else(usual);
    let failed =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    // Not everybody shall read it: masked or not, it tells much.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let file = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR);
    let file = File::from(file.map_err(|error| failed(error.into()))?);
    pack(file, &into.files, now).map_err(failed)?;
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    for (name, why) in &into.missing {
        writeln!(out, "missing: {name}: {why}")?;
    }
    writeln!(out, "{}: {} files, secrets are masked", path.display(), into.files.len())
}

fn version(now: Timestamp, admin: &Place) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "debug": cfg!(debug_assertions),
        "taken_at": now.to_string(),
        "admin": admin.to_string(),
    })
}

/// The files of the configuration without their secrets, and what is to be said of them.
fn configuration(arguments: &DiagnoseArgs, into: &mut Collected) -> Option<Config> {
    let Some(file) = run::file(arguments.config.clone()) else {
        into.lacks("config", "there is none in the usual places; --config names it");
        return None;
    };
    let environment = &config::process_environment;
    into.masked = Masked::of(&file, environment);
    if let Ok(token) = std::env::var("PLIMSOLL_TOKEN") {
        into.masked.know(&token);
    }
    for (path, text) in std::mem::take(&mut into.masked.files) {
        let name = format!("config/{}", path.display().to_string().trim_start_matches('/'));
        into.had(&name, text);
    }
    let mut told = Vec::new();
    let checked =
        check::check(std::slice::from_ref(&file), check::Form::Json, environment, &mut told);
    into.had("check.json", checked.map(|_| String::from_utf8_lossy(&told).into_owned()));
    config::load(&file, environment).ok().map(|loaded| loaded.config)
}

/// What the running process tells of itself; gives its status.
fn ask(place: &Place, into: &mut Collected) -> Value {
    let mut status = Value::Null;
    for (path, name) in TOLD {
        // Of these two, 503 is an answer as well.
        let told = place.ask("GET", path, None, std::time::Duration::ZERO);
        let told = told.and_then(|answer| match answer.status {
            200 | 503 => Ok(answer.body),
            code => Err(io::Error::other(format!("{code}: {}", answer.body["detail"]))),
        });
        match told {
            Ok(told) => {
                into.put(format!("api/{name}"), format!("{told:#}\n"));
                if name == "status.json" {
                    status = told;
                }
            }
            Err(error) => {
                into.lacks("api", &error.to_string());
                if status.is_null() {
                    // It would be waited for again and again.
                    return status;
                }
            }
        }
    }
    into.had("metrics.txt", place.text("/metrics"));
    status
}

/// The end of the audit log. What a configuration was changed to is left out: it may hold secrets that the
/// present one does not.
fn audit(config: Option<&Config>, into: &mut Collected) {
    let Some(path) = config.and_then(|config| config.admin.as_ref()?.audit_log.as_ref()) else {
        return into.lacks("audit.jsonl", "the configuration names no audit log");
    };
    let text = tail(path, TAIL);
    let lines = text.map(|text| {
        let lines = text.lines().map(|line| match serde_json::from_str::<Value>(line) {
            Ok(mut line) => {
                if line["path"].as_str().is_none_or(|path| path.contains("/config")) {
                    line["asked"] = Value::Null;
                }
                line.to_string()
            }
            Err(_) => "\"a line that is no JSON\"".to_owned(),
        });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    });
    into.had("audit.jsonl", lines);
}

fn summary(now: Timestamp, findings: &[String], into: &Collected) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!("# plimsoll {version}, {now}\n\n## What stands out\n\n");
    let list = |text: &mut String, lines: Vec<String>| {
        let none = vec!["nothing".to_owned()];
        for line in if lines.is_empty() { none } else { lines } {
            text.extend(["- ", &line, "\n"]);
        }
    };
    list(&mut text, findings.to_vec());
    text.push_str("\n## What is missing\n\n");
    list(&mut text, into.missing.iter().map(|(name, why)| format!("{name}: {why}")).collect());
    text.push_str("\n## What is here\n\n");
    list(&mut text, into.files.iter().map(|(name, _)| name.clone()).collect());
    text.push_str("\nSecrets are masked. The access log is left out: it tells of people.\n");
    text
}

fn pack(into: impl Write, files: &[(String, String)], now: Timestamp) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(into, Compression::default()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now.as_second().max(0) as u64);
        archive.append_data(&mut header, format!("plimsoll-diagnose/{name}"), text.as_bytes())?;
    }
    archive.into_inner()?.finish()?.flush()
}
