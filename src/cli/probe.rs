//! `plimsoll probe`: runs a backend's checks once, and shows what was said.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use tokio::net::lookup_host;

use super::operate::{list, text};
use crate::cli::{BAD, FAILED, complain, output_failed, run};
use crate::config;
use crate::config::model::{Check, Probe};
use crate::health::probe::{Talk, Target, probe};
use crate::model::{Address, Found};
use crate::snapshot::build::Offline;
use crate::snapshot::{Backend, Snapshot, Upstream};

/// Which backend is asked.
#[derive(Debug, Clone, Args)]
pub(super) struct ProbeArgs {
    /// The backend: `UPSTREAM/ADDRESS`, or its address or name alone
    backend: String,
    /// The configuration [default: plimsoll.toml, then /etc/plimsoll/plimsoll.toml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// Probes, and writes what came of it; 1 if a check did not find the backend well.
pub(super) fn command(arguments: &ProbeArgs, out: &mut impl io::Write) -> ExitCode {
    let Some(file) = run::file(arguments.config.clone()) else {
        return ExitCode::from(BAD);
    };
    let config = match config::load(&file, &config::process_environment) {
        Ok(loaded) => loaded.config,
        Err(report) => {
            complain(&report);
            return ExitCode::from(BAD);
        }
    };
    let snapshot = Offline::new(&config).build(&|_| None);
    let found = found(&snapshot, &arguments.backend);
    if found.is_empty() {
        complain(&format_args!(
            "no backend is called `{}`; write it like `api/10.0.0.1:80`",
            arguments.backend
        ));
        return ExitCode::from(BAD);
    }
    let asked = run::block_on(async {
        let mut asked = Vec::new();
        for (upstream, backend) in found {
            asked.push(ask(upstream, backend).await?);
        }
        Ok(json!({ "backends": asked }))
    });
    let told = asked.and_then(|asked| {
        if arguments.json { writeln!(out, "{asked:#}") } else { tell(&asked, out) }?;
        Ok(asked)
    });
    match told {
        Ok(asked) if list(&asked["backends"]).iter().all(|one| one["well"] == true) => {
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::from(FAILED),
        Err(error) => output_failed(&error),
    }
}

/// The backends of that name.
fn found<'s>(snapshot: &'s Snapshot, named: &str) -> Vec<(&'s Upstream, &'s Backend)> {
    let all = snapshot.upstreams.iter().flat_map(|upstream| {
        upstream.backends.iter().map(move |backend| (&**upstream, &**backend))
    });
    let is_named = |(upstream, backend): &(&Upstream, &Backend)| {
        let bare = named.strip_prefix(&*upstream.name).and_then(|rest| rest.strip_prefix('/'));
        let names = [&*backend.label, &*backend.authority];
        names.contains(&named) || bare.is_some_and(|bare| names.contains(&bare))
    };
    all.filter(is_named).collect()
}

/// Runs the checks of a backend, at each of its addresses.
async fn ask(upstream: &Upstream, backend: &Backend) -> io::Result<Value> {
    let mut asked = Vec::new();
    // Who has none is not looked for either.
    let addresses =
        if upstream.checks().is_empty() { Vec::new() } else { addresses(backend).await? };
    for address in addresses {
        for check in upstream.checks() {
            let target = Target {
                upstream: &upstream.name,
                backend: &backend.label,
                address: &address,
                authority: &backend.authority,
                tls: backend.tls.as_deref(),
            };
            asked.push(ask_once(&target, check).await);
        }
    }
    Ok(json!({
        "upstream": upstream.name,
        "backend": backend.authority,
        "well": asked.iter().all(|one| one["found"] != "down"),
        "checks": asked,
    }))
}

/// Where a backend is: a name is asked for, as the system does.
async fn addresses(backend: &Backend) -> io::Result<Vec<Address>> {
    match &backend.address {
        Address::Ip(address) if address.ip().is_unspecified() => {
            let failed = |error| io::Error::other(format!("{}: {error}", backend.authority));
            let found = lookup_host(&backend.authority).await.map_err(failed)?;
            Ok(found.map(Address::Ip).collect())
        }
        address => Ok(vec![address.clone()]),
    }
}

async fn ask_once(target: &Target<'_>, check: &Check) -> Value {
    let mut told = json!({ "check": check.name, "address": target.address.to_string() });
    if let Probe::Composite(..) = check.probe {
        // Made of the other checks.
        told["found"] = Value::Null;
        return told;
    }
    let mut talk = Talk::kept();
    let began = Instant::now();
    let finding = probe(target, check, &mut talk).await;
    told["took_seconds"] = began.elapsed().as_secs_f64().into();
    told["found"] = match finding.found {
        Found::Up => "up",
        Found::Degraded => "degraded",
        Found::Standby => "standby",
        Found::Draining => "draining",
        Found::Down => "down",
        Found::Nothing => "nobody there",
    }
    .into();
    told["why"] = finding.why.into();
    told["wants_percent"] = finding.share.into();
    told["talk"] = talk.lines().into();
    told
}

/// What came of it, for people.
fn tell(asked: &Value, out: &mut impl io::Write) -> io::Result<()> {
    for backend in list(&asked["backends"]) {
        let name = format!("{}/{}", text(backend, "upstream"), text(backend, "backend"));
        let checks = list(&backend["checks"]);
        if checks.is_empty() {
            let upstream = text(backend, "upstream");
            writeln!(out, "{name}: has no checks; see `[upstream.{upstream}.check.NAME]`")?;
        }
        for one in checks {
            writeln!(out, "{name} at {}, check {}", text(one, "address"), text(one, "check"))?;
            let Some(found) = one["found"].as_str() else {
                writeln!(out, "  made of the other checks: not asked")?;
                continue;
            };
            for line in list(&one["talk"]) {
                writeln!(out, "  {}", line.as_str().unwrap_or_default())?;
            }
            let took = Duration::from_secs_f64(one["took_seconds"].as_f64().unwrap_or(0.0));
            writeln!(out, "  {found}, {took:.1?}: {}", text(one, "why"))?;
            if let Some(share) = one["wants_percent"].as_u64() {
                writeln!(out, "  wants {share} % of its weight")?;
            }
        }
    }
    Ok(())
}
