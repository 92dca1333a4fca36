//! `plimsoll check FILE…`: all that is wrong with configurations, and whether they would be taken.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::config::{self, Config, Diagnostic, Environment, Loaded, Severity};

/// How findings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people, without colours.
    Plain,
    /// For people at a terminal.
    Colored,
    /// One JSON document: `{"ok": …, "files": [{"file", "ok", "diagnostics"}]}`.
    Json,
}

/// Checks each file with what it includes, and writes the findings. Gives whether all are good; the
/// exit code of a bad one is 2.
///
/// # Errors
/// When nothing can be written.
pub fn check(
    files: &[PathBuf],
    form: Form,
    environment: Environment<'_>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let mut all_good = true;
    let mut documents: Vec<Value> = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let (diagnostics, good) = match config::load(file, environment) {
            Ok(Loaded { config, warnings, .. }) => (warnings, Some(summary(&config))),
            Err(report) => (report.diagnostics().to_vec(), None),
        };
        all_good &= good.is_some();
        if form == Form::Json {
            let found: Vec<_> = diagnostics.iter().map(Diagnostic::to_json).collect();
            documents.push(json!({ "file": name, "ok": good.is_some(), "diagnostics": found }));
            continue;
        }
        out.write_all(config::render(&diagnostics, form == Form::Colored).as_bytes())?;
        if !diagnostics.is_empty() {
            writeln!(out)?;
        }
        match good {
            Some(summary) => writeln!(out, "{name}: good ({summary})")?,
            None => writeln!(out, "{name}: refused ({})", count(&diagnostics))?,
        }
    }
    if form == Form::Json {
        writeln!(out, "{:#}", json!({ "ok": all_good, "files": documents }))?;
    }
    Ok(all_good)
}

fn summary(config: &Config) -> String {
    let backends: usize = config.upstreams.values().map(|upstream| upstream.backends.len()).sum();
    [
        plural(config.listeners.len(), "listener"),
        plural(config.routes.len(), "route"),
        plural(config.upstreams.len(), "upstream"),
        plural(backends, "backend"),
    ]
    .join(", ")
}

fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity| diagnostics.iter().filter(|one| one.severity == severity).count();
    let errors = plural(of(Severity::Error), "error");
    match of(Severity::Warning) {
        0 => errors,
        warnings => format!("{errors}, {}", plural(warnings, "warning")),
    }
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}
