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
mod frames;
mod link;
mod load;
mod origin;
mod poll;
mod proc;
mod proxies;
mod reloads;
mod report;
mod rig;
mod wire;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use cases::{BACKENDS, CASES, Case, Kind};
use load::Pace;
use proc::Usage;
use proxies::{Contender, Identity, Proxy, Setup, can, version};
use reloads::Reloads;
use report::{Figures, Report};
use rig::{Rig, Window};

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
    /// Our own program; without it, the release build is made and measured.
    #[arg(long)]
    plimsoll: Option<String>,
    /// Another build of it, to be measured beside it.
    #[arg(long, value_name = "PLIMSOLL")]
    other: Option<String>,
    /// Our own strategy.
    #[arg(long, default_value = "round_robin")]
    strategy: String,
    /// Requests per second of the open loops.
    #[arg(long)]
    rate: Option<f64>,
    /// Our own workers.
    #[arg(long, default_value_t = 1)]
    workers: u16,
    /// Core of the proxy, or several as `taskset` takes them.
    #[arg(long, default_value = "0")]
    proxy_core: String,
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

    let plimsoll = arguments.plimsoll.clone().map_or_else(release_build, Ok)?;
    let identity = Identity::new()?;
    let setup = arguments.setup(&plimsoll, &identity);
    let mut report = Report::default();
    let measured = measure_all(arguments, &setup, &mut report);
    // What was measured until something failed is kept.
    if let Some(name) = &arguments.save {
        let mut contenders = arguments.proxy.clone();
        contenders.extend(arguments.other.as_ref().map(|_| Contender::Other));
        let versions = contenders.iter().map(|contender| (*contender, version(*contender, &setup)));
        println!("saved to {}", report.save(name, &versions.collect::<Vec<_>>())?);
    }
    measured
}

/// Runs the cases that are wanted, each contender in turn, and adds them to `report`.
fn measure_all(arguments: &Arguments, setup: &Setup<'_>, report: &mut Report) -> Result<()> {
    let mut half_of_nginx = None;
    let wanted = |case: &&Case| {
        arguments.cases.is_empty() || arguments.cases.iter().any(|name| name == case.name)
    };
    for case in CASES.iter().filter(wanted) {
        let mut rig = Rig::new(case.backends)?;
        let pace = match case.kind {
            Kind::Open(rate) => {
                let rate = arguments.rate.or(rate.map(f64::from)).or(half_of_nginx);
                let rate = match rate {
                    Some(rate) => rate,
                    None => *half_of_nginx.insert(half_of_nginx_peak(case, &mut rig, setup)?),
                };
                println!("{}: {rate:.0} requests a second", case.name);
                Pace::Open(rate)
            }
            Kind::Closed | Kind::Idle => Pace::Closed,
        };
        let mut runs = BTreeMap::<Contender, Vec<Figures>>::new();
        for round in 0..if arguments.quick { 1 } else { arguments.rounds } {
            for contender in contenders(arguments, case) {
                let figures = run(case, pace, contender, &mut rig, setup).map_err(|fault| {
                    format!("{}, {}, round {}: {fault}", case.name, contender.name(), round + 1)
                })?;
                runs.entry(contender).or_default().push(figures);
            }
        }
        println!("{}", report.add(case, &runs));
    }
    Ok(())
}

impl Arguments {
    fn setup<'a>(&'a self, plimsoll: &'a str, identity: &'a Identity) -> Setup<'a> {
        Setup {
            plimsoll,
            other: self.other.as_deref().unwrap_or_default(),
            strategy: &self.strategy,
            workers: self.workers,
            log: false,
            spoken: CASES[0].spoken,
            identity,
            cores: &self.proxy_core,
        }
    }
}

/// The program as it is shipped. The one that cargo builds beside a bench is another: its crates have
/// the features that only tests need, of which tokio's mockable clock costs 3 % of all instructions.
fn release_build() -> Result<String> {
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--locked", "--bin", "plimsoll"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    if !built.success() {
        return Err("the release build failed".into());
    }
    let beside = Path::new(env!("CARGO_BIN_EXE_plimsoll"));
    let target = beside.ancestors().nth(2).ok_or("no target directory")?;
    Ok(target.join("release/plimsoll").display().to_string())
}

