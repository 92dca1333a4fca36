//! Whether a request is within its route's limits, after nginx's `limit_req` and `limit_conn`.
//!
//! Rates are looked at first, all of them before any is counted, so that a request that is refused
//! by one costs nothing of the others. One that is ahead of its rates waits on its connection's
//! timer until it is due by the slowest. Then it is counted among those under way, until what
//! [`pass`] gives is dropped.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::limit::{Held, Moment, Rate, Rates};
use crate::model::Clock;
use crate::proxy::downstream::Downstream;
use crate::proxy::entrance::Entrance;
use crate::proxy::failure::Failure;
use crate::proxy::vars::{self, Vars, Verdict, Verdicts};
use crate::snapshot::LimitUse;
use crate::snapshot::settings::LimitLog;
use crate::telemetry::Limited;

/// A limit with the hash of the request's key.
struct Judged<'a> {
    terms: &'a LimitUse,
    hash: u64,
}

/// What a request holds of the limits that it passed.
pub(super) type Holds<'a> = Vec<Held<'a>>;

/// Lets a request pass once its limits allow it; tells what became of it by them. It fails if it is
/// refused, or if its client has left while it waited.
pub(super) async fn pass<'a>(
    at: &'a Entrance<'a>,
    limits: &'a [LimitUse],
    vars: &Vars<'_>,
    down: &mut Downstream,
) -> (Verdicts, Result<Holds<'a>, Failure>) {
    let keyed = keyed(limits, vars);
    let mut verdicts = Verdicts::default();
    let passed = match rates(at, &keyed, &mut verdicts.rate) {
        Ok(None) => Ok(()),
        Ok(Some(delay)) => wait(at, down, delay).await,
        Err(failure) => Err(failure),
    };
    let holds = passed.and_then(|()| counts(at, &keyed, &mut verdicts.concurrency));
    (verdicts, holds)
}

/// The limits for which the request has a key.
fn keyed<'a>(limits: &'a [LimitUse], vars: &Vars<'_>) -> Vec<Judged<'a>> {
    let mut key = Vec::new();
    let hash = |terms: &'a LimitUse| {
        key.clear();
        vars::render_raw(&terms.limit.key, vars, &mut key);
        let hash = terms.limit.tallies.hasher.hash_one(key.as_slice());
        (!key.is_empty()).then_some(Judged { terms, hash })
    };
    limits.iter().filter_map(hash).collect()
}

impl<'a> Judged<'a> {
    /// The table and the rate, if it limits how often.
    fn rate(&self) -> Option<(&'a Rates, &'a Rate)> {
        Some((self.terms.limit.tallies.rates.as_deref()?, self.terms.rate.as_ref()?))
    }

    /// Writes down what became of the request; gives the failure if it is refused indeed.
    fn refused(&self, at: &Entrance<'_>, what: &'static str) -> Option<Failure> {
        self.count(at, Limited::Refused);
        tell(self.terms.log_level, self.terms, what);
        (!self.terms.dry_run).then_some(Failure::Limited(self.terms.status))
    }

    fn count(&self, at: &Entrance<'_>, result: Limited) {
        self.terms.limit.series.worker(at.worker.ix).judged(result);
    }
}

/// Judges and counts by rate; gives how long to wait, if at all.
fn rates(
    at: &Entrance<'_>,
    limits: &[Judged<'_>],
    verdict: &mut Option<Verdict>,
) -> Result<Option<Duration>, Failure> {
    let now = Moment::from_millis(Clock::tick(at.whole.into_std()).0 / 1000);
    let mut rated: Vec<_> = limits
        .iter()
        .filter_map(|one| one.rate().map(|(table, rate)| (one, table, rate)))
        .collect();
    let Some(last) = rated.pop() else {
        return Ok(None);
    };
    for (one, table, rate) in &rated {
        if table.look(one.hash, rate, now).is_err() {
            // In a dry run too, nothing is counted of the others, and none is looked at.
            *verdict = Some(Verdict::Rejected { dry: one.terms.dry_run });
            return one.refused(at, "too many requests").map_or(Ok(None), Err);
        }
    }
    let (one, table, rate) = last;
    let Ok(excess) = table.take(one.hash, rate, now, false) else {
        *verdict = Some(Verdict::Rejected { dry: one.terms.dry_run });
        return one.refused(at, "too many requests").map_or(Ok(None), Err);
    };
    let mut slowest = (one, rate.delay(excess));
    for (other, table, rate) in &rated {
        // Looked at before; another worker may have been quicker since, which counts all the same.
        let excess = table.take(other.hash, rate, now, true).unwrap_or_default();
        let delay = rate.delay(excess);
        if delay > slowest.1 {
            slowest = (other, delay);
        }
    }
    for (one, _, _) in rated.iter().chain([&last]) {
        let waits = slowest.1 > 0 && std::ptr::eq(*one, slowest.0);
        one.count(at, if waits { Limited::Delayed } else { Limited::Passed });
    }
    let (one, delay) = slowest;
    if delay == 0 {
        *verdict = Some(Verdict::Passed);
        return Ok(None);
    }
    *verdict = Some(Verdict::Delayed { dry: one.terms.dry_run });
    tell(below(one.terms.log_level), one.terms, "a request waits until it is due");
    Ok((!one.terms.dry_run).then_some(Duration::from_millis(delay)))
}

/// Waits on the connection's timer, for as long as the client does.
async fn wait(at: &Entrance<'_>, down: &mut Downstream, delay: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + delay;
    poll_fn(|cx| {
        down.poll_gone(&at.worker.buffers, cx)?;
        ready!(down.timer.poll(deadline, cx));
        Poll::Ready(Ok(()))
    })
    .await
}

/// Counts the request among those under way.
fn counts<'a>(
    at: &Entrance<'_>,
    limits: &[Judged<'a>],
    verdict: &mut Option<Verdict>,
) -> Result<Holds<'a>, Failure> {
    let mut holds = Vec::new();
    for one in limits {
        let (Some(table), Some(most)) =
            (one.terms.limit.tallies.counts.as_deref(), one.terms.concurrency)
        else {
            continue;
        };
        let Some(held) = table.enter(one.hash, most) else {
            *verdict = Some(Verdict::Rejected { dry: one.terms.dry_run });
            // As nginx has it: what a dry run would refuse is counted nowhere.
            return one.refused(at, "too many requests at once").map_or(Ok(Vec::new()), Err);
        };
        holds.push(held);
        *verdict = Some(Verdict::Passed);
        if one.terms.rate.is_none() {
            one.count(at, Limited::Passed);
        }
    }
    Ok(holds)
}

/// One level below.
fn below(level: LimitLog) -> LimitLog {
    match level {
        LimitLog::Error => LimitLog::Warn,
        LimitLog::Warn => LimitLog::Info,
        LimitLog::Info => LimitLog::Debug,
        LimitLog::Debug | LimitLog::Off => LimitLog::Off,
    }
}

fn tell(level: LimitLog, terms: &LimitUse, what: &'static str) {
    let (limit, dry_run) = (&*terms.limit.name, terms.dry_run);
    match level {
        LimitLog::Off => {}
        LimitLog::Debug => tracing::debug!(limit, dry_run, "{what}"),
        LimitLog::Info => tracing::info!(limit, dry_run, "{what}"),
        LimitLog::Warn => tracing::warn!(limit, dry_run, "{what}"),
        LimitLog::Error => tracing::error!(limit, dry_run, "{what}"),
    }
}
