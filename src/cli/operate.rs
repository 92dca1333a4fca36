//! `plimsoll status`, `backend`, `drain`: a running process, told of, and its backends changed.

use std::io::{self, Write};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::admin::{Place, segment};
use super::table::table;
use crate::config::parse_duration;

pub(super) const BACKENDS: &str = "/api/v1/ha/load-balancer/backends";

/// How it is told.
#[derive(Debug, Clone, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    admin: Place,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// What is done to backends.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Backend {
    /// Tell of every backend: what it is said to be, whether it serves, and why
    List(StatusArgs),
    /// One more backend
    Add {
        /// Its upstream
        upstream: String,
        /// Where it is, as in a configuration: `10.0.0.1:8080`, `name:80`, `unix:/path`
        address: String,
        /// Its weight
        #[arg(long, default_value_t = 1)]
        weight: u32,
        /// Its tier: 0 are the primaries
        #[arg(long, default_value_t = 0)]
        tier: u8,
        /// Requests in flight at most; 0 is no limit
        #[arg(long, default_value_t = 0)]
        max_connections: u32,
        #[command(flatten)]
        how: How,
    },
    /// One backend less
    Remove {
        #[command(flatten)]
        one: One,
        #[command(flatten)]
        drain: Drain,
    },
    /// Another weight
    Weight {
        #[command(flatten)]
        one: One,
        /// The weight, from 1 to 65535
        weight: u32,
        #[command(flatten)]
        lasts: Lasts,
    },
    /// No new requests; those under way finish
    Drain(DrainArgs),
    /// In service
    Enable(Set),
    /// Out of service
    Disable(Set),
    /// In service, whatever probes and traffic say
    Up(Set),
    /// As if its probes had found it down
    Down(Set),
    /// Its checks, at once, as the process runs them; exits with 1 if one of them fails
    Check {
        #[command(flatten)]
        one: One,
    },
    /// As the configuration says: all that was said by hand is taken back, that it was removed too
    Reset {
        #[command(flatten)]
        one: One,
    },
}

/// Which backend, and how it is done.
#[derive(Debug, Clone, Args)]
pub(super) struct One {
    /// The backend, by its name or as UPSTREAM/NAME
    backend: String,
    #[command(flatten)]
    how: How,
}

/// How a change is done.
#[derive(Debug, Clone, Args)]
pub(super) struct How {
    #[command(flatten)]
    admin: Place,
    /// Why, for whoever reads the events later
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
    /// A rule that is known and overruled, such as `keep_one`
    #[arg(long, value_name = "RULE")]
    bypass: Vec<String>,
    /// Only tell whether it would be done
    #[arg(long)]
    dry_run: bool,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// For how long something holds.
#[derive(Debug, Clone, Args)]
pub(super) struct Lasts {
    /// It ends by itself after this time, such as `10m`
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    lasts: Option<Duration>,
}

/// A state that is said of a backend.
#[derive(Debug, Clone, Args)]
pub(super) struct Set {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    lasts: Lasts,
}

/// A drain.
#[derive(Debug, Clone, Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    set: Set,
    #[command(flatten)]
    drain: Drain,
}

/// Whether it is waited for.
#[derive(Debug, Clone, Args)]
pub(super) struct Drain {
    /// Wait until no request is in flight; exit with 1 if that takes too long
    #[arg(long)]
    wait: bool,
    /// How long it is waited for
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    timeout: Duration,
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write it like `30s` or `1h30m`".to_owned())
}

/// Tells of the process as a whole.
pub(super) fn status(arguments: &StatusArgs, out: &mut impl Write) -> io::Result<bool> {
    let status = arguments.admin.get("/api/v1/ha/status")?;
    if arguments.json {
        return writeln!(out, "{status:#}").map(|()| true);
    }
    let uptime = Duration::from_secs(status["uptime_seconds"].as_f64().unwrap_or(0.0) as u64);
    let [version, phase, health, hash] =
        ["version", "phase", "status", "config_hash"].map(|key| text(&status, key));
    let reloads = &status["reloads"];
    let uptime = crate::config::show_duration(uptime);
    writeln!(out, "plimsoll {version}: {phase} for {uptime}, {health}")?;
    writeln!(
        out,
        "generation {}, revision {}, configuration {hash}, reloads: {} good, {} refused",
        status["generation"], status["revision"], reloads["ok"], reloads["refused"]
    )?;
    if reloads["last_successful"] == false {
        writeln!(out, "the last reload was refused: the files hold what is not in force")?;
    }
    super::configure::on_probation(&status["probation"], out)?;
    writeln!(out)?;
    let listeners = list(&status["listeners"]).iter().map(|one| {
        let active = one["connections_active"].to_string();
        vec![text(one, "name").to_owned(), text(one, "address").to_owned(), active]
    });
    table(out, &["LISTENER", "ADDRESS", "CONNECTIONS"], listeners)?;
    writeln!(out)?;
    let rows = list(&status["upstreams"]).iter().map(|one| {
        let optional = |key: &str| one[key].as_str().unwrap_or("-").to_owned();
        let eligible = format!("{} of {}", one["eligible"], one["backends"]);
        let name = text(one, "upstream").to_owned();
        vec![
            name,
            text(one, "status").to_owned(),
            eligible,
            optional("breaker"),
            optional("failover"),
        ]
    });
    table(out, &["UPSTREAM", "STATUS", "SERVE", "BREAKER", "FAILOVER"], rows)?;
    troubles(&arguments.admin, list(&status["upstreams"]), out)?;
    Ok(true)
}

