//! This machine: load, memory, file systems.
//!
//! `/proc` is no disk: to read it never waits. A file system may, one in a network for ever, which is
//! why it is asked on a thread beside.

use std::fs;
use std::thread;

use tokio::sync::Semaphore;

use super::Talk;
use crate::config::model::{NodePart, NodeProbe};
use crate::model::{Finding, Found};

/// Questions about file systems that are not answered yet: more threads than these shall not hang.
static ASKED: Semaphore = Semaphore::const_new(4);

pub(super) async fn ask(probe: &NodeProbe, talk: &mut Talk) -> Result<Finding, String> {
    let (used, what) = match &probe.what {
        NodePart::Load => (load()?, "load per core".to_owned()),
        NodePart::Memory => (memory()?, "memory in use".to_owned()),
        NodePart::Disk(path) => {
            let at = path.clone();
            let turn = ASKED.try_acquire().map_err(|_| "earlier questions are not answered yet")?;
            let asked = tokio::task::spawn_blocking(move || {
                let found = disk(&at);
                drop(turn);
                found
            });
            let asked = asked.await;
            (asked.map_err(|error| error.to_string())??, format!("{path} in use"))
        }
    };
    talk.came(|| format!("{what}: {used:.3}"));
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    let why = |most: f64| format!("{what}: {}, more than {}", percent(used), percent(most));
    Ok(if used > probe.limit {
        Finding::new(Found::Down, why(probe.limit))
    } else if used > probe.warn {
        Finding::new(Found::Degraded, why(probe.warn))
    } else {
        Finding::up(format!("{what}: {}", percent(used)))
    })
}

/// The load of the last minute, per core.
fn load() -> Result<f64, String> {
    let text = read("/proc/loadavg")?;
    let load: f64 = first_number(&text).ok_or("/proc/loadavg has no number")?;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Ok(load / cores as f64)
}

/// The part of the memory that is not available to programs.
fn memory() -> Result<f64, String> {
    let text = read("/proc/meminfo")?;
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        first_number(line?)
    };
    let (all, free) =
        of("MemTotal").zip(of("MemAvailable")).ok_or("/proc/meminfo has no numbers")?;
    Ok(1.0 - free / all)
}

/// The part of a file system that ordinary users cannot write to any more.
fn disk(path: &str) -> Result<f64, String> {
    let found = rustix::fs::statvfs(path).map_err(|error| format!("{path}: {error}"))?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    // As `df` has it: what is kept for root counts on neither side.
    Ok(used as f64 / (used + found.f_bavail).max(1) as f64)
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}
