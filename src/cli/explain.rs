//! `plimsoll explain METHOD URL`: which route would take a request, and which backends. By the file, or by
//! the running process.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::admin::{Address, Credentials, Place};
use crate::cli::{BAD, complain, run, written};
use crate::config;
use crate::config::model::Config;
use crate::model::{AdminState, BackendId, BackendState, PassiveState, ProbedState, Share, Tick};
use crate::proxy::explain::{Wanted, explain};
use crate::snapshot::Snapshot;
use crate::snapshot::build::Offline;

/// A request that nobody sends.
#[derive(Debug, Clone, Args)]
pub(super) struct ExplainArgs {
    /// The method
    method: String,
    /// What is asked for: `https://example.com/path?query`, or a path with `--header "Host: …"`
    url: String,
    /// A field of the request, as `Name: value`; may be repeated
    #[arg(short = 'H', long, value_name = "FIELD")]
    header: Vec<String>,
    /// Who asks
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    client: IpAddr,
    /// The listener's name or address [default: the first one with the URL's port, else with its
    /// scheme]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A backend that is taken for down, as `UPSTREAM/ADDRESS`; may be repeated
    #[arg(long, value_name = "BACKEND")]
    down: Vec<String>,
    /// The configuration [default: plimsoll.toml, then /etc/plimsoll/plimsoll.toml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Ask the running process, where its admin listener is [as in: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["config", "down"])]
    admin: Option<Address>,
    #[command(flatten)]
    credentials: Credentials,
    /// Tell it as one JSON document
    #[arg(long)]
    json: bool,
}

/// Explains a request, and writes what becomes of it.
pub(super) fn command(arguments: &ExplainArgs, out: &mut impl Write) -> ExitCode {
    let explained = match &arguments.admin {
        Some(at) => live(arguments, &Place::at(at.clone(), arguments.credentials.clone()))
            .map_err(|error| error.to_string()),
        None if arguments.credentials.are_given() => {
            Err("--cacert, --cert and --key say how the running process is asked: --admin says where it \
                 is"
            .to_owned())
        }
        None => match offline(arguments) {
            Ok(explained) => explained,
            Err(code) => return code,
        },
    };
    match explained {
        Ok(explained) if arguments.json => written(writeln!(out, "{explained:#}")),
        Ok(explained) => written(out.write_all(lines(arguments, &explained).as_bytes())),
        Err(error) => {
            complain(&error);
            ExitCode::from(BAD)
        }
    }
}

/// Asks the running process.
fn live(arguments: &ExplainArgs, at: &Place) -> io::Result<Value> {
    let asked = json!({
        "method": arguments.method, "url": arguments.url, "headers": arguments.header,
        "client": arguments.client, "listener": arguments.listener,
    });
    at.post("/api/v1/ha/explain", &asked)
}

/// Asks the configuration.
fn offline(arguments: &ExplainArgs) -> Result<Result<Value, String>, ExitCode> {
    let bad = || ExitCode::from(BAD);
    let file = run::file(arguments.config.clone()).ok_or_else(bad)?;
    let loaded = config::load(&file, &config::process_environment).map_err(|report| {
        let _ = writeln!(io::stderr(), "{}", report.render(io::stderr().is_terminal()));
        bad()
    })?;
    let wanted = Wanted {
        method: arguments.method.clone(),
        url: arguments.url.clone(),
        fields: arguments.header.clone(),
        client: arguments.client,
        listener: arguments.listener.clone(),
    };
    let world = world(&loaded.config, &arguments.down);
    Ok(world.and_then(|snapshot| explain(&snapshot, &wanted, Tick(0))))
}

/// What is known of a backend that works.
const WORKING: BackendState = BackendState {
    admin: AdminState::Enabled,
    probed: ProbedState::Up,
    passive: PassiveState::Ok,
    share: Share::WHOLE,
};

/// What is known of one that does not, whether it is probed or not.
const FAILING: BackendState = BackendState {
    probed: ProbedState::Down,
    passive: PassiveState::Parked { until: Tick(u64::MAX) },
    ..WORKING
};