/// Tells why upstreams are not well: of each backend that is not picked there.
fn troubles(admin: &Place, upstreams: &[Value], out: &mut impl Write) -> io::Result<()> {
    /// So many are told of.
    const SHOWN: usize = 10;
    let ill = upstreams.iter().filter(|one| one["status"] != "healthy");
    let ill: Vec<_> = ill.map(|one| &one["upstream"]).collect();
    if ill.is_empty() {
        return Ok(());
    }
    let all = admin.get(BACKENDS)?;
    let idle = list(&all["backends"]).iter().filter(|one| one["eligible"] == false);
    let idle: Vec<_> = idle.filter(|one| ill.contains(&&one["upstream"])).collect();
    writeln!(out)?;
    for one in idle.iter().take(SHOWN) {
        let [upstream, backend, why] = ["upstream", "backend", "why"].map(|key| text(one, key));
        writeln!(out, "{upstream}/{backend} is not picked: {why}")?;
    }
    match idle.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more: see `plimsoll backend list`"),
    }
}

/// Does what is to be done to backends. `false`: it was waited for in vain.
pub(super) fn backend(command: &Backend, out: &mut impl Write) -> io::Result<bool> {
    let state =
        |set: &Set, state: &str| (set.one.clone(), json!({ "state": state }), set.lasts.clone());
    let (one, words, lasts) = match command {
        Backend::List(arguments) => return all(arguments, out),
        Backend::Add { upstream, address, weight, tier, max_connections, how } => {
            let body = json!({
                "upstream": upstream, "address": address, "weight": weight, "tier": tier,
                "max_connections": max_connections, "reason": how.reason,
            });
            let path = format!("{BACKENDS}{}", how.query(None));
            let answer = how.admin.done("POST", &path, Some(&body), Duration::ZERO)?;
            return told(&answer, &format!("{upstream}/{address}"), how, out);
        }
        Backend::Remove { one, drain } => {
            let body = one.how.body(Map::new());
            return change("DELETE", BACKENDS, one, &body, Some(drain), out);
        }
        Backend::Reset { one } => {
            let body = one.how.body(Map::new());
            return change("DELETE", "/api/v1/ha/overrides", one, &body, None, out);
        }
        Backend::Check { one } => return check(one, out),
        Backend::Drain(arguments) => return drain(arguments, out),
        Backend::Weight { one, weight, lasts } => {
            (one.clone(), json!({ "weight": weight }), lasts.clone())
        }
        Backend::Enable(set) => state(set, "enabled"),
        Backend::Disable(set) => state(set, "disabled"),
        Backend::Up(set) => state(set, "forced_up"),
        Backend::Down(set) => state(set, "forced_down"),
    };
    change("PATCH", BACKENDS, &one, &one.how.body(lasts.with(words)), None, out)
}

/// Lets a backend run empty. `false`: it did not in time.
pub(super) fn drain(arguments: &DrainArgs, out: &mut impl Write) -> io::Result<bool> {
    let DrainArgs { set: Set { one, lasts }, drain } = arguments;
    let body = one.how.body(lasts.with(json!({ "state": "draining" })));
    change("PATCH", BACKENDS, one, &body, Some(drain), out)
}

/// Has the checks of a backend run. `false`: one of them failed.
fn check(one: &One, out: &mut impl Write) -> io::Result<bool> {
    /// Checks have their own time; what is behind them is waited for.
    const PATIENCE: Duration = Duration::from_mins(1);
    let One { backend, how } = one;
    let path = format!("/api/v1/ha/health-checks/{}/run{}", segment(backend), how.query(None));
    let answer = how.admin.done("POST", &path, Some(&how.body(Map::new())), PATIENCE)?;
    let mut is_well = true;
    for check in list(&answer["checks"]).iter().filter(|_| !how.dry_run) {
        let (name, last) = (text(check, "name"), &check["last"]);
        is_well &= last["ok"] != false;
        if how.json {
            continue;
        }
        // Those that are made of others are not asked.
        let Some(result) = last["result"].as_str() else { continue };
        let took = Duration::from_secs_f64(last["took_seconds"].as_f64().unwrap_or(0.0));
        let word = if last["ok"] == true { "good" } else { "failed" };
        writeln!(out, "check {name}: {word}, {took:.1?}: {result}")?;
    }
    told(&answer, backend, how, out).map(|_| is_well)
}

