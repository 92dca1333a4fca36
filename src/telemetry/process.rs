//! Series of the process as a whole: its configuration, what it lost, what it uses.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::cell::Count;
use super::labels::SpansLost;
use super::names;
use super::text::Text;
use crate::model::Generation;

/// The process's series. Any thread may write.
#[derive(Debug)]
pub struct ProcessSeries {
    started: SystemTime,
    reloads: Count,
    reloads_refused: Count,
    last_successful: AtomicBool,
    /// Milliseconds since 1970; 0 until a configuration is loaded.
    loaded_at: AtomicU64,
    generation: AtomicU64,
    revision: AtomicU64,
    on_probation: AtomicBool,
    not_reverted: AtomicBool,
    hash: AtomicU64,
    events_dropped: Count,
    certificates_ordered: Count,
    certificates_refused: Count,
    access_log_dropped: Count,
    /// 0 is no limit.
    memory_limit: AtomicU64,
    memory_refused_requests: Count,
    memory_refused_connections: Count,
    resolved: Count,
    resolve_failures: Count,
    held: Count,
    spans_exported: Count,
    spans_lost: [Count; SpansLost::ALL.len()],
    /// Milliseconds since 1970; 0 until a name is resolved.
    resolved_at: AtomicU64,
}

impl ProcessSeries {
    /// To be made once, when the process starts.
    pub(super) fn new() -> Self {
        Self {
            started: SystemTime::now(),
            reloads: Count::default(),
            reloads_refused: Count::default(),
            last_successful: AtomicBool::new(false),
            loaded_at: AtomicU64::new(0),
            generation: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            on_probation: AtomicBool::new(false),
            not_reverted: AtomicBool::new(false),
            hash: AtomicU64::new(0),
            events_dropped: Count::default(),
            certificates_ordered: Count::default(),
            certificates_refused: Count::default(),
            access_log_dropped: Count::default(),
            memory_limit: AtomicU64::new(0),
            memory_refused_requests: Count::default(),
            memory_refused_connections: Count::default(),
            resolved: Count::default(),
            resolve_failures: Count::default(),
            held: Count::default(),
            spans_exported: Count::default(),
            spans_lost: Default::default(),
            resolved_at: AtomicU64::new(0),
        }
    }

    /// A configuration came into force, the first one included: when, in which snapshot, with which hash.
    pub fn reloaded(&self, at: SystemTime, generation: Generation, hash: u64) {
        self.generation.store(generation.0, Relaxed);
        self.hash.store(hash, Relaxed);
        self.loaded_at.store((since_1970(at) * 1000.0) as u64, Relaxed);
        self.reloads.add_shared(1);
    }

    /// The files hold what is in force.
    pub fn files_taken(&self) {
        self.last_successful.store(true, Relaxed);
    }

    /// The configuration in force is this revision; does it have to prove itself, and should it go back and
    /// cannot?
    pub fn revision(&self, number: u64, on_probation: bool, not_reverted: bool) {
        self.revision.store(number, Relaxed);
        self.on_probation.store(on_probation, Relaxed);
        self.not_reverted.store(not_reverted, Relaxed);
    }

    /// What the files hold was refused; the configuration before stays in force.
    pub fn reload_refused(&self) {
        self.last_successful.store(false, Relaxed);
        self.reloads_refused.add_shared(1);
    }

    /// An event for the control loop was lost because its queue was full.
    pub fn event_dropped(&self) {
        self.events_dropped.add_shared(1);
    }

    /// A certificate was ordered of an authority, and came or did not.
    pub fn certificate_ordered(&self, ok: bool) {
        if ok { &self.certificates_ordered } else { &self.certificates_refused }.add_shared(1);
    }

    /// Access log lines were lost.
    pub fn access_log_dropped(&self, lines: u64) {
        self.access_log_dropped.add_shared(lines);
    }

    /// So many bytes may be in RAM; `None` is no limit.
    pub fn memory_limit(&self, limit: Option<u64>) {
        self.memory_limit.store(limit.unwrap_or_default(), Relaxed);
    }

    /// There was no memory for a request.
    pub fn memory_refused_request(&self) {
        self.memory_refused_requests.add_shared(1);
    }

    /// There was no memory for a connection.
    pub fn memory_refused_connection(&self) {
        self.memory_refused_connections.add_shared(1);
    }

    /// A backend name was resolved, or could not be.
    pub fn dns_update(&self, ok: bool) {
        if ok {
            self.resolved.add_shared(1);
            self.resolved_at.store((since_1970(SystemTime::now()) * 1000.0) as u64, Relaxed);
        } else {
            self.resolve_failures.add_shared(1);
        }
    }

    /// A backend name was resolved, and its answer is not believed yet.
    pub fn dns_held(&self) {
        self.held.add_shared(1);
    }

    /// A collector has taken so many spans.
    pub fn spans_exported(&self, spans: u64) {
        self.spans_exported.add_shared(spans);
    }

    /// So many spans do not reach the collector.
    pub fn spans_lost(&self, why: SpansLost, spans: u64) {
        self.spans_lost[why as usize].add_shared(spans);
    }

