//! The nouns of Plimsoll: small values that every room may speak of.
//!
//! Nothing here does I/O, reads a clock on its own or knows another room. A type lives here when at
//! least two rooms exchange it; what one room keeps to itself stays in that room.

mod address;
mod event;
mod finding;
mod ids;
mod outcome;
mod state;
mod tick;
mod weight;

pub use address::{Address, UNIX_CLIENT};
pub use event::Event;
pub use finding::{Finding, Found};
pub use ids::{BackendId, BackendIx, Generation, UpstreamId, UpstreamIx, WorkerIx};
pub use outcome::Outcome;
pub use state::{AdminState, BackendState, PassiveState, ProbedState, Share};
pub use tick::{Clock, Tick};
pub use weight::{InvalidWeight, Weight};