impl Lasts {
    /// `words` with their end.
    fn with(&self, words: Value) -> Map<String, Value> {
        let mut words = if let Value::Object(words) = words { words } else { Map::new() };
        if let Some(lasts) = self.lasts {
            words.insert("expires_in_seconds".to_owned(), lasts.as_secs().max(1).into());
        }
        words
    }
}

impl How {
    fn body(&self, mut words: Map<String, Value>) -> Value {
        words.insert("reason".to_owned(), self.reason.clone().into());
        words.insert("bypass".to_owned(), self.bypass.clone().into());
        words.into()
    }

    fn query(&self, drain: Option<&Drain>) -> String {
        let mut parts = Vec::new();
        if self.dry_run {
            parts.push("dry_run=1".to_owned());
        }
        if let Some(drain) = drain.filter(|drain| drain.wait) {
            parts.push(format!("wait=drained&timeout_seconds={}", drain.timeout.as_secs()));
        }
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

fn change(
    method: &str,
    path: &str,
    one: &One,
    body: &Value,
    drain: Option<&Drain>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let path = format!("{path}/{}{}", segment(&one.backend), one.how.query(drain));
    let patience = drain.filter(|drain| drain.wait).map_or(Duration::ZERO, |drain| drain.timeout);
    let answer = one.how.admin.done(method, &path, Some(body), patience)?;
    told(&answer, &one.backend, &one.how, out)
}

/// Tells what was done. `false`: it was waited for in vain.
fn told(answer: &Value, name: &str, how: &How, out: &mut impl Write) -> io::Result<bool> {
    let drained = answer["drained"].as_bool();
    let backend = &answer["backend"];
    if how.json {
        writeln!(out, "{answer:#}")?;
    } else if how.dry_run {
        writeln!(out, "{name}: it would be done")?;
    } else if backend.is_null() {
        writeln!(out, "{name} is not there any more (generation {})", answer["generation"])?;
    } else {
        let picked = if backend["eligible"] == true { "may be picked" } else { "is not picked" };
        let name = format!("{}/{}", text(backend, "upstream"), text(backend, "backend"));
        let (state, why) = (text(backend, "admin_state"), text(backend, "why"));
        let weight = &backend["weight"];
        writeln!(out, "{name}: {state}, weight {weight}, {picked}: {why}")?;
    }
    if !how.json && drained == Some(false) {
        let left = &backend["in_flight"];
        writeln!(out, "requests in flight are left ({left}): it is not empty yet")?;
    }
    Ok(drained != Some(false))
}

fn all(arguments: &StatusArgs, out: &mut impl Write) -> io::Result<bool> {
    let all = arguments.admin.get(BACKENDS)?;
    if arguments.json {
        return writeln!(out, "{all:#}").map(|()| true);
    }
    let rows = list(&all["backends"]).iter().map(|one| {
        let serves = if one["eligible"] == true { "yes" } else { "no" };
        vec![
            format!("{}/{}", text(one, "upstream"), text(one, "backend")),
            text(one, "admin_state").to_owned(),
            serves.to_owned(),
            one["weight"].to_string(),
            one["in_flight"].to_string(),
            one["picks"].to_string(),
            text(one, "why").to_owned(),
        ]
    });
    let heads = ["BACKEND", "STATE", "SERVES", "WEIGHT", "IN FLIGHT", "PICKS", "WHY"];
    table(out, &heads, rows)?;
    for one in &removed(&arguments.admin)? {
        writeln!(out, "{}", told_of_removed(one))?;
    }
    Ok(true)
}

/// Backends of the file that were taken away by hand.
pub(super) fn removed(admin: &Place) -> io::Result<Vec<Value>> {
    Ok(list(&admin.get("/api/v1/ha/overrides")?["removed"]).to_vec())
}

/// Tells of such a backend.
pub(super) fn told_of_removed(one: &Value) -> String {
    let [upstream, backend, actor, since, reason] =
        ["upstream", "backend", "actor", "since", "reason"].map(|key| text(one, key));
    let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    format!(
        "{upstream}/{backend} was removed by {actor} at {since}{why}; `plimsoll backend reset \
         {upstream}/{backend}` brings it back"
    )
}

/// Tells what is wrong with a configuration.
pub(super) fn faults(answer: &Value, out: &mut impl Write) -> io::Result<()> {
    for fault in list(&answer["diagnostics"]) {
        let [severity, file, message, help] =
            ["severity", "file", "message", "help"].map(|key| text(fault, key));
        let (line, column) = (&fault["line"], &fault["column"]);
        writeln!(out, "{severity}: {message}\n  --> {file}:{line}:{column}\n   = {help}")?;
    }
    Ok(())
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