    /// Configurations that came into force, those of the files that were refused, and whether the files hold
    /// what is in force.
    pub fn reloads(&self) -> (u64, u64, bool) {
        (self.reloads.get(), self.reloads_refused.get(), self.last_successful.load(Relaxed))
    }

    /// Access log lines lost so far.
    pub fn access_log_dropped_lines(&self) -> u64 {
        self.access_log_dropped.get()
    }

    pub(super) fn encode(&self, text: &mut Text) {
        text.family(&names::DISCOVERY_UPDATES, |samples| {
            samples.count(&["dns", "ok"], self.resolved.get());
            samples.count(&["dns", "failed"], self.resolve_failures.get());
            samples.count(&["dns", "held"], self.held.get());
        });
        let resolved_at = self.resolved_at.load(Relaxed);
        if resolved_at > 0 {
            text.family(&names::DISCOVERY_LAST_SUCCESS, |samples| {
                samples.value(&["dns"], resolved_at as f64 / 1000.0);
            });
        }
        let (ordered, refused) = (self.certificates_ordered.get(), self.certificates_refused.get());
        // Who has no authority has no series.
        if ordered + refused > 0 {
            text.family(&names::CERTIFICATE_ORDERS, |samples| {
                samples.count(&["ok"], ordered);
                samples.count(&["failed"], refused);
            });
        }
        text.family(&names::CONFIG_RELOADS, |samples| {
            samples.count(&["ok"], self.reloads.get());
            samples.count(&["refused"], self.reloads_refused.get());
        });
        let successful = u64::from(self.last_successful.load(Relaxed));
        text.single(&names::CONFIG_LAST_RELOAD_SUCCESSFUL, successful as f64);
        let loaded_at = self.loaded_at.load(Relaxed);
        if loaded_at > 0 {
            text.single(&names::CONFIG_LAST_RELOAD_TIMESTAMP, loaded_at as f64 / 1000.0);
            text.single(&names::CONFIG_GENERATION, self.generation.load(Relaxed) as f64);
            text.single(&names::CONFIG_REVISION, self.revision.load(Relaxed) as f64);
            let on_probation = u64::from(self.on_probation.load(Relaxed));
            text.single(&names::CONFIG_ON_PROBATION, on_probation as f64);
            let not_reverted = u64::from(self.not_reverted.load(Relaxed));
            text.single(&names::CONFIG_NOT_REVERTED, not_reverted as f64);
            text.family(&names::CONFIG_INFO, |samples| {
                samples.count(&[&format!("{:016x}", self.hash.load(Relaxed))], 1);
            });
        }
        text.single(&names::EVENTS_DROPPED, self.events_dropped.get() as f64);
        text.single(&names::ACCESS_LOG_DROPPED, self.access_log_dropped.get() as f64);
        self.encode_spans(text);
        let limit = self.memory_limit.load(Relaxed);
        if limit > 0 {
            text.single(&names::MEMORY_LIMIT, limit as f64);
            text.family(&names::MEMORY_REFUSED, |samples| {
                samples.count(&["request"], self.memory_refused_requests.get());
                samples.count(&["connection"], self.memory_refused_connections.get());
            });
        }
        text.family(&names::BUILD_INFO, |samples| {
            samples.count(&[env!("CARGO_PKG_VERSION")], 1);
        });
        self.encode_usage(text);
    }

    fn encode_spans(&self, text: &mut Text) {
        let lost = SpansLost::ALL.map(|why| (why, self.spans_lost[why as usize].get()));
        let exported = self.spans_exported.get();
        // Who traces nothing has no series.
        if exported > 0 || lost.iter().any(|(_, spans)| *spans > 0) {
            text.single(&names::SPANS_EXPORTED, exported as f64);
            text.family(&names::SPANS_DROPPED, |samples| {
                for (why, spans) in lost {
                    samples.count(&[why.name()], spans);
                }
            });
        }
    }

    /// What every Prometheus client library tells of its process, under the usual names. What the
    /// system does not tell is left out.
    fn encode_usage(&self, text: &mut Text) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        text.single(&names::PROCESS_CPU, cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
        if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
            let fields = [
                (names::PROCESS_RESIDENT, "VmRSS:", 1024.0),
                (names::PROCESS_VIRTUAL, "VmSize:", 1024.0),
                (names::PROCESS_THREADS, "Threads:", 1.0),
            ];
            for (family, field, unit) in fields {
                if let Some(value) = status_field(&status, field) {
                    text.single(&family, value * unit);
                }
            }
        }
        if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
            // One of them reads this very directory.
            text.single(&names::PROCESS_OPEN_FDS, descriptors.count().saturating_sub(1) as f64);
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            text.single(&names::PROCESS_MAX_FDS, limit as f64);
        }
        text.single(&names::PROCESS_START, since_1970(self.started));
    }
}

fn since_1970(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The number of a line like `VmRSS:     1234 kB` (proc(5)).
fn status_field(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_field_is_found_by_its_name_and_nothing_else() {
        let status = "VmPeak:\t   9 kB\nVmSize:\t  10 kB\nThreads:\t3\n";
        assert_eq!(status_field(status, "VmSize:"), Some(10.0));
        assert_eq!(status_field(status, "Threads:"), Some(3.0));
        assert_eq!(status_field(status, "VmRSS:"), None);
    }
}
