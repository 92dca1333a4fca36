//! What a process and its children have used, from `/proc`.

use std::fs;

use crate::Result;

/// Processor time used so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Seconds on a core: `schedstat` of every thread, in nanoseconds. A thread that runs at this
    /// moment is behind by at most one tick (4 ms), 0.2 % of a window.
    pub(crate) cpu: f64,
    /// The part of `cpu` in user mode, from `stat`, whose split is sampled at ticks: indicative.
    pub(crate) user: f64,
}

impl Usage {
    /// Of this process.
    pub(crate) fn own() -> Result<Self> {
        Self::of(&[std::process::id()])
    }

    /// Of these processes together. Threads that have ended are not counted: no proxy here ends
    /// threads within a window.
    pub(crate) fn of(processes: &[u32]) -> Result<Self> {
        let mut usage = Self::default();
        for pid in processes {
            for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
                let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
                let nanos = stat.split(' ').next().ok_or("empty schedstat")?.parse::<u64>()?;
                usage.cpu += nanos as f64 / 1e9;
            }
            let ticks = rustix::param::clock_ticks_per_second() as f64;
            usage.user += stat_field(*pid, 14)?.parse::<f64>()? / ticks;
        }
        Ok(usage)
    }

    /// What was used since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, user: self.user - before.user }
    }
}

/// A process and all below it, itself first.
pub(crate) fn family(pid: u32) -> Result<Vec<u32>> {
    let mut family = vec![pid];
    let others: Vec<u32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let mut at = 0;
    while let Some(parent) = family.get(at) {
        let parent = parent.to_string();
        // A process may end while we look: one that cannot be read is not a child.
        let children =
            others.iter().filter(|pid| stat_field(**pid, 4).is_ok_and(|ppid| ppid == parent));
        family.extend(children.copied().collect::<Vec<_>>());
        at += 1;
    }
    Ok(family)
}

/// Resident bytes of these processes, a page that several map shared among them (`Pss`).
pub(crate) fn memory(processes: &[u32]) -> Result<u64> {
    let mut bytes = 0;
    for pid in processes {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let kib = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"))
            .ok_or("no Pss in smaps_rollup")?;
        bytes += kib.parse::<u64>()? * 1024;
    }
    Ok(bytes)
}

/// A field of `/proc/PID/stat` by its number in proc(5), 4 or above.
fn stat_field(pid: u32, number: usize) -> Result<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in brackets and may hold anything.
    let rest = stat.rsplit_once(") ").ok_or("odd stat")?.1;
    Ok(rest.split(' ').nth(number - 3).ok_or("short stat")?.to_owned())
}
