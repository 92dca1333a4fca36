//! `plimsoll plan`, `apply`, `confirm`, `config`: configurations of a running process, looked at before,
//! put in force, and taken back.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::admin::{Answer, Place, segment};
use super::backup::{BackupArgs, RestoreArgs, backup, restore};
use super::operate::{faults, list, text, time};
use super::table::table;
use super::{BAD, FAILED};

pub(super) const CONFIG: &str = "/api/v1/ha/config";

/// It asks name servers, for 5 s at most, reads files, and tries the keys of hashes.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks whether a guard has ended.
const PAUSE: Duration = Duration::from_millis(200);

/// What is planned.
#[derive(Debug, Clone, Args)]
pub(super) struct PlanArgs {
    /// The configuration, as the main file shall hold it
    file: PathBuf,
    #[command(flatten)]
    admin: Place,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// What is put in force.
#[derive(Debug, Clone, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// It goes back by itself unless `plimsoll confirm` is called within this time, such as `5m`
    #[arg(long, value_name = "TIME", value_parser = time)]
    confirm: Option<Duration>,
    /// It goes back by itself if errors or latency get worse within this time; wait for that, and exit
    /// with 1 if it does [default of TIME: 1m]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          default_missing_value = "1m", value_parser = time)]
    guard: Option<Duration>,
    /// The hash that a plan told: anything else is refused
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
    #[command(flatten)]
    how: How,
}

/// How a configuration is put in force.
#[derive(Debug, Clone, Args)]
pub(super) struct How {
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(super) reason: String,
    /// Lose what somebody wrote into the file without loading it
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Only tell whether it would be done
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// Where it is asked, and why.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfirmArgs {
    #[command(flatten)]
    admin: Place,
    /// Why, for whoever reads the events later
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
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

fn read(arguments: &PlanArgs) -> io::Result<String> {
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

/// Puts a configuration in force. Gives the exit code: 1 if it went back.
pub(super) fn apply(arguments: &ApplyArgs, out: &mut impl Write) -> io::Result<u8> {
    let ApplyArgs { plan: PlanArgs { admin, json, .. }, confirm, guard, how, .. } = arguments;
    let content = read(&arguments.plan)?;
    let plan = admin.send_text(&format!("{CONFIG}/plan"), &content, PATIENCE)?;
    if plan.status != 200 {
        return refused(&plan, *json, out);
    }
    if !*json {
        planned(&plan.body, out)?;
    }
    let expect = arguments.expect.as_deref().unwrap_or_else(|| text(&plan.body, "expect"));
    let mut path = format!(
        "{CONFIG}/update?expect={}&reason={}&overwrite={}&dry_run={}",
        segment(expect),
        segment(&how.reason),
        u8::from(how.overwrite),
        u8::from(how.dry_run)
    );
    for (name, lasts) in [("confirm_seconds", confirm), ("guard_seconds", guard)] {
        if let Some(lasts) = lasts {
            let seconds = lasts.as_secs().max(1).to_string();
            path.extend(["&", name, "=", &seconds]);
        }
    }
    let mut answer = admin.send_text(&path, &content, PATIENCE)?;
    if answer.status != 200 {
        return refused(&answer, *json, out);
    }
    let revision = answer.body["revision"].as_u64().unwrap_or(0);
    if !*json && how.dry_run {
        writeln!(out, "it would be done")?;
    } else if !*json {
        in_force(&answer.body, out)?;
    }
    out.flush()?;
    let mut reverted = None;
    if !answer.body["probation"]["guard_until"].is_null() {
        reverted = guarded(admin, revision)?;
        answer.body["reverted"] = reverted.clone().into();
    }
    if *json {
        writeln!(out, "{:#}", answer.body)?;
    } else if let Some(why) = &reverted {
        writeln!(out, "it went back: {why}")?;
    } else if guard.is_some() && !how.dry_run {
        writeln!(out, "nothing is worse than before")?;
    }
    Ok(if reverted.is_some() { FAILED } else { 0 })
}

/// Tells what is in force, and until when.
pub(super) fn in_force(answer: &Value, out: &mut impl Write) -> io::Result<()> {
    let (revision, generation) = (&answer["revision"], &answer["generation"]);
    writeln!(out, "revision {revision} is in force (generation {generation})")?;
    let probation = &answer["probation"];
    if let Some(until) = probation["confirm_until"].as_str() {
        let back = &probation["back_to"];
        writeln!(
            out,
            "it goes back to revision {back} at {until} unless `plimsoll confirm` is called"
        )?;
        if answer["kept"] == false {
            writeln!(out, "a restart forgets that: `admin.state` names no folder")?;
        }
    }
    Ok(())
}

/// Waits until a revision is not watched any more. Gives why it went back, if it did.
fn guarded(admin: &Place, revision: u64) -> io::Result<Option<String>> {
    loop {
        let now = admin.get(&format!("{CONFIG}/revisions"))?;
        if now["running"] != revision {
            let later = list(&now["revisions"]).iter().rev();
            let mut later = later.skip_while(|one| one["revision"] != revision).skip(1);
            let why = later.next().map(|one| text(one, "reason").to_owned());
            return Ok(Some(why.unwrap_or_else(|| "another one is in force".to_owned())));
        }
        if now["probation"]["guard_until"].is_null() {
            return Ok(None);
        }
        sleep(PAUSE);
    }
}

/// Leaves in force what is on probation.
pub(super) fn confirm(arguments: &ConfirmArgs, out: &mut impl Write) -> io::Result<u8> {
    let body = json!({ "reason": arguments.reason });
    let path = format!("{CONFIG}/confirm");
    let answer = arguments.admin.ask("POST", &path, Some(&body), PATIENCE)?;
    if answer.status != 200 {
        return refused(&answer, arguments.json, out);
    }
    if arguments.json {
        writeln!(out, "{:#}", answer.body)?;
    } else {
        writeln!(out, "revision {} stays in force", answer.body["revision"])?;
    }
    Ok(0)
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
        Config::Rollback { revision, ask, how } => {
            let How { reason, overwrite, dry_run } = how;
            let body = json!({ "to": revision, "reason": reason, "overwrite": overwrite });
            let path = format!("{CONFIG}/rollback?dry_run={}", u8::from(*dry_run));
            let answer = ask.admin.ask("POST", &path, Some(&body), PATIENCE)?;
            if answer.status != 200 {
                return refused(&answer, ask.json, out);
            }
            if ask.json {
                writeln!(out, "{:#}", answer.body)?;
            } else if *dry_run {
                writeln!(out, "it would be done")?;
            } else {
                in_force(&answer.body, out)?;
            }
            Ok(0)
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
