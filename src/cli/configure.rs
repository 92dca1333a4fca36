//! `plimsoll plan` and `config`: what a configuration would change in a running process, and which ones were
//! in force there.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{Answer, Place};
use super::apply::{How, rollback};
use super::backup::{BackupArgs, RestoreArgs, backup, restore};
use super::operate::{faults, list, text};
use super::table::table;
use super::{BAD, FAILED};

pub(super) const CONFIG: &str = "/api/v1/ha/config";

/// It asks name servers, for 5 s at most, reads files, and tries the keys of hashes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What is planned.
#[derive(Debug, Clone, Args)]
pub(super) struct PlanArgs {
    /// The configuration, as the main file shall hold it
    pub(super) file: PathBuf,
    #[command(flatten)]
    pub(super) admin: Place,
    /// Tell it as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// What is done with configurations of before.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Config {
    /// Tell which were in force: since when, from whom, why
    History(Ask),
    /// Print one, secrets masked: the one in force, or that of a revision
    Show {
        /// The revision
        revision: Option<u64>,
        #[command(flatten)]
        ask: Ask,
    },
    /// Tell what differs between two: what that means, and line by line
    Diff {
        /// The revision that is compared
        from: u64,
        /// The other one [default: the one in force]
        to: Option<u64>,
        #[command(flatten)]
        ask: Ask,
    },
    /// Put one in force again: the one before that did not go back by itself, or that of a revision
    Rollback {
        /// The revision
        revision: Option<u64>,
        #[command(flatten)]
        ask: Ask,
        #[command(flatten)]
        how: How,
    },
    /// Keep the one in force, those of before and what operators say in one archive
    Backup(BackupArgs),
    /// Put the one of a backup in force, as a new revision
    Restore(RestoreArgs),
}

