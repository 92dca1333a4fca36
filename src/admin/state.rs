//! What the endpoints work with.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Semaphore, watch};

use super::access::Access;
use super::audit::Denied;
use super::rate::Rates;
use super::recorded::Answered;
use super::{Phase, State};
use crate::control::Handle;
use crate::snapshot::Reader;
use crate::telemetry::Registry;

/// Clients that follow events at once.
const FOLLOWERS: usize = 16;

/// What was given, and what is kept beside it.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) reader: Reader,
    pub(super) control: Handle,
    pub(super) registry: Arc<Registry>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) started: Instant,
    pub(super) access: Arc<Access>,
    /// Answers to requests that may come again.
    pub(super) answered: Arc<Answered>,
    /// What was denied of late.
    pub(super) denied: Arc<Denied>,
    /// How often each may ask.
    pub(super) rates: Arc<Rates>,
    /// Seats for who follows events.
    pub(super) followers: Arc<Semaphore>,
}

impl From<State> for Shared {
    fn from(state: State) -> Self {
        let State { reader, control, registry, phase, started, access } = state;
        let (answered, denied) = (Arc::default(), Arc::default());
        let followers = Arc::new(Semaphore::new(FOLLOWERS));
        let rates = Arc::new(Rates::new(access.max_rate));
        Self {
            reader,
            control,
            registry,
            phase,
            started,
            access,
            answered,
            denied,
            rates,
            followers,
        }
    }
}
