//! Limits as requests meet them.

use std::fmt;
use std::sync::Arc;

use ahash::RandomState;

use crate::limit::{Counts, Rate, Rates};
use crate::snapshot::settings::{LimitLog, Template};
use crate::telemetry::LimitSeries;

/// What is counted of a limit's keys; lives on from snapshot to snapshot.
pub struct Tallies {
    /// By how often.
    pub rates: Option<Arc<Rates>>,
    /// By how often at once.
    pub counts: Option<Arc<Counts>>,
    /// Hashes keys, with a secret seed.
    pub hasher: RandomState,
}

impl fmt::Debug for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed stays secret.
        f.debug_struct("Tallies").finish_non_exhaustive()
    }
}

/// A limit, shared by the routes that use it.
#[derive(Debug)]
pub struct Limit {
    /// The name.
    pub name: String,
    /// What is counted by.
    pub key: Template,
    /// How many keys are remembered.
    pub max_keys: usize,
    /// The counts.
    pub tallies: Tallies,
    /// Its counters.
    pub series: Arc<LimitSeries>,
}

/// A limit as a route uses it.
#[derive(Debug)]
pub struct LimitUse {
    /// The limit.
    pub limit: Arc<Limit>,
    /// How often a key may ask.
    pub rate: Option<Rate>,
    /// How often at once.
    pub concurrency: Option<u32>,
    /// What a refused request is answered with.
    pub status: u16,
    /// Whether nothing is refused or delayed.
    pub dry_run: bool,
    /// At which level a refused request is told.
    pub log_level: LimitLog,
}
