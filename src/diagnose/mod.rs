//! One archive with all that somebody asks for who shall help from afar: `plimsoll diagnose`, and
//! `GET /api/v1/ha/diagnose`.
//!
//! Whatever cannot be had is named in it, with the reason: it is made most often when something does not
//! work. Every text goes in through [`Masked::hide`]. What the process tells of itself is asked for by those
//! who call this, each in its way.

mod findings;
mod machine;
mod process;

use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::config::{self, Config, Masked};
use crate::telemetry::tail;

/// What the process is asked for, and the file that it goes into.
pub const TOLD: [(&str, &str); 11] = [
    ("/api/v1/ha/status", "status.json"),
    ("/api/v1/ha/load-balancer/stats", "stats.json"),
    ("/api/v1/ha/load-balancer/backends", "backends.json"),
    ("/api/v1/ha/health-checks", "health-checks.json"),
    ("/api/v1/ha/failover/status", "failover.json"),
    ("/api/v1/ha/overrides", "overrides.json"),
    ("/api/v1/ha/events", "events.json"),
    ("/api/v1/ha/config", "config.json"),
    ("/api/v1/ha/config/revisions", "revisions.json"),
    ("/readyz", "readyz.json"),
    ("/healthz", "healthz.json"),
];

/// Bytes of a log's end that go in.
const TAIL: u64 = 256 << 10;

/// What has been collected.
#[derive(Debug, Default)]
pub struct Collected {
    masked: Masked,
    config: Option<Config>,
    /// What the process says of itself; `null`: it does not answer.
    status: Value,
    /// Names and texts.
    files: Vec<(String, String)>,
    /// What could not be had, and why.
    missing: Vec<(String, String)>,
}

impl Collected {
    /// Begins with a configuration: its files without their secrets, and what is to be said of them. `known`
    /// are further secrets.
    pub fn of(file: Option<&Path>, known: Masked) -> Self {
        let mut begun = Self { masked: known, ..Self::default() };
        match file {
            Some(file) => begun.configuration(file),
            None => begun.lacks("config", "there is none in the usual places; --config names it"),
        }
        begun
    }

    fn configuration(&mut self, file: &Path) {
        let environment = &config::process_environment;
        self.masked.add(file, environment);
        for (path, text) in std::mem::take(&mut self.masked.files) {
            let name = format!("config/{}", path.display().to_string().trim_start_matches('/'));
            self.had(&name, text);
        }
        let loaded = config::load(file, environment);
        let found = match &loaded {
            Ok(loaded) => &loaded.warnings[..],
            Err(report) => report.diagnostics(),
        };
        let check = json!({
            "file": file.display().to_string(),
            "ok": loaded.is_ok(),
            "diagnostics": found.iter().map(config::Diagnostic::to_json).collect::<Vec<_>>(),
        });
        self.put("check.json", format!("{check:#}\n"));
        self.config = loaded.ok().map(|loaded| loaded.config);
    }

    /// Takes in what the process says at one of the paths of [`TOLD`].
    pub fn told(&mut self, name: &str, told: Value) {
        self.put(format!("api/{name}"), format!("{told:#}\n"));
        if name == "status.json" {
            self.status = told;
        }
    }

    /// Whether the process has told of itself.
    pub fn is_answered(&self) -> bool {
        !self.status.is_null()
    }

    /// Takes in what could be had, or why it could not.
    pub fn had<E: ToString>(&mut self, name: &str, text: Result<String, E>) {
        match text {
            Ok(text) => self.put(name, text),
            Err(why) => self.lacks(name, &why.to_string()),
        }
    }

    /// Notes what cannot be had, and why.
    pub fn lacks(&mut self, name: &str, why: &str) {
        self.missing.push((name.to_owned(), self.masked.hide(why)));
    }

    /// Takes a text in, without the secrets in it.
    fn put(&mut self, name: impl Into<String>, text: impl AsRef<str>) {
        self.files.push((name.into(), self.masked.hide(text.as_ref())));
    }

    /// Collects what the kernel knows of the process and the machine, and sums up. `pid` is the process where
    /// it does not tell itself; `admin` is where it was asked.
    pub fn end(mut self, pid: Option<u32>, admin: &str) -> Archive {
        let taken_at = Timestamp::now();
        let version = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "architecture": std::env::consts::ARCH,
            "debug": cfg!(debug_assertions),
            "taken_at": taken_at.to_string(),
            "admin": admin,
        });
        self.put("version.json", format!("{version:#}\n"));
        match process::find(pid, &self.status, self.config.as_ref()) {
            Ok(pid) => process::collect(pid, &mut self),
            Err(why) => self.lacks("process", why),
        }
        machine::collect(&mut self);
        self.audit();
        let findings = findings::find(&self.files);
        let summary = self.summary(taken_at, &findings);
        self.put("SUMMARY.md", &summary);
        Archive { taken_at, findings, missing: self.missing, files: self.files }
    }

    /// The end of the audit log. What a configuration was changed to is left out: it may hold secrets that
    /// the present one does not.
    fn audit(&mut self) {
        let admin = self.config.as_ref().and_then(|config| config.admin.as_ref());
        let Some(path) = admin.and_then(|admin| admin.audit_log.clone()) else {
            return self.lacks("audit.jsonl", "the configuration names no audit log");
        };
        let text = tail(&path, TAIL);
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
        self.had("audit.jsonl", lines);
    }

    fn summary(&self, now: Timestamp, findings: &[String]) -> String {
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
        list(&mut text, self.missing.iter().map(|(name, why)| format!("{name}: {why}")).collect());
        text.push_str("\n## What is here\n\n");
        list(&mut text, self.files.iter().map(|(name, _)| name.clone()).collect());
        text.push_str("\nSecrets are masked. The access log is left out: it tells of people.\n");
        text
    }
}

/// What was collected, ready to be packed.
#[derive(Debug)]
pub struct Archive {
    taken_at: Timestamp,
    /// What to look at first, the worst first.
    pub findings: Vec<String>,
    /// What could not be had, and why.
    pub missing: Vec<(String, String)>,
    /// Names and texts.
    pub files: Vec<(String, String)>,
}

impl Archive {
    /// What it is called, unless somebody says otherwise.
    pub fn name(&self) -> String {
        format!("plimsoll-diagnose-{}.tar.gz", self.taken_at.strftime("%Y%m%dT%H%M%SZ"))
    }

    /// Writes it (`tar.gz`), and gives what it was written to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn pack<W: Write>(&self, into: W) -> io::Result<W> {
        let mut archive = tar::Builder::new(GzEncoder::new(into, Compression::default()));
        for (name, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(self.taken_at.as_second().max(0) as u64);
            archive.append_data(
                &mut header,
                format!("plimsoll-diagnose/{name}"),
                text.as_bytes(),
            )?;
        }
        let mut into = archive.into_inner()?.finish()?;
        into.flush()?;
        Ok(into)
    }
}
