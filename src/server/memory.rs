//! How much memory the process has in RAM, looked at where that is limited.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::proxy::Memory;
use crate::snapshot::Reader;
use crate::telemetry::Registry;

/// What is asked for and given back so that the allocator looks around: more than it keeps in its small pages.
const PROBE: usize = 8 << 20;
/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looks as long as there is a limit, and waits for one otherwise. Never ends.
pub(super) async fn watch(
    mut reader: Reader,
    memory: Arc<Memory>,
    registry: Arc<Registry>,
) -> Infallible {
    loop {
        let limit = reader.current().memory_limit;
        registry.process().memory_limit(limit);
        match limit.and_then(|_| resident()) {
            Some(resident) => memory.note(resident, limit),
            // What cannot be measured is not limited.
            None => memory.note(0, None),
        }
        if memory.is_tight() {
            let_go();
        }
        if limit.is_some() {
            tokio::time::sleep(INTERVAL).await;
        } else if !reader.changed().await {
            // No news any more, and so no limit.
            std::future::pending::<()>().await;
        }
    }
}

/// Has the allocator give back what has been free for a while. mimalloc does it only when more is freed, and where
/// all work is refused nothing is: memory would be short for ever because it was short once.
fn let_go() {
    // Nothing is written to it, so it takes no memory itself.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(PROBE)));
}

/// Bytes of the process in RAM: `VmRSS` (proc(5)).
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_some_memory() {
        let resident = super::resident().unwrap();
        assert!((1 << 20..1 << 40).contains(&resident), "{resident}");
    }
}
