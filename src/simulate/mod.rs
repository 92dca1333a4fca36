//! Load and faults in virtual time, against the very code that picks, judges and retries.
//!
//! The clock, the network and the backends are made up; plans, eligibility, parking, outliers,
//! hung backends and retries with their budget are those of the process: [`snapshot`](crate::snapshot),
//! [`balance`](crate::balance), `health::rise`, `health::flap`, `health::warm`, [`policy`](crate::policy),
//! `proxy::retry` and `proxy::budget`. Nothing waits, and the same seed
//! gives the same figures on every machine, so that two strategies or two settings can be compared,
//! and what an upstream does when half of it is lost is known before it happens.
//!
//! A backend is a queue with so many places at which requests are served, each for a time that is
//! drawn from a log-normal distribution; a time-out gives the request up, but the backend works on it
//! all the same, as most do. Where the upstream has checks, the first is played: it fails where requests would.
//! Tiers, the circuit breaker, slow start, damping of flaps, second requests (hedging), limits of how many are in
//! flight, those that adapt themselves too, the line of those who wait (all of one priority) and admission control
//! are decided as the process does. Further checks are left out.

mod backend;
mod figures;
mod guards;
mod keeper;
mod load;
mod plot;
mod run;
mod scenario;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tails;
#[cfg(test)]
mod tests;

pub use figures::{Figures, Second};
pub use load::{Arrival, Load, recorded};
pub use plot::plot;
pub use run::{Unfit, simulate};
pub use scenario::{Change, Effect, Scenario, scenarios};
