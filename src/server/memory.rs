//! How much memory the process has in RAM, looked at where that is limited.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crate::proxy::Memory;
use crate::snapshot::Reader;
use crate::telemetry::Registry;

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
        if limit.is_some() {
            tokio::time::sleep(INTERVAL).await;
        } else if !reader.changed().await {
            // No news any more, and so no limit.
            std::future::pending::<()>().await;
        }
    }
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
