//! `plimsoll events`: what happened in a running process, and what happens.

use std::io::{self, Write};

use clap::Args;
use serde_json::Value;

use super::admin::{Place, segment};
use super::operate::{list, text};

/// Which events.
#[derive(Debug, Clone, Args)]
pub(super) struct EventsArgs {
    #[command(flatten)]
    admin: Place,
    /// Go on with those to come
    #[arg(short, long)]
    follow: bool,
    /// Those of this upstream
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// Those of this backend
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Those whose kind begins so, such as `override.`
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// One JSON document a line
    #[arg(long)]
    json: bool,
}

/// Tells what happened, and with `--follow` what happens.
pub(super) fn events(arguments: &EventsArgs, out: &mut impl Write) -> io::Result<bool> {
    let mut last = 0;
    loop {
        let mut query = format!("since={last}");
        let wanted = [
            ("upstream", &arguments.upstream),
            ("backend", &arguments.backend),
            ("kind", &arguments.kind),
        ];
        for (name, value) in wanted {
            if let Some(value) = value {
                query.extend(["&", name, "=", &segment(value)]);
            }
        }
        let path = format!("/api/v1/ha/events?{query}");
        if !arguments.follow {
            let events = arguments.admin.get(&path)?;
            for event in list(&events["events"]) {
                happened(event, arguments.json, out)?;
            }
            return Ok(true);
        }
        // A stream ends after some minutes; the next one goes on where it ended.
        arguments.admin.follow(&format!("{path}&follow=1"), |line| {
            let event: Value = serde_json::from_str(line)?;
            last = event["number"].as_u64().unwrap_or(last);
            happened(&event, arguments.json, out)?;
            out.flush()
        })?;
    }
}

fn happened(event: &Value, as_json: bool, out: &mut impl Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{event}");
    }
    let place = [&event["upstream"], &event["backend"]].map(|part| part.as_str());
    let place: Vec<_> = place.into_iter().flatten().collect();
    let [at, kind, actor, cause] = ["at", "kind", "actor", "cause"].map(|key| text(event, key));
    writeln!(out, "{at}  {kind}  {} (by {actor}): {cause}", place.join("/"))?;
    match event["next"].as_str() {
        Some(next) => writeln!(out, "    then: {next}"),
        None => Ok(()),
    }
}
