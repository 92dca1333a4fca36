//! The end-to-end bench: Plimsoll beside Debian's nginx and `HAProxy` on one machine.
//!
//! `cargo bench --bench e2e -- [--quick] [--proxy NAME]… [--save NAME] [CASE]…`
//!
//! The proxy under test runs alone on one core, with one worker; this process, on another core, is
//! both its origins and its clients ([`rig`]). Rounds are interleaved A B C A B C, each with fresh
//! processes, and medians are compared: on a machine whose speed drifts, only figures of the same
//! rounds are comparable. Any response that is not a whole 200 ends the bench with an error.
//! `benches/runs/README.md` says what each column means.

#![allow(clippy::print_stdout, reason = "a command whose output is its result")]

mod cases;
mod load;
mod origin;
mod poll;
mod proc;
mod proxies;
mod report;
mod rig;
mod wire;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use cases::{CASES, Case, Kind};
use load::Pace;
use proc::Usage;
use proxies::{Contender, Proxy, Setup};
use report::{Figures, Report};
use rig::Rig;

/// The bench has one reader for its errors: whoever started it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Measures Plimsoll beside other proxies.
#[derive(Parser)]
#[command(about, long_about = None)]
struct Arguments {
    /// Cases by name; all when none is given.
    #[arg(value_parser = CASES.map(|case| case.name))]
    cases: Vec<String>,
    /// Rounds per case; medians are over these.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// One round per case: to see that all works, not to compare.
    #[arg(long)]
    quick: bool,
    /// What to measure; may be given several times.
    #[arg(long, value_enum, default_values = ["nginx", "haproxy", "plimsoll"])]
    proxy: Vec<Contender>,
    /// Our own program.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_plimsoll"))]
    plimsoll: String,
    /// Our own strategy.
    #[arg(long, default_value = "round_robin")]
    strategy: String,
    /// Requests per second of `open`, instead of half of nginx's peak.
    #[arg(long)]
    rate: Option<f64>,
    /// Core of the proxy.
    #[arg(long, default_value_t = 0)]
    proxy_core: usize,
    /// Core of load and origins.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Writes raw.csv and summary.md to benches/runs/<date>-NAME/.
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match bench(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("e2e: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<()> {
    let mut core = CpuSet::new();
    core.set(arguments.load_core);
    sched_setaffinity(None, &core)
        .map_err(|fault| format!("core {}: {fault}", arguments.load_core))?;
    // Thousands of connections need as many descriptors, here and in the proxies, which inherit it.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;

    let mut report = Report::default();
    let mut rate = arguments.rate;
    let wanted = |case: &&Case| {
        arguments.cases.is_empty() || arguments.cases.iter().any(|name| name == case.name)
    };
    for case in CASES.iter().filter(wanted) {
        let mut rig = Rig::new(case.origins)?;
        if case.kind == Kind::Open && rate.is_none() {
            rate = Some(half_of_nginx(arguments, case, &mut rig)?);
        }
        let mut runs = BTreeMap::<Contender, Vec<Figures>>::new();
        for round in 0..if arguments.quick { 1 } else { arguments.rounds } {
            for contender in contenders(arguments, case) {
                let figures = run(arguments, case, contender, &mut rig, rate).map_err(|fault| {
                    format!("{}, {}, round {}: {fault}", case.name, contender.name(), round + 1)
                })?;
                runs.entry(contender).or_default().push(figures);
            }
        }
        println!("{}", report.add(case, &runs));
    }
    if let Some(rate) = rate {
        println!("open loop at {rate:.0} requests a second");
    }
    if let Some(name) = &arguments.save {
        println!("saved to {}", report.save(name, &arguments.plimsoll, &arguments.proxy)?);
    }
    Ok(())
}

/// Who takes part in a case.
fn contenders(arguments: &Arguments, case: &Case) -> Vec<Contender> {
    let mut contenders = arguments.proxy.clone();
    if case.upload && contenders.contains(&Contender::Nginx) {
        contenders.push(Contender::NginxBigBody);
    }
    // Origins are made to be cheap: they have no memory to look at, and never close.
    if case.kind == Kind::Idle || case.exchange().closes {
        contenders.retain(|contender| *contender != Contender::Direct);
    }
    contenders.sort();
    contenders.dedup();
    contenders
}

/// Half of what nginx does in a closed loop on this machine, now.
fn half_of_nginx(arguments: &Arguments, case: &Case, rig: &mut Rig) -> Result<f64> {
    let mut closed = *case;
    closed.kind = Kind::Closed;
    let figures = run(arguments, &closed, Contender::Nginx, rig, None)?;
    figures.rate.map(|rate| rate / 2.0).ok_or_else(|| "no rate".into())
}

/// One run: a fresh proxy, load on it, and its end.
fn run(
    arguments: &Arguments,
    case: &Case,
    contender: Contender,
    rig: &mut Rig,
    rate: Option<f64>,
) -> Result<Figures> {
    let setup = Setup {
        plimsoll: &arguments.plimsoll,
        strategy: &arguments.strategy,
        core: arguments.proxy_core,
        log: case.log,
    };
    let origins = rig.origins()?;
    let proxy = match contender {
        Contender::Direct => None,
        _ => Some(Proxy::start(contender, &setup, &origins)?),
    };
    let addresses = proxy.as_ref().map_or(origins, |proxy| vec![proxy.address]);
    let figures = match (case.kind, &proxy) {
        (Kind::Idle, Some(proxy)) => {
            let memory = || proxy.memory();
            let idle = rig.idle(&case.exchange(), case.connections, &addresses, memory)?;
            Figures { idle: Some(idle), ..Figures::default() }
        }
        (kind, proxy) => {
            let pace = match (kind, rate) {
                (Kind::Open, Some(rate)) => Pace::Open(rate),
                _ => Pace::Closed,
            };
            let usage = || proxy.as_ref().map_or(Ok(Usage::default()), Proxy::usage);
            let window =
                rig.measure(&case.exchange(), pace, case.connections, &addresses, usage)?;
            if let (true, Some(proxy)) = (case.log, proxy) {
                // The warm-up's lines, a fifth more, leave room for what is still buffered.
                let logged = proxy.logged()?;
                if (logged as u64) < window.requests {
                    return Err(format!("{logged} lines for {} requests", window.requests).into());
                }
            }
            let per_100k = |seconds: f64| Some(seconds / window.requests as f64 * 1e5);
            Figures {
                rate: Some(window.requests as f64 / window.seconds),
                latency: window.latency.map(|micros| Some(micros as f64)),
                cpu: proxy.as_ref().and_then(|_| per_100k(window.proxy.cpu)),
                user: proxy.as_ref().and_then(|_| per_100k(window.proxy.user)),
                memory: match proxy {
                    Some(proxy) => Some(proxy.memory()? as f64 / 1_048_576.0),
                    None => None,
                },
                idle: None,
                load: Some(window.load.cpu / window.seconds),
            }
        }
    };
    drop(proxy);
    rig.clear();
    Ok(figures)
}