/// Who takes part in a case.
fn contenders(arguments: &Arguments, case: &Case) -> Vec<Contender> {
    let mut contenders = arguments.proxy.clone();
    contenders.extend(arguments.other.as_ref().map(|_| Contender::Other));
    if case.reloads {
        contenders.retain(|contender| matches!(contender, Contender::Plimsoll | Contender::Other));
    }
    if case.backends == BACKENDS && contenders.contains(&Contender::Plimsoll) {
        contenders.push(Contender::PlimsollFour);
    }
    if case.upload && contenders.contains(&Contender::Nginx) {
        contenders.push(Contender::NginxBigBody);
    }
    contenders.retain(|contender| can(*contender, case.spoken));
    // Origins are made to be cheap: they have no memory to look at, and never close.
    if case.kind == Kind::Idle || case.exchange().closes {
        contenders.retain(|contender| *contender != Contender::Direct);
    }
    contenders.sort();
    contenders.dedup();
    contenders
}

/// Half of what nginx does in a closed loop on this machine, now.
fn half_of_nginx_peak(case: &Case, rig: &mut Rig, setup: &Setup<'_>) -> Result<f64> {
    let mut closed = *case;
    closed.kind = Kind::Closed;
    let figures = run(&closed, Pace::Closed, Contender::Nginx, rig, setup)?;
    figures.rate.map(|rate| rate / 2.0).ok_or_else(|| "no rate".into())
}

/// One run: a fresh proxy, load on it, and its end.
fn run(
    case: &Case,
    pace: Pace,
    contender: Contender,
    rig: &mut Rig,
    setup: &Setup<'_>,
) -> Result<Figures> {
    let setup = &Setup { log: case.log, spoken: case.spoken, ..*setup };
    let mut origins = rig.origins()?;
    if contender == Contender::PlimsollFour {
        origins.truncate(4);
    }
    let proxy = match contender {
        Contender::Direct => None,
        _ => Some(Proxy::start(contender, setup, &origins)?),
    };
    let figures = match (case.kind, &proxy) {
        (Kind::Idle, Some(proxy)) => {
            let idle = rig.idle(case, &[proxy.address], || proxy.memory())?;
            Figures { idle: Some(idle), ..Figures::default() }
        }
        (_, Some(proxy)) => measure(case, pace, rig, setup, proxy, &origins)?,
        (_, None) => {
            let window = rig.measure(case, pace, &origins, || Ok(Usage::default()), |_| Ok(()))?;
            figures(&window)
        }
    };
    drop(proxy);
    rig.clear();
    Ok(figures)
}

/// Load on a proxy that runs.
fn measure(
    case: &Case,
    pace: Pace,
    rig: &mut Rig,
    setup: &Setup<'_>,
    proxy: &Proxy,
    origins: &[SocketAddr],
) -> Result<Figures> {
    let mut reloads =
        case.reloads.then(|| Reloads::prepare(proxy, setup, origins, case.window)).transpose()?;
    let meanwhile = |elapsed| reloads.as_mut().map_or(Ok(()), |reloads| reloads.turn(elapsed));
    let window = rig.measure(case, pace, &[proxy.address], || proxy.usage(), meanwhile)?;
    reloads.map_or(Ok(()), |reloads| reloads.check())?;
    if case.log {
        // The warm-up's lines, a fifth more, leave room for what is still buffered.
        let logged = proxy.logged()?;
        if (logged as u64) < window.requests {
            return Err(format!("{logged} lines for {} requests", window.requests).into());
        }
    }
    let per_100k = |seconds: f64| Some(seconds / window.requests as f64 * 1e5);
    Ok(Figures {
        cpu: per_100k(window.proxy.cpu),
        user: per_100k(window.proxy.user),
        memory: Some(proxy.memory()? as f64 / 1_048_576.0),
        ..figures(&window)
    })
}

/// What the load itself saw.
fn figures(window: &Window) -> Figures {
    Figures {
        rate: Some(window.requests as f64 / window.seconds),
        latency: window.latency.map(|micros| Some(micros as f64)),
        typical_worst: Some(window.typical_worst as f64),
        load: Some(window.load.cpu / window.seconds),
        ..Figures::default()
    }
}
