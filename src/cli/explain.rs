//! `plimsoll explain METHOD URL`: which route would take a request, and which backends.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::{BAD, complain, run, written};
use crate::config::model::{Config, Listener, Route};
use crate::config::{self, Loaded};
use crate::model::{
    Address, AdminState, BackendId, BackendState, PassiveState, ProbedState, Share, Tick,
};
use crate::proxy::explain::{Choice, Explanation, Question, Refused, explain};
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
    /// Tell it as one JSON document
    #[arg(long)]
    json: bool,
}

/// Explains a request, and writes what becomes of it.
pub(super) fn command(arguments: &ExplainArgs, out: &mut impl Write) -> ExitCode {
    let Some(file) = run::file(arguments.config.clone()) else {
        return ExitCode::from(BAD);
    };
    let loaded = match config::load(&file, &config::process_environment) {
        Ok(loaded) => loaded,
        Err(report) => {
            let _ = writeln!(io::stderr(), "{}", report.render(io::stderr().is_terminal()));
            return ExitCode::from(BAD);
        }
    };
    match answer(arguments, &loaded) {
        Ok(text) => written(out.write_all(text.as_bytes())),
        Err(error) => {
            complain(&error);
            ExitCode::from(BAD)
        }
    }
}

fn answer(arguments: &ExplainArgs, loaded: &Loaded) -> Result<String, String> {
    let asked = Asked::of(arguments)?;
    let config = &loaded.config;
    let (place, listener) = asked.listener(config, arguments.listener.as_deref())?;
    let snapshot = world(config, &arguments.down)?;
    let of_listener =
        |route: &&Route| route.listeners.is_empty() || route.listeners.contains(&listener.name);
    let routes: Vec<&Route> = config.routes.iter().filter(of_listener).collect();
    let question = Question {
        listener: &snapshot.listeners[place],
        routes: &routes,
        head: asked.head.as_bytes(),
        client: arguments.client,
        secured: listener.tls.is_some(),
    };
    let explained = explain(&snapshot, &question);
    if arguments.json {
        return Ok(format!("{:#}\n", document(&listener.name, explained)));
    }
    let mut text = format!("{} {}\n", arguments.method, arguments.url);
    line(&mut text, "listener", &listener.name);
    match explained {
        Ok(explained) => tell(&mut text, &explained),
        Err(Refused { status, why }) => line(&mut text, "answer", &format!("{status}: {why}")),
    }
    Ok(text)
}

/// What was typed.
struct Asked {
    head: String,
    secured: bool,
    port: Option<u16>,
}

impl Asked {
    fn of(arguments: &ExplainArgs) -> Result<Self, String> {
        let (scheme, rest) = match arguments.url.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, &*arguments.url),
        };
        let secured = match scheme {
            Some("https") => true,
            Some("http") | None => false,
            Some(scheme) => {
                return Err(format!("`{scheme}` is not asked for; write http or https"));
            }
        };
        let at = rest
            .find(['/', '?'])
            .filter(|_| scheme.is_some())
            .unwrap_or_else(|| if scheme.is_some() { rest.len() } else { 0 });
        let (authority, target) = rest.split_at(at);
        let slash = if target.starts_with(['/', '*']) { "" } else { "/" };
        let mut head = format!("{} {slash}{target} HTTP/1.1\r\n", arguments.method);
        if !authority.is_empty() {
            let _ = write!(head, "Host: {authority}\r\n");
        }
        for field in &arguments.header {
            if field.contains(['\r', '\n']) || !field.contains(':') {
                return Err(format!("`{field}` is no field; write it like `Accept: text/html`"));
            }
            let _ = write!(head, "{field}\r\n");
        }
        head.push_str("\r\n");
        let digits = authority.rsplit_once(':').map(|(_, port)| port.parse());
        let usual = scheme.map(|_| if secured { 443 } else { 80 });
        Ok(Self { head, secured, port: digits.and_then(Result::ok).or(usual) })
    }

    /// The listener that it comes to, and its place.
    fn listener<'c>(
        &self,
        config: &'c Config,
        named: Option<&str>,
    ) -> Result<(usize, &'c Listener), String> {
        let of_requests = || {
            let all = config.listeners.iter().enumerate();
            all.filter(|(_, listener)| listener.tcp.is_none())
        };
        if let Some(named) = named {
            let is_named = |one: &(usize, &Listener)| {
                one.1.name == named || one.1.address.to_string() == named
            };
            return of_requests().find(is_named).ok_or_else(|| {
                let names = of_requests().map(|(_, one)| one.name.as_str());
                let names = names.collect::<Vec<_>>().join(", ");
                format!("no listener of requests is called `{named}`; there are: {names}")
            });
        }
        let port = |one: &(usize, &Listener)| match &one.1.address {
            Address::Ip(address) => Some(address.port()) == self.port,
            Address::Unix(_) => false,
        };
        let scheme = |one: &(usize, &Listener)| one.1.tls.is_some() == self.secured;
        let found = of_requests().find(port).or_else(|| of_requests().find(scheme));
        found
            .or_else(|| of_requests().next())
            .ok_or_else(|| "no listener reads requests".to_owned())
    }
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

