//! `plimsoll apply`, `confirm`, `reload` and `config rollback`: configurations put in force in a running
//! process, for good or on probation.

use std::io::{self, Write};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::FAILED;
use super::admin::{Place, segment};
use super::configure::{CONFIG, PATIENCE, PlanArgs, planned, read, refused};
use super::operate::{list, text, time};

/// Between two looks whether a guard has ended.
const PAUSE: Duration = Duration::from_millis(200);

/// What is put in force.
#[derive(Debug, Clone, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// The hash that a plan told: anything else is refused
    #[arg(long, value_name = "HASH")]
    expect: Option<String>,
    #[command(flatten)]
    how: How,
}

/// How a configuration is put in force.
#[derive(Debug, Clone, Args)]
pub(super) struct How {
    /// It goes back by itself unless `plimsoll confirm` is called within this time, such as `5m`
    #[arg(long, value_name = "TIME", value_parser = time)]
    confirm: Option<Duration>,
    /// It goes back by itself if failures or latency get worse within this time; wait for that, and exit
    /// with 1 if it does [default of TIME: 1m]
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true,
          default_missing_value = "1m", value_parser = time)]
    guard: Option<Duration>,
    /// Why, for whoever reads the history later
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// Lose what somebody wrote into the file without loading it
    #[arg(long)]
    overwrite: bool,
    /// Only tell whether it would be done
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl How {
    /// As a query has it.
    pub(super) fn query(&self) -> String {
        let mut query = format!(
            "reason={}&overwrite={}&dry_run={}",
            segment(&self.reason),
            u8::from(self.overwrite),
            u8::from(self.dry_run)
        );
        for (name, seconds) in self.probation() {
            query.extend(["&", name, "=", &seconds.to_string()]);
        }
        query
    }

    /// For how many seconds it has to prove itself, by what that is called.
    fn probation(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let times = [("confirm_seconds", self.confirm), ("guard_seconds", self.guard)];
        times.into_iter().filter_map(|(name, lasts)| Some((name, lasts?.as_secs().max(1))))
    }
}

/// Where it is asked, and why.
#[derive(Debug, Clone, Args)]
pub(super) struct ConfirmArgs {
    #[command(flatten)]
    admin: Place,
    /// Why, for whoever reads the events later
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// How the files are read again.
#[derive(Debug, Clone, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    asked: ConfirmArgs,
    /// Only check them
    #[arg(long)]
    dry_run: bool,
}

/// Puts a configuration in force. Gives the exit code: 1 if it went back.
pub(super) fn apply(arguments: &ApplyArgs, out: &mut impl Write) -> io::Result<u8> {
    let ApplyArgs { plan: PlanArgs { admin, json, .. }, expect, how } = arguments;
    let content = read(&arguments.plan)?;
    let plan = admin.send_text(&format!("{CONFIG}/plan"), &content, PATIENCE)?;
    if plan.status != 200 {
        return refused(&plan, *json, out);
    }
    if !*json {
        planned(&plan.body, out)?;
    }
    let expect = expect.as_deref().unwrap_or_else(|| text(&plan.body, "expect"));
    let path = format!("{CONFIG}/update?expect={}&{}", segment(expect), how.query());
    let answer = admin.send_text(&path, &content, PATIENCE)?;
    match answer.status {
        200 if how.dry_run && !*json => writeln!(out, "it would be done").map(|()| 0),
        200 => done(admin, how, answer.body, *json, out),
        _ => refused(&answer, *json, out),
    }
}

/// Puts one of before in force again. Gives the exit code: 1 if it went back.
pub(super) fn rollback(
    to: Option<u64>,
    admin: &Place,
    how: &How,
    as_json: bool,
    out: &mut impl Write,
) -> io::Result<u8> {
    let How { reason, overwrite, .. } = how;
    let mut body = json!({ "to": to, "reason": reason, "overwrite": overwrite });
    for (name, seconds) in how.probation() {
        body[name] = seconds.into();
    }
    let path = format!("{CONFIG}/rollback?dry_run={}", u8::from(how.dry_run));
    let answer = admin.ask("POST", &path, Some(&body), PATIENCE)?;
    match answer.status {
        200 if how.dry_run && !as_json => writeln!(out, "it would be done").map(|()| 0),
        200 => done(admin, how, answer.body, as_json, out),
        _ => refused(&answer, as_json, out),
    }
}

/// Tells what is in force, once it is watched no more. Gives the exit code: 1 if it went back.
pub(super) fn done(
    admin: &Place,
    how: &How,
    mut answer: Value,
    as_json: bool,
    out: &mut impl Write,
) -> io::Result<u8> {
    if !as_json {
        in_force(&answer, out)?;
        out.flush()?;
    }
    let mut ended = Ended::Well;
    if !how.dry_run && !answer["probation"]["guard_until"].is_null() {
        ended = guarded(admin, answer["revision"].as_u64().unwrap_or(0))?;
        answer["reverted"] = Value::Null;
        match &ended {
            Ended::Well => {}
            Ended::Back(why) => answer["reverted"] = why.clone().into(),
            Ended::Stuck(why) => answer["probation"]["not_reverted"] = why.clone().into(),
        }
    }
    match &ended {
        _ if as_json => writeln!(out, "{answer:#}")?,
        Ended::Well if how.guard.is_none() => {}
        Ended::Well => writeln!(out, "nothing is worse than before")?,
        Ended::Back(why) => writeln!(out, "it went back: {why}")?,
        Ended::Stuck(why) => writeln!(out, "it should have gone back and cannot: {why}")?,
    }
    Ok(if ended == Ended::Well { 0 } else { FAILED })
}

/// Tells what is in force, and until when.
fn in_force(answer: &Value, out: &mut impl Write) -> io::Result<()> {
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

/// How it ended for a revision that was watched.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// It stays.
    Well,
    /// It went back, for this reason.
    Back(String),
    /// It should have, and cannot: why.
    Stuck(String),
}

/// Waits until a revision is not watched any more.
fn guarded(admin: &Place, revision: u64) -> io::Result<Ended> {
    loop {
        let now = admin.get(&format!("{CONFIG}/revisions"))?;
        if now["running"] != revision {
            let later = list(&now["revisions"]).iter().rev();
            let mut later = later.skip_while(|one| one["revision"] != revision).skip(1);
            let why = later.next().map(|one| text(one, "reason").to_owned());
            return Ok(Ended::Back(why.unwrap_or_else(|| "another one is in force".to_owned())));
        }
        let probation = &now["probation"];
        if let Some(why) = probation["not_reverted"].as_str() {
            return Ok(Ended::Stuck(why.to_owned()));
        }
        if probation["guard_until"].is_null() {
            return Ok(Ended::Well);
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

/// Has the files of the configuration read again.
pub(super) fn reload(arguments: &ReloadArgs, out: &mut impl Write) -> io::Result<u8> {
    let ReloadArgs { asked: ConfirmArgs { admin, reason, json: as_json }, dry_run } = arguments;
    let path = format!("{CONFIG}/reload?dry_run={}", u8::from(*dry_run));
    let answer = admin.ask("POST", &path, Some(&json!({ "reason": reason })), PATIENCE)?;
    match answer.status {
        200 if *as_json => writeln!(out, "{:#}", answer.body)?,
        200 if *dry_run => writeln!(out, "it would be done")?,
        200 => writeln!(out, "generation {} is in force", answer.body["generation"])?,
        _ => return refused(&answer, *as_json, out),
    }
    Ok(0)
}
