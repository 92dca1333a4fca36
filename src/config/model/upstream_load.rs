//! What is done when backends are slow or overrun.

use std::time::Duration;

pub use crate::policy::admission::Rules as Admission;
pub use crate::policy::concurrency::Rules as Adaptive;

/// `[upstream.NAME.hedge]`
#[derive(Debug, Clone, PartialEq)]
pub struct Hedge {
    /// When the second backend is asked; `None`: when `part` says.
    pub after: Option<Duration>,
    /// The part of the response heads, 0 to 1, that come within what is usual.
    pub part: f64,
    /// Most second requests, in percent of the other attempts.
    pub budget: u32,
}
