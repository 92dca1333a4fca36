//! `plimsoll config backup` and `restore`: the configuration of a running process and what is kept of it in a
//! file, and put in force from there.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::admin::Place;
use super::apply::{How, done};
use super::configure::{CONFIG, PATIENCE, planned, refused};
use super::output::{Readers, replace};

/// Where the archive goes.
#[derive(Debug, Clone, Args)]
pub(super) struct BackupArgs {
    /// The archive (`.tar.gz`), readable by you only: it holds the secrets that stand in the files
    file: PathBuf,
    #[command(flatten)]
    admin: Place,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// What is restored.
#[derive(Debug, Clone, Args)]
pub(super) struct RestoreArgs {
    /// The archive
    file: PathBuf,
    /// A revision of the archive [default: the one that was in force]
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
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
    let (file, bytes) = (path.display().to_string(), packed.len());
    if arguments.json {
        writeln!(out, "{:#}", json!({ "file": file, "bytes": bytes }))?;
    } else {
        writeln!(out, "{file}: {bytes} bytes")?;
    }
    Ok(0)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Puts the configuration of an archive in force. Gives the exit code: 1 if it went back.
pub(super) fn restore(arguments: &RestoreArgs, out: &mut impl Write) -> io::Result<u8> {
    let RestoreArgs { file, revision, how, admin, json } = arguments;
    let packed = std::fs::read(file).map_err(|error| at(file, &error))?;
    let mut path = format!("{CONFIG}/restore?{}", how.query());
    if let Some(revision) = revision {
        path.extend(["&revision=", &revision.to_string()]);
    }
    // Whichever is in force: nobody has looked at one.
    let head = "Content-Type: application/gzip\r\nIf-Match: *\r\n";
    let answer = admin.send_bytes(&path, (head, packed), PATIENCE)?;
    match answer.status {
        200 if how.dry_run && !*json => planned(&answer.body, out).map(|()| 0),
        200 => done(admin, how, answer.body, *json, out),
        _ => refused(&answer, *json, out),
    }
}
