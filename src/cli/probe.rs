//! `plimsoll probe`: runs a backend's checks once, and shows what was said.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use tokio::net::lookup_host;

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
    let told = run::block_on(async {
        let mut text = String::new();
        let mut well = true;
        for (upstream, backend) in found {
            well &= ask(upstream, backend, &mut text).await?;
        }
        Ok((text, well))
    });
    match told.and_then(|(text, well)| out.write_all(text.as_bytes()).map(|()| well)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
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

/// Runs the checks of a backend, at each of its addresses. Gives whether all found it well.
async fn ask(upstream: &Upstream, backend: &Backend, text: &mut String) -> io::Result<bool> {
    let name = format!("{}/{}", upstream.name, backend.authority);
    if upstream.checks().is_empty() {
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "{name}: has no checks; see `[upstream.{}.check.NAME]`", upstream.name);
        return Ok(true);
    }
    let mut well = true;
    for address in addresses(backend).await? {
        for check in upstream.checks() {
            let _ = writeln!(text, "{name} at {address}, check {}", check.name);
            let target = Target {
                upstream: &upstream.name,
                backend: &backend.label,
                address: &address,
                authority: &backend.authority,
                tls: backend.tls.as_deref(),
            };
            well &= ask_once(&target, check, text).await;
        }
    }
    Ok(well)
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

async fn ask_once(target: &Target<'_>, check: &Check, text: &mut String) -> bool {
    if let Probe::Composite(..) = check.probe {
        text.push_str("  made of the other checks: not asked\n");
        return true;
    }
    let mut talk = Talk::kept();
    let began = Instant::now();
    let finding = probe(target, check, &mut talk).await;
    let took = began.elapsed();
    for line in talk.lines() {
        let _ = writeln!(text, "  {line}");
    }
    let (word, well) = match finding.found {
        Found::Up => ("up", true),
        Found::Degraded => ("degraded", true),
        Found::Standby => ("standby", true),
        Found::Draining => ("draining", true),
        Found::Down => ("down", false),
        Found::Nothing => ("nobody there", true),
    };
    let _ = writeln!(text, "  {word}, {took:.1?}: {}", finding.why);
    if let Some(share) = finding.share {
        let _ = writeln!(text, "  wants {share} % of its weight");
    }
    well
}