/// The world of a configuration in which everybody works but those who are `down`. Names are not asked
/// for: each stands for one backend.
fn world(config: &Config, down: &[String]) -> Result<Snapshot, String> {
    let config = &with_states(config);
    let mut world = Offline::new(config);
    let all = world.build(&|_| Some(WORKING));
    let mut out = BTreeSet::new();
    for named in down {
        let known = all.upstreams.iter().flat_map(|upstream| {
            let name = &upstream.name;
            upstream.backends.iter().map(move |backend| (name, backend))
        });
        let is_named = |(upstream, label): (&str, &str)| {
            named == label
                || named.strip_prefix(upstream).and_then(|n| n.strip_prefix('/')) == Some(label)
        };
        let ids: Vec<_> = known
            .filter(|(upstream, one)| {
                is_named((upstream, &one.label)) || is_named((upstream, &one.authority))
            })
            .map(|(_, backend)| backend.id.0)
            .collect();
        if ids.is_empty() {
            return Err(format!("no backend is called `{named}`; write it like `api/10.0.0.1:80`"));
        }
        out.extend(ids);
    }
    let states = |id: BackendId| Some(if out.contains(&id.0) { FAILING } else { WORKING });
    Ok(world.build(&states))
}

/// Counted as nginx counts, failures are no state but numbers, which nobody has here.
fn with_states(config: &Config) -> Config {
    let mut config = config.clone();
    for upstream in config.upstreams.values_mut().filter(|one| one.backends.len() > 1) {
        upstream.nginx.failures = false;
    }
    config
}

fn line(text: &mut String, name: &str, what: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "  {name:<10} {what}");
}

/// What is explained, for people.
fn lines(arguments: &ExplainArgs, explained: &Value) -> String {
    let mut text = format!("{} {}\n", arguments.method, arguments.url);
    line(&mut text, "listener", word(&explained["listener"]));
    if let Some(why) = explained["error"].as_str() {
        line(&mut text, "answer", &format!("{}: {why}", explained["status"]));
        return text;
    }
    line(&mut text, "client", word(&explained["client"]));
    line(&mut text, "path", word(&explained["path"]));
    line(&mut text, "route", explained["route"].as_str().unwrap_or("none"));
    line(&mut text, "answer", word(&explained["answer"]));
    let others = list(&explained["others"]);
    if !others.is_empty() {
        text.push_str("\nother routes\n");
        let wide = others.iter().map(|one| word(&one["route"]).chars().count()).max();
        for one in others {
            let (name, why) = (word(&one["route"]), word(&one["why"]));
            let _ = writeln!(text, "  {name:<wide$}  {why}", wide = wide.unwrap_or(0).min(40));
        }
    }
    let upstreams = list(&explained["upstreams"]);
    for choice in upstreams {
        tell_choice(&mut text, choice, upstreams.len() > 1, arguments.admin.is_some());
    }
    text
}

fn tell_choice(text: &mut String, choice: &Value, is_one_of_many: bool, live: bool) {
    let _ = write!(text, "\nupstream {}", word(&choice["upstream"]));
    if is_one_of_many {
        let _ = write!(text, ", {} of requests", percent(&choice["share"]));
    }
    let _ = write!(text, ": {}", word(&choice["strategy"]));
    if let Some(key) = choice["key"].as_str() {
        let _ = write!(text, " of `{key}`");
    }
    text.push('\n');
    let backends = list(&choice["backends"]);
    let wide = backends.iter().map(|one| word(&one["address"]).chars().count()).max().unwrap_or(0);
    for backend in backends {
        let [admin, probed, passive] =
            ["admin", "probed", "passive"].map(|key| word(&backend[key]));
        let standing = match (backend["eligible"] == true, backend["tier"].as_u64()) {
            _ if backend["but"].is_string() => word(&backend["but"]).to_owned(),
            (true, Some(0)) => "serves".to_owned(),
            (true, Some(1)) => "backup".to_owned(),
            (true, tier) => format!("tier {}", tier.unwrap_or_default()),
            (false, _) => format!("out ({admin}, {probed}, {passive})"),
        };
        let _ = write!(
            text,
            "  {:<wide$}  weight {:<4} {:>6}  {standing}",
            word(&backend["address"]),
            backend["weight"].as_u64().unwrap_or_default(),
            percent(&backend["share"]),
        );
        if live {
            let (busy, ms) = (&backend["in_flight"], backend["expected_ms"].as_f64());
            let _ = write!(text, ", {busy} in flight, {:.1} ms", ms.unwrap_or_default());
        }
        text.push('\n');
    }
    if let Some(bound) = choice["bound"].as_str() {
        line(text, "bound", bound);
    }
    let order: Vec<_> = list(&choice["order"]).iter().map(word).collect();
    for one in list(&choice["terms"]) {
        line(text, word(&one["what"]), word(&one["says"]));
    }
    line(text, "asks", &if order.is_empty() { "nobody: 503".into() } else { order.join(", ") });
    text.push_str("\nafter a first attempt with\n");
    for one in list(&choice["retries"]) {
        let _ = writeln!(text, "  {:<28} {}", word(&one["after"]), word(&one["then"]));
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn percent(share: &Value) -> String {
    format!("{:.1} %", share.as_f64().unwrap_or_default() * 100.0)
}