/// Where it is asked, and how it is told.
#[derive(Debug, Clone, Args)]
pub(super) struct Ask {
    #[command(flatten)]
    admin: Place,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Tells what would come of a configuration. Gives the exit code.
pub(super) fn plan(arguments: &PlanArgs, out: &mut impl Write) -> io::Result<u8> {
    let content = read(arguments)?;
    let answer = arguments.admin.send_text(&format!("{CONFIG}/plan"), &content, PATIENCE)?;
    if answer.status != 200 {
        return refused(&answer, arguments.json, out);
    }
    if arguments.json {
        writeln!(out, "{:#}", answer.body)?;
    } else {
        planned(&answer.body, out)?;
        writeln!(out, "to put exactly this in force: --expect {}", text(&answer.body, "expect"))?;
    }
    Ok(0)
}

pub(super) fn read(arguments: &PlanArgs) -> io::Result<String> {
    let told = |error: io::Error| {
        let file = arguments.file.display();
        io::Error::new(error.kind(), format!("{file} cannot be read: {error}"))
    };
    fs::read_to_string(&arguments.file).map_err(told)
}

/// Tells why it is not done.
pub(super) fn refused(answer: &Answer, as_json: bool, out: &mut impl Write) -> io::Result<u8> {
    if as_json {
        writeln!(out, "{:#}", answer.body)?;
    } else {
        writeln!(out, "{}", text(&answer.body, "detail"))?;
        faults(&answer.body, out)?;
    }
    Ok(if text(&answer.body, "code") == "invalid_config" { BAD } else { FAILED })
}

/// A plan for people.
pub(super) fn planned(plan: &Value, out: &mut impl Write) -> io::Result<()> {
    let effect = &plan["effect"];
    let changes = list(&effect["changes"]);
    if changes.is_empty() {
        writeln!(out, "nothing changes against revision {}", plan["revision"])?;
    } else {
        writeln!(out, "against revision {}:", plan["revision"])?;
    }
    changed(changes, out)?;
    let (pools, drains) = (&effect["pools"], &effect["drains"]);
    if !changes.is_empty() {
        writeln!(
            out,
            "connections are kept to {} backends, made anew to {}, new to {}",
            pools["kept"], pools["renewed"], pools["new"]
        )?;
        writeln!(
            out,
            "to finish: {} requests at backends that leave, {} clients' connections at listeners that \
             close; {} idle connections are closed",
            drains["requests"], drains["client_connections"], drains["idle_connections"]
        )?;
    }
    let restart: Vec<_> = list(&effect["restart"]).iter().filter_map(Value::as_str).collect();
    if !restart.is_empty() {
        writeln!(out, "after a restart only: {}", restart.join(", "))?;
    }
    faults(&json!({ "diagnostics": plan["warnings"] }), out)
}

/// What differs by meaning, a line each.
fn changed(changes: &[Value], out: &mut impl Write) -> io::Result<()> {
    for change in changes {
        let mark = match text(change, "how") {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        let mut told: Vec<_> =
            list(&change["details"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if let Some(moved) = change["keys_moved"].as_f64() {
            told.push(format!("{:.1} % of the keys move", moved * 100.0));
        }
        let colon = if told.is_empty() { "" } else { ": " };
        let name = format!("{} {}", text(change, "what"), text(change, "name"));
        writeln!(out, "  {mark} {}{colon}{}", name.trim_end(), told.join(", "))?;
    }
    Ok(())
}

/// Tells of configurations of before, or puts one in force again.
pub(super) fn config(command: &Config, out: &mut impl Write) -> io::Result<u8> {
    match command {
        Config::History(ask) => told(ask, &format!("{CONFIG}/revisions"), history, out),
        Config::Show { revision, ask } => {
            let path = match revision {
                Some(revision) => format!("{CONFIG}/revisions/{revision}"),
                None => CONFIG.to_owned(),
            };
            told(ask, &path, show, out)
        }
        Config::Diff { from, to, ask } => {
            let to = to.map(|to| format!("?to={to}")).unwrap_or_default();
            let path = format!("{CONFIG}/revisions/{from}/diff{to}");
            told(ask, &path, difference, out)
        }
        Config::Backup(arguments) => backup(arguments, out),
        Config::Restore(arguments) => restore(arguments, out),
        Config::Rollback { revision, ask: Ask { admin, json }, how } => {
            rollback(*revision, admin, how, *json, out)
        }
    }
}

fn told<W: Write>(
    ask: &Ask,
    path: &str,
    tell: impl FnOnce(&Value, &mut W) -> io::Result<()>,
    out: &mut W,
) -> io::Result<u8> {
    let found = ask.admin.get(path)?;
    if ask.json { writeln!(out, "{found:#}") } else { tell(&found, out) }.map(|()| 0)
}

fn history(found: &Value, out: &mut impl Write) -> io::Result<()> {
    let rows = list(&found["revisions"]).iter().map(|one| {
        let mark = if one["revision"] == found["running"] { "*" } else { "" };
        let [at, author, origin, hash, reason] =
            ["at", "author", "origin", "hash", "reason"].map(|key| text(one, key).to_owned());
        vec![format!("{}{mark}", one["revision"]), at, author, origin, hash, reason]
    });
    table(out, &["REVISION", "SINCE", "BY", "FROM", "HASH", "WHY"], rows)?;
    on_probation(&found["probation"], out)?;
    if found["kept"] == false {
        writeln!(out, "a restart forgets these: `admin.state` names no folder")?;
    }
    Ok(())
}

/// Tells when a revision goes back by itself, if it may.
pub(super) fn on_probation(probation: &Value, out: &mut impl Write) -> io::Result<()> {
    for (until, told) in [
        ("confirm_until", "unless it is confirmed before"),
        ("guard_until", "if it does harm before"),
    ] {
        if let Some(until) = probation[until].as_str() {
            let (revision, back) = (&probation["revision"], &probation["back_to"]);
            writeln!(out, "revision {revision} goes back to {back} {told} {until}")?;
        }
    }
    if let Some(why) = probation["not_reverted"].as_str() {
        writeln!(out, "it should have gone back and cannot: {why}")?;
    }
    Ok(())
}

/// What differs between two revisions: by meaning, then by text.
fn difference(found: &Value, out: &mut impl Write) -> io::Result<()> {
    let (from, to) = (&found["from"], &found["to"]);
    match found["changes"].as_array() {
        None => writeln!(out, "not compared by meaning: {}", text(found, "not_compared"))?,
        Some(none) if none.is_empty() => {
            writeln!(out, "revision {to} means the same as {from}")?;
        }
        Some(changes) => {
            writeln!(out, "revision {to} against {from}:")?;
            changed(changes, out)?;
        }
    }
    let diff = text(found, "diff");
    if !diff.is_empty() {
        write!(out, "\n{diff}")?;
    }
    Ok(())
}

fn show(found: &Value, out: &mut impl Write) -> io::Result<()> {
    let files = list(&found["files"]);
    for file in files {
        if files.len() > 1 {
            writeln!(out, "# {}", text(file, "path"))?;
        }
        write!(out, "{}", text(file, "text"))?;
    }
    Ok(())
}
