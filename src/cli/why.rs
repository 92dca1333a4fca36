//! `plimsoll why`: asks the running process what it knows of a backend, and tells it as a story.

use std::io::{self, Write};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::admin::Place;
use crate::cli::operate::{list, removed, text, told_of_removed};

/// Which backend.
#[derive(Debug, Clone, Args)]
pub(super) struct WhyArgs {
    /// The backend, by its name or as UPSTREAM/NAME
    backend: String,
    #[command(flatten)]
    admin: Place,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Tells all that is known of a backend. `false`: there is none.
///
/// # Errors
/// The admin listener does not answer, or `out` cannot be written to.
pub(super) fn why(arguments: &WhyArgs, out: &mut impl Write) -> io::Result<bool> {
    let WhyArgs { backend, admin: at, json: as_json } = arguments;
    let all = at.get("/api/v1/ha/load-balancer/backends")?;
    let all = list(&all["backends"]);
    let full = |one: &Value| format!("{}/{}", text(one, "upstream"), text(one, "backend"));
    let is = |one: &Value| text(one, "backend") == backend || full(one) == *backend;
    let found: Vec<_> = all.iter().filter(|one| is(one)).collect();
    if found.is_empty() && *as_json {
        return writeln!(out, "{:#}", json!({ "backends": [] })).map(|()| false);
    }
    if found.is_empty()
        && let Some(one) = removed(at)?.iter().find(|one| is(one))
    {
        return writeln!(out, "{}", told_of_removed(one)).map(|()| false);
    }
    if found.is_empty() {
        writeln!(out, "there is no backend {backend}; there are:")?;
        for one in all {
            writeln!(out, "  {}", full(one))?;
        }
        return Ok(false);
    }
    let events = at.get("/api/v1/ha/events")?;
    let found: Vec<_> = found.into_iter().map(|one| (one, happened_to(one, &events))).collect();
    if *as_json {
        let told = found.into_iter().map(|(one, events)| {
            let mut told = one.clone();
            told["events"] = events.into_iter().cloned().collect();
            told
        });
        let told: Vec<_> = told.collect();
        return writeln!(out, "{:#}", json!({ "backends": told })).map(|()| true);
    }
    for (one, events) in found {
        tell(one, &full(one), &events, out)?;
    }
    Ok(true)
}

/// What concerns a backend, or its upstream as a whole.
fn happened_to<'e>(one: &Value, events: &'e Value) -> Vec<&'e Value> {
    let concerns = |event: &&Value| {
        event["upstream"] == one["upstream"]
            && (event["backend"] == one["backend"] || event["backend"].is_null())
    };
    list(&events["events"]).iter().filter(concerns).collect()
}

fn tell(one: &Value, name: &str, events: &[&Value], out: &mut impl Write) -> io::Result<()> {
    let [under_way, most] = ["in_flight", "max_connections"].map(|key| one[key].as_u64());
    let is_full = most > Some(0) && under_way >= most;
    let may_be = one["eligible"] == true && !is_full;
    let picked = if may_be { "may be picked" } else { "is not picked" };
    writeln!(out, "{name} {picked}: {}", text(one, "why"))?;
    let [admin, probed, passive] =
        ["admin_state", "probed_state", "passive_state"].map(|key| text(one, key));
    writeln!(out, "  operator: {admin}, probes: {probed}, traffic: {passive}")?;
    writeln!(out, "  in flight: {}, picks so far: {}", one["in_flight"], one["picks"])?;
    for event in events {
        let [at, kind, actor, cause] = ["at", "kind", "actor", "cause"].map(|key| text(event, key));
        writeln!(out, "  {at}  {kind} (by {actor}): {cause}")?;
        if let Some(next) = event["next"].as_str() {
            writeln!(out, "    then: {next}")?;
        }
    }
    if events.is_empty() {
        writeln!(out, "  nothing has happened to it since the process started")?;
    }
    Ok(())
}
