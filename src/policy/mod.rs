//! Who is taken out of service, where traffic goes instead, and when it comes back: pure decisions.
//!
//! Each file is handed facts and the time and says what follows; `control` gathers the facts, acts on
//! the verdicts and tells of them. Nothing here reads a clock, draws a number or knows a socket, so
//! any course of events can be played in a test.
//!
//! | file | decides |
//! |---|---|
//! | `window` | nothing: what was counted of a backend lately |
//! | [`ejection`] | which backends stand out by their failures |
//! | [`usual`] | nothing: how long answers usually take |
//! | [`hung`] | which backends owe answers for longer than is usual |
//! | [`parking`] | what follows when requests to a backend fail |
//! | [`pause`] | how long a backend is out that is taken out again and again |
//! | [`breaker`] | whether requests to an upstream pass at all |
//! | [`removal`] | whether an answer that takes many backends away is believed |
//! | [`admission`] | which part of the requests is refused when too many fail |
//! | [`room`] | which part of the requests is more than those that serve are good for |
//! | [`concurrency`] | how many requests an upstream may have in flight |
//! | [`failover`] | which tier of an upstream serves, and how the load returns |
//! | [`probation`] | whether a configuration that was put in force does harm |
//! | [`spill`] | how much each tier carries when the ones before it are not whole |

pub mod admission;
pub mod breaker;
pub mod concurrency;
pub mod ejection;
pub mod failover;
pub mod hung;
pub mod parking;
pub mod pause;
pub mod probation;
pub mod removal;
pub mod room;
pub mod spill;
pub mod usual;
mod window;

pub use window::{BUCKETS, Counts, Window};
