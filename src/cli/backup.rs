//! `plimsoll config backup` and `restore`: the configuration of a running process and what is kept of it in a
//! file, and put in force from there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::admin::{Place, segment};
use super::configure::{CONFIG, How, PATIENCE, in_force, planned, refused};
use super::operate::time;
use super::output::{Readers, replace};

/// Where the archive goes.
#[derive(Debug, Clone, Args)]
pub(super) struct BackupArgs {
    /// The archive (`.tar.gz`), readable by you only: it holds the secrets that stand in the files
    file: PathBuf,
    #[command(flatten)]
    admin: Place,
}

/// What is restored.
#[derive(Debug, Clone, Args)]
pub(super) struct RestoreArgs {
    /// The archive
    file: PathBuf,
    /// A revision of the archive [default: the one that was in force]
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    /// It goes back by itself unless `plimsoll confirm` is called within this time, such as `5m`
    #[arg(long, value_name = "TIME", value_parser = time)]
    confirm: Option<Duration>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    admin: Place,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Writes an archive. Gives the exit code.
pub(super) fn backup(arguments: &BackupArgs, out: &mut impl Write) -> io::Result<u8> {
    let packed = arguments.admin.bytes(&format!("{CONFIG}/backup"), PATIENCE)?;
    let path = &arguments.file;
    replace(path, &packed, Readers::Owner).map_err(|error| at(path, &error))?;
    writeln!(out, "{}: {} bytes", path.display(), packed.len())?;
    Ok(0)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Puts the configuration of an archive in force. Gives the exit code.
pub(super) fn restore(arguments: &RestoreArgs, out: &mut impl Write) -> io::Result<u8> {
    let RestoreArgs { file, revision, confirm, how, admin, json } = arguments;
    let packed = std::fs::read(file).map_err(|error| at(file, &error))?;
    let mut path = format!(
        "{CONFIG}/restore?reason={}&overwrite={}&dry_run={}",
        segment(&how.reason),
        u8::from(how.overwrite),
        u8::from(how.dry_run)
    );
    let seconds = confirm.map(|confirm| confirm.as_secs().max(1));
    for (name, number) in [("revision", *revision), ("confirm_seconds", seconds)] {
        if let Some(number) = number {
            path.extend(["&", name, "=", &number.to_string()]);
        }
    }
    // Whichever is in force: nobody has looked at one.
    let head = "Content-Type: application/gzip\r\nIf-Match: *\r\n";
    let answer = admin.send_bytes(&path, (head, packed), PATIENCE)?;
    let body: &Value = &answer.body;
    match (answer.status, *json) {
        (200, true) => writeln!(out, "{body:#}")?,
        (200, false) if how.dry_run => planned(body, out)?,
        (200, false) => in_force(body, out)?,
        _ => return refused(&answer, *json, out),
    }
    Ok(0)
}
