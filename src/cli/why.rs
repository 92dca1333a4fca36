//! `plimsoll why`: asks the running process what it knows of a backend, and tells it as a story.

use std::io::{self, Write};

use serde_json::Value;

use crate::cli::admin::Place;

/// Tells all that is known of `backend`, by its name or as `UPSTREAM/NAME`. `false`: there is none.
///
/// # Errors
/// The admin listener does not answer, or `out` cannot be written to.
pub(super) fn why(at: &Place, backend: &str, out: &mut impl Write) -> io::Result<bool> {
    let list = at.get("/api/v1/ha/load-balancer/backends")?;
    let all = list["backends"].as_array().map(Vec::as_slice).unwrap_or_default();
    let full = |one: &Value| format!("{}/{}", text(one, "upstream"), text(one, "backend"));
    let found: Vec<_> =
        all.iter().filter(|one| text(one, "backend") == backend || full(one) == backend).collect();
    if found.is_empty() {
        writeln!(out, "there is no backend {backend}; there are:")?;
        for one in all {
            writeln!(out, "  {}", full(one))?;
        }
        return Ok(false);
    }
    let events = at.get("/api/v1/ha/events")?;
    let events = events["events"].as_array().map(Vec::as_slice).unwrap_or_default();
    for one in found {
        tell(one, &full(one), events, out)?;
    }
    Ok(true)
}

fn tell(one: &Value, name: &str, events: &[Value], out: &mut impl Write) -> io::Result<()> {
    let picked = if one["eligible"] == true { "may be picked" } else { "is not picked" };
    writeln!(out, "{name} {picked}: {}", text(one, "why"))?;
    let [admin, probed, passive] =
        ["admin_state", "probed_state", "passive_state"].map(|key| text(one, key));
    writeln!(out, "  operator: {admin}, probes: {probed}, traffic: {passive}")?;
    writeln!(out, "  in flight: {}, picks so far: {}", one["in_flight"], one["picks"])?;
    let concerns = |event: &&Value| {
        event["upstream"] == one["upstream"]
            && (event["backend"] == one["backend"] || event["backend"].is_null())
    };
    let mut silent = true;
    for event in events.iter().filter(concerns) {
        silent = false;
        let [at, kind, actor, cause] = ["at", "kind", "actor", "cause"].map(|key| text(event, key));
        writeln!(out, "  {at}  {kind} (by {actor}): {cause}")?;
        if let Some(next) = event["next"].as_str() {
            writeln!(out, "    then: {next}")?;
        }
    }
    if silent {
        writeln!(out, "  nothing has happened to it since the process started")?;
    }
    Ok(())
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}
