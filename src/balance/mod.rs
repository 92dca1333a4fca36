//! Pure selection: which backend serves this attempt.
//!
//! Two moments. When configuration or health changes, the snapshot asks [`eligible()`] who may be
//! picked and makes a [`Plan`] per tier: immutable tables in which nobody who is out can be found. When
//! a request comes, the worker asks [`Plan::pick`] with its own [`Cursor`]; that reads the backends'
//! [`Live`] counters, allocates nothing and takes no lock.
//!
//! ```
//! use plimsoll::balance::{Candidate, Key, Lives, Pick, Plan, Rng, Settings, Strategy, Tried};
//! use plimsoll::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};
//!
//! let backend = |n: u32, label, weight| Candidate {
//!     ix: BackendIx(n),
//!     id: BackendId(n.into()),
//!     label,
//!     weight: Weight::try_from(weight).unwrap(),
//!     eligible: true,
//!     max_connections: 0,
//!     failures: None,
//! };
//! let settings =
//!     Settings { strategy: Strategy::WeightedRoundRobin, ..Settings::default() };
//! let backends = [backend(0, "10.0.0.1:80", 5), backend(1, "10.0.0.2:80", 1)];
//! let plan = Plan::build(&settings, &backends);
//!
//! let live = Lives::new(backends.len());
//! let mut rng = Rng::new(7);
//! let mut cursor = plan.cursor(WorkerIx(0), 0);
//! let mut pick = Pick {
//!     key: Key::None,
//!     live: &live,
//!     tried: &Tried::new(),
//!     now: Tick(0),
//!     rng: &mut rng,
//! };
//! assert_eq!(plan.pick(&mut cursor, &mut pick), Some(BackendIx(0)));
//! ```
//!
//! | strategy | cost of a pick | file |
//! |---|---|---|
//! | `round_robin`, `weighted_round_robin` | O(1) | `wheel` |
//! | `least_connections` | O(1) while many are idle, else O(n) | `least_connections` |
//! | `least_response_time` | O(1) up to 8 backends, O(log n) above | `least_response_time` |
//! | `ip_hash` | O(1) | `ip_hash` |
//! | `url_hash` | O(key) | `url_hash` |
//! | `random` | O(log n) | `random` |
//! | `consistent_hash` | O(key) | `consistent_hash` |
//! | `maglev` | O(key) | `maglev` |
//! | `prequal` | 16 counters in the mean, and 5 draws above 8 backends | `prequal` |
//!
//! A backend that was tried or is full costs a further step. A strategy that finds nobody in its own way
//! looks through all of them, O(n), so the last one left is always found.
//!
//! Who of many backends a node uses at all, [`Subset`] says; a pick knows nothing of it.

mod consistent_hash;
mod cursor;
mod draw;
mod eligible;
mod hash;
mod ip_hash;
mod least_connections;
mod least_response_time;
mod live;
mod lives;
mod maglev;
mod plan;
mod prequal;
mod random;
mod rng;
mod roster;
mod round_robin;
mod sessions;
mod shares;
mod strategy;
mod subset;
mod tally;
mod tiers;
mod tried;
mod url_hash;
mod weighted;
mod wheel;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod golden;

pub use cursor::Cursor;
pub use eligible::{Eligibility, Panic, Policy, Standing, eligible, is_able, tiers};
pub use live::{InFlight, Live, OwnedInFlight};
pub use lives::Lives;
pub use plan::{Candidate, Key, Pick, Plan, Settings};
pub use rng::Rng;
pub use sessions::Sessions;
pub use strategy::{Need, Strategy};
pub use subset::Subset;
pub use tally::Limits;
pub use tiers::{Cursors, Tiers};
pub use tried::Tried;
