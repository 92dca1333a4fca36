//! A worker's mutable place in a plan. It belongs to the worker, not to the snapshot, so a reload or a
//! health change does not send everyone back to the first backend.

use std::sync::Arc;

use crate::model::BackendId;

use super::rng::Rng;

/// Whose turn it is next, for one worker and one tier of an upstream. One kind for all strategies: so a
/// changed strategy finds its place too.
#[derive(Debug, Clone)]
pub struct Cursor {
    /// The backends of the plan it was made for or refitted to, by place.
    pub(super) ids: Arc<[BackendId]>,
    /// The wheel's next position.
    pub(super) turn: u64,
    /// The wheel that `turn` is a position of, by its print.
    pub(super) wheel: u64,
    /// The place that the wheel handed out last.
    pub(super) last: Option<usize>,
    /// Decides where to enter a wheel that has no place like the old one.
    pub(super) luck: Rng,
    /// By place: what each backend is owed in a smooth weighted round robin among sets that change from
    /// pick to pick. Empty where the plan has no need of it.
    pub(super) credits: Vec<i64>,
    /// Room for the places that tie in a pick, so that a pick need not allocate.
    pub(super) tied: Vec<u32>,
    /// All requests in flight when they were last summed up, and for how many picks the sum still does
    /// (bounded loads only).
    pub(super) load: SummedLoad,
    /// From which load on a backend was hot when all were last looked at (`prequal` only).
    pub(super) hot: Hot,
}

/// The load above which a backend is hot, worked out anew only now and then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hot {
    pub(super) above: u32,
    pub(super) picks_left: usize,
}

/// A sum over all backends that is made anew only now and then.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SummedLoad {
    pub(super) sum: u64,
    pub(super) picks_left: usize,
}
