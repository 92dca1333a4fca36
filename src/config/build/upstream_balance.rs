//! How an upstream picks: the strategy, what it looks at, and who it picks from.

use std::time::Duration;

use super::Build;
use super::template::hostname;
use crate::balance::{Need, Strategy};
use crate::config::model::{Process, Subset, Upstream};
use crate::config::tree::{Key, Table};

/// Most weight on one ring, all backends together: 16 million points.
const LARGEST_RING: u64 = 100_000;

/// Most slots of a table: a prime number.
const LARGEST_TABLE: u32 = 5_000_011;

/// The slots of a table: a prime number, or not all backends come by all of them.
pub(super) fn table_size(b: &mut Build<'_>, table: &Table) -> u32 {
    let size = table.integer("table_size").unwrap_or(65_537);
    if !is_prime(size) {
        let next = (size..=LARGEST_TABLE).find(|n| is_prime(*n)).unwrap_or(LARGEST_TABLE);
        let help = format!("write `table_size = {next}`, the next one");
        b.error(table.place_of("table_size"), format!("{size} is no prime number"), help);
    }
    size
}

fn is_prime(n: u32) -> bool {
    n > 1 && (2..=n.isqrt()).all(|d| !n.is_multiple_of(d))
}

/// The backends that this node uses, if not all.
pub(super) fn subset(b: &mut Build<'_>, table: &Table, process: &Process) -> Option<Subset> {
    let size = table.integer("subset")?;
    if table.table("sticky").is_some() {
        let help = "leave one of the two out";
        let message = "with `subset`, a backend that a client is bound to may not be this node's";
        b.error(table.place_of("subset"), message, help);
    }
    let node = process.node.clone().unwrap_or_else(hostname);
    Some(Subset { size, node })
}

/// How long a backend takes to get its whole weight, where weights can change without moving clients.
pub(super) fn slow_start(b: &mut Build<'_>, table: &Table, strategy: Strategy) -> Option<Duration> {
    let (at, _) = table.written("slow_start")?;
    if !strategy.takes_shares() {
        let message = format!("`{}` knows no part of a weight", strategy.name());
        let help = "leave it out, or use `weighted_round_robin`, `least_connections` or `random`";
        b.error(at, message, help);
    }
    table.duration("slow_start")
}

/// Refuses a ring that would fill the memory: about 1.4 KiB go for each unit of weight.
pub(super) fn check_ring(b: &mut Build<'_>, key: &Key, upstream: &Upstream) {
    let total: u64 = upstream.backends.iter().map(|one| u64::from(one.weight.value())).sum();
    if upstream.strategy == Strategy::ConsistentHash && total > LARGEST_RING {
        let message =
            format!("the weights of `{}` add up to {total}, the most is {LARGEST_RING}", key.name);
        let help = "divide them by a common factor: only their proportions count";
        b.error(key.place, message, help);
    }
}

/// Refuses settings that the strategy does not look at.
pub(super) fn inputs(b: &mut Build<'_>, table: &Table, strategy: Strategy) {
    let of_two = strategy == Strategy::Random && table.integer("choices") == Some(2_u8);
    let by_time = of_two && table.text("compare") == "time";
    let rules = [
        ("key", strategy.needs() == Need::Key, "`url_hash`, `consistent_hash` or `maglev`"),
        ("bounded_load", strategy == Strategy::ConsistentHash, "`consistent_hash`"),
        ("table_size", strategy == Strategy::Maglev, "`maglev`"),
        ("hot_quantile", strategy == Strategy::Prequal, "`prequal`"),
        ("choices", strategy == Strategy::Random, "`random`"),
        ("compare", of_two, "`random` with `choices = 2`"),
        (
            "measure",
            strategy == Strategy::LeastResponseTime || by_time,
            "`least_response_time`, or `random` with `compare = \"time\"`",
        ),
    ];
    for (setting, used, of) in rules {
        if let (Some((at, _)), false) = (table.written(setting), used) {
            let message = format!("`{}` does not use `{setting}`", strategy.name());
            b.error(at, message, format!("leave it out, or use strategy {of}"));
        }
    }
    if table.text("key").is_empty() && table.written("key").is_some() {
        let help = "for example `key = \"${uri}\"`";
        b.error(table.place_of("key"), "an empty key sends all to one backend", help);
    }
}
