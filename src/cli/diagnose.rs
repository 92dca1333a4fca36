//! `plimsoll diagnose`: the archive for who shall help from afar, made from outside of the process, which need
//! not answer.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::admin::Place;
use super::output::{Readers, replace};
use super::{output_failed, run};
use crate::config::Masked;
use crate::diagnose::{Collected, TOLD};

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
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Makes the archive, and tells where it is and what is not in it.
pub(super) fn command(arguments: &DiagnoseArgs, out: &mut impl Write) -> ExitCode {
    match diagnose(arguments, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output_failed(&error),
    }
}

fn diagnose(arguments: &DiagnoseArgs, out: &mut impl Write) -> io::Result<()> {
    let mut known = Masked::default();
    if let Ok(token) = std::env::var("PLIMSOLL_TOKEN") {
        known.know(&token);
    }
    let file = run::file(arguments.config.clone());
    let mut collected = Collected::of(file.as_deref(), known);
    ask(&arguments.admin, &mut collected);
    let archive = collected.end(arguments.pid, &arguments.admin.to_string());

    let path = arguments.output.clone().unwrap_or_else(|| archive.name().into());
    let failed =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    // Not everybody shall read it: masked or not, it tells much.
    replace(&path, &archive.pack(Vec::new())?, Readers::Owner).map_err(failed)?;
    if arguments.json {
        let missing = archive.missing.iter().map(|(name, why)| json!({ "name": name, "why": why }));
        let told = json!({
            "file": path.display().to_string(),
            "files": archive.files.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "findings": archive.findings,
            "missing": missing.collect::<Vec<_>>(),
        });
        return writeln!(out, "{told:#}");
    }
    for finding in &archive.findings {
        writeln!(out, "{finding}")?;
    }
    for (name, why) in &archive.missing {
        writeln!(out, "missing: {name}: {why}")?;
    }
    writeln!(out, "{}: {} files, secrets are masked", path.display(), archive.files.len())
}

/// What the running process tells of itself.
fn ask(place: &Place, into: &mut Collected) {
    for (path, name) in TOLD {
        // Of these two, 503 is an answer as well.
        let told = place.ask("GET", path, None, Duration::ZERO);
        let told = told.and_then(|answer| match answer.status {
            200 | 503 => Ok(answer.body),
            code => Err(io::Error::other(format!("{code}: {}", answer.body["detail"]))),
        });
        match told {
            Ok(told) => into.told(name, told),
            // It would be waited for again and again.
            Err(error) if !into.is_answered() => return into.lacks("api", &error.to_string()),
            Err(error) => into.lacks(&format!("api/{name}"), &error.to_string()),
        }
    }
    into.had("metrics.txt", place.text("/metrics"));
}
