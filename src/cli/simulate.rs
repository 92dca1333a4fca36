//! `plimsoll simulate`: load and faults in virtual time.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::balance::Strategy;
use crate::cli::{BAD, complain, written};
use crate::config::{self, Config};
use crate::simulate::{Figures, Load, Scenario, plot, recorded, scenarios, simulate};

/// What is simulated.
#[derive(Debug, Clone, Args)]
pub(super) struct SimulateArgs {
    /// Scenarios by name [default: all of them; `list` tells what they are]
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// Strategies to compare; may be repeated [default: that of the configuration, else all]
    #[arg(long, value_name = "NAME")]
    strategy: Vec<String>,
    /// A configuration whose upstream is simulated, with its weights, time-outs, retries and ejection
    #[arg(short, long, value_name = "FILE", requires = "upstream")]
    config: Option<PathBuf>,
    /// Which upstream of the configuration
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
    /// An access log in JSON, whose requests come in place of made-up ones
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Another number gives another course of chance
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,
    /// Where a picture is drawn of the 99th percentile over time; of one scenario
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Tell it as one JSON document
    #[arg(long)]
    json: bool,
}

/// The figures of a scenario by strategy.
type Runs = Vec<(String, Figures)>;

/// Simulates, and writes the figures.
pub(super) fn command(arguments: &SimulateArgs, out: &mut impl Write) -> ExitCode {
    if arguments.scenarios.iter().any(|name| name == "list") {
        let mut text = String::new();
        for scenario in scenarios() {
            let _ = writeln!(text, "{:<14} {}", scenario.name, scenario.what);
        }
        return written(out.write_all(text.as_bytes()));
    }
    let text = match told(arguments) {
        Ok(text) => text,
        Err(error) => {
            complain(&error);
            return ExitCode::from(BAD);
        }
    };
    written(out.write_all(text.as_bytes()))
}

fn told(arguments: &SimulateArgs) -> Result<String, String> {
    let chosen = chosen(&arguments.scenarios)?;
    if arguments.svg.is_some() && chosen.len() != 1 {
        return Err("a picture shows one scenario: name it".to_owned());
    }
    let load = match &arguments.log {
        Some(file) => log(file, arguments.upstream.as_deref())?,
        None => Load::MadeUp,
    };
    let mut documents = Vec::new();
    let mut text = String::new();
    for scenario in &chosen {
        let runs = runs(arguments, scenario, &load)?;
        if let Some(file) = &arguments.svg {
            let title = format!("{}: {}", scenario.name, scenario.what);
            let picture = plot(&title, &runs)?;
            std::fs::write(file, picture).map_err(|e| format!("{}: {e}", file.display()))?;
        }
        if arguments.json {
            documents.push(document(scenario, &runs));
        } else {
            table(&mut text, scenario, &runs);
        }
    }
    if arguments.json {
        return Ok(format!("{:#}\n", Value::from(documents)));
    }
    Ok(text)
}

fn chosen(names: &[String]) -> Result<Vec<Scenario>, String> {
    if names.is_empty() {
        return Ok(scenarios());
    }
    let find = |name: &String| {
        let found = scenarios().into_iter().find(|one| one.name == *name);
        found.ok_or_else(|| {
            let all: Vec<_> = scenarios().iter().map(|one| one.name).collect();
            format!("no scenario is called `{name}`; there are: {}", all.join(", "))
        })
    };
    names.iter().map(find).collect()
}

fn log(file: &Path, upstream: Option<&str>) -> Result<Load, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let arrivals = recorded(&text, upstream);
    if arrivals.is_empty() {
        return Err(format!(
            "{}: no request in it; it has to be written with `access_log.format = \"json\"`",
            file.display()
        ));
    }
    Ok(Load::Recorded(arrivals))
}