fn tell(text: &mut String, explained: &Explanation) {
    line(text, "client", &explained.client.to_string());
    line(text, "path", &explained.path);
    line(text, "route", explained.route.as_deref().unwrap_or("none"));
    line(text, "answer", &explained.action);
    if !explained.others.is_empty() {
        text.push_str("\nother routes\n");
        let wide = explained.others.iter().map(|(name, _)| name.chars().count()).max();
        for (name, why) in &explained.others {
            let _ = writeln!(text, "  {name:<wide$}  {why}", wide = wide.unwrap_or(0).min(40));
        }
    }
    for choice in &explained.upstreams {
        tell_choice(text, choice, explained.upstreams.len() > 1);
    }
}

fn tell_choice(text: &mut String, choice: &Choice, is_one_of_many: bool) {
    let _ = write!(text, "\nupstream {}", choice.upstream);
    if is_one_of_many {
        let _ = write!(text, ", {} of requests", percent(choice.share));
    }
    let _ = write!(text, ": {}", choice.strategy);
    if let Some(key) = &choice.key {
        let _ = write!(text, " of `{key}`");
    }
    text.push('\n');
    let wide = choice.backends.iter().map(|one| one.label.chars().count()).max().unwrap_or(0);
    for backend in &choice.backends {
        let [admin, probed, passive] = backend.states;
        let standing = match (backend.eligible, backend.tier) {
            (true, 0) => "serves".to_owned(),
            (true, 1) => "backup".to_owned(),
            (true, tier) => format!("tier {tier}"),
            (false, _) => format!("out ({admin}, {probed}, {passive})"),
        };
        let _ = writeln!(
            text,
            "  {:<wide$}  weight {:<4} {:>6}  {standing}",
            backend.label,
            backend.weight,
            percent(backend.share),
        );
    }
    if let Some(bound) = &choice.bound {
        line(text, "bound", bound);
    }
    let order =
        if choice.order.is_empty() { "nobody: 503".into() } else { choice.order.join(", ") };
    line(text, "asks", &order);
    text.push_str("\nafter a first attempt with\n");
    for (way, then) in &choice.retries {
        let _ = writeln!(text, "  {way:<28} {then}");
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn document(listener: &str, explained: Result<Explanation, Refused>) -> Value {
    let explained = match explained {
        Ok(explained) => explained,
        Err(Refused { status, why }) => {
            return json!({ "listener": listener, "status": status, "error": why });
        }
    };
    let others = explained.others.iter().map(|(name, why)| json!({ "route": name, "why": why }));
    let upstreams = explained.upstreams.iter().map(|choice| {
        let backends = choice.backends.iter().map(|one| {
            let [admin, probed, passive] = one.states;
            json!({
                "address": one.label, "weight": one.weight, "backup": one.tier > 0, "tier": one.tier,
                "eligible": one.eligible, "share": one.share,
                "admin": admin, "probed": probed, "passive": passive,
            })
        });
        let retries =
            choice.retries.iter().map(|(way, then)| json!({ "after": way, "then": then }));
        json!({
            "upstream": choice.upstream, "share": choice.share, "strategy": choice.strategy,
            "key": choice.key, "bound": choice.bound, "order": choice.order,
            "backends": backends.collect::<Vec<_>>(), "retries": retries.collect::<Vec<_>>(),
        })
    });
    json!({
        "listener": listener, "client": explained.client.to_string(), "path": explained.path,
        "route": explained.route, "answer": explained.action,
        "others": others.collect::<Vec<_>>(), "upstreams": upstreams.collect::<Vec<_>>(),
    })
}
