//! Traces of requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::tls::{BackendTerms, ToBackend};

/// What is traced, and where the spans go.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The collector.
    pub collector: Collector,
    /// Which requests are traced that begin a trace.
    pub sample: Ratio,
    /// Whose trace is gone on with.
    pub parent: Parent,
    /// What is told of this process: names and values, `service.name` among them.
    pub resource: Vec<(String, String)>,
    /// Spans that wait at most.
    pub queue: usize,
}

/// Who takes the spans.
#[derive(Clone)]
pub struct Collector {
    /// As in the URL: host and port, the latter only if it is written.
    pub authority: String,
    /// A name or an address, which has no brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path.
    pub path: String,
    /// How it is met; `None`: without TLS.
    pub tls: Option<(Arc<BackendTerms>, Arc<ToBackend>)>,
    /// Fields of each delivery.
    pub headers: Vec<(String, String)>,
    /// How long one delivery may take.
    pub timeout: Duration,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values of fields stay secret.
        f.debug_struct("Collector")
            .field("authority", &self.authority)
            .field("path", &self.path)
            .field("tls", &self.tls.is_some())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Collector {
    fn eq(&self, other: &Self) -> bool {
        let plain = |one: &Self| {
            (one.authority.clone(), one.path.clone(), one.headers.clone(), one.timeout)
        };
        let terms = |one: &Self| one.tls.as_ref().map(|(terms, _)| Arc::clone(terms));
        plain(self) == plain(other) && terms(self) == terms(other)
    }
}

/// Whose trace is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    /// That of callers whose forwarding headers are believed.
    Trusted,
    /// That of any caller.
    Any,
    /// Nobody's.
    None,
}

/// A part of all traces, by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio(u64);

impl Ratio {
    /// Ids have 63 bits that are looked at, as in OpenTelemetry's `TraceIdRatioBased`.
    const WHOLE: u64 = 1 << 63;

    /// That part, from 0 to 1.
    pub fn of(part: f64) -> Self {
        // A product of 2⁶³ is exact, and what is out of range comes to its end.
        Self(((part * Self::WHOLE as f64) as u64).min(Self::WHOLE))
    }

    /// Whether a trace of that id belongs to it.
    pub fn takes(self, trace: u128) -> bool {
        (trace as u64) >> 1 < self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_and_nothing_are_exact() {
        for trace in [0, 1, u128::from(u64::MAX), u128::MAX] {
            assert!(Ratio::of(1.0).takes(trace));
            assert!(!Ratio::of(0.0).takes(trace));
        }
    }

    /// The bound that the SDK for Go has for a quarter.
    #[test]
    fn the_bound_is_that_of_other_programs() {
        assert!(Ratio::of(0.25).takes(0x3fff_ffff_ffff_ffff));
        assert!(!Ratio::of(0.25).takes(0x4000_0000_0000_0000));
        assert!(Ratio::of(0.25).takes(0xffff_ffff_ffff_ffff_0000_0000_0000_0000));
    }

    proptest! {
        #[test]
        fn a_larger_part_holds_all_of_a_smaller_one(
            trace in any::<u128>(), a in 0.0..=1.0_f64, b in 0.0..=1.0_f64,
        ) {
            prop_assert!(!Ratio::of(a.min(b)).takes(trace) || Ratio::of(a.max(b)).takes(trace));
        }
    }
}