fn runs(arguments: &SimulateArgs, scenario: &Scenario, load: &Load) -> Result<Runs, String> {
    let (config, name) = match &arguments.config {
        Some(file) => (read(file)?, arguments.upstream.as_deref().unwrap_or_default()),
        None => (made_up(scenario.backends)?, "simulated"),
    };
    let strategies: Vec<Option<Strategy>> = match &arguments.strategy[..] {
        [] if arguments.config.is_some() => vec![None],
        [] => Strategy::ALL.into_iter().map(Some).collect(),
        names => names.iter().map(|name| strategy(name).map(Some)).collect::<Result<_, _>>()?,
    };
    let run = |strategy: Option<Strategy>| {
        let mut config = config.clone();
        if let Some(strategy) = strategy
            && let Some(upstream) = config.upstreams.get_mut(name)
        {
            upstream.strategy = strategy;
        }
        let figures = simulate(&config, name, scenario, load, arguments.seed);
        let used = config.upstreams.get(name).map_or("", |upstream| upstream.strategy.name());
        figures.map(|figures| (used.to_owned(), figures)).map_err(|unfit| unfit.to_string())
    };
    strategies.into_iter().map(run).collect()
}

fn strategy(name: &str) -> Result<Strategy, String> {
    Strategy::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| {
        let all: Vec<_> = Strategy::ALL.iter().map(|one| one.name()).collect();
        format!("no strategy is called `{name}`; there are: {}", all.join(", "))
    })
}

fn read(file: &Path) -> Result<Config, String> {
    let loaded = config::load(file, &config::process_environment);
    loaded.map(|loaded| loaded.config).map_err(|report| report.render(io::stderr().is_terminal()))
}

/// An upstream of so many equal backends.
fn made_up(backends: usize) -> Result<Config, String> {
    let mut text = "[[listener]]\naddress = \"127.0.0.1:8080\"\n\n[[route]]\nupstream = \
                    \"simulated\"\n\n[upstream.simulated]\n"
        .to_owned();
    for n in 0..backends {
        let _ = write!(text, "\n[[upstream.simulated.backend]]\naddress = \"192.0.2.{n}:80\"\n");
    }
    let parsed = config::parse("simulated.toml", &text, &|_| None);
    parsed.map(|loaded| loaded.config).map_err(|report| report.to_string())
}

fn table(text: &mut String, scenario: &Scenario, runs: &Runs) {
    let _ = writeln!(text, "{}: {}", scenario.name, scenario.what);
    let _ = writeln!(
        text,
        "  {:<22}{:>9}{:>9}{:>10}{:>10}{:>9}{:>9}{:>9}{:>10}{:>10}",
        "STRATEGY",
        "REQUESTS",
        "FAILED",
        "P50",
        "P99",
        "P99.9",
        "RETRIES",
        "PARKED",
        "NOTICED",
        "MOST/FAIR",
    );
    for (name, figures) in runs {
        let quantile = |part| short(figures.quantile(part));
        let noticed = figures.noticed.map_or_else(|| "-".to_owned(), short);
        let _ = writeln!(
            text,
            "  {name:<22}{:>9}{:>9}{:>10}{:>10}{:>9}{:>9}{:>9}{:>10}{:>10.2}",
            figures.requests,
            figures.failed,
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            figures.retries,
            figures.parked,
            noticed,
            figures.unevenness,
        );
    }
    text.push('\n');
}

fn short(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds => format!("{:.1} ms", seconds * 1e3),
    }
}

fn document(scenario: &Scenario, runs: &Runs) -> Value {
    let run = |(name, figures): &(String, Figures)| {
        let ms = |part| figures.quantile(part).as_secs_f64() * 1e3;
        json!({
            "strategy": name, "requests": figures.requests, "failed": figures.failed,
            "p50_ms": ms(0.5), "p99_ms": ms(0.99), "p999_ms": ms(0.999),
            "retries": figures.retries, "hedges": figures.hedges, "shed": figures.shed,
            "waited": figures.waited, "parked": figures.parked, "ejected": figures.ejected,
            "hung": figures.hung, "down": figures.down, "moves": figures.moves,
            "opened": figures.opened,
            "noticed_seconds": figures.noticed.map(|time| time.as_secs_f64()),
            "most_of_fair_share": figures.unevenness, "attempts": figures.attempts,
        })
    };
    let runs: Vec<_> = runs.iter().map(run).collect();
    json!({ "scenario": scenario.name, "what": scenario.what, "runs": runs })
}
