//! What an attempt says of its backend.

use std::time::Duration;

use crate::model::{Clock, Event, Outcome, Tick};
use crate::proxy::attempt::{Ended, Progress};
use crate::proxy::choice::Choice;
use crate::proxy::passage::Passage;
use crate::proxy::vars::Attempt;

impl Passage<'_> {
    /// Writes the attempt into the books of its backend, and reports what crosses a threshold.
    pub(super) fn judge(&self, choice: Choice, ended: &Ended) {
        let upstream = &self.local.upstream;
        let (record, live) = (&ended.record, &upstream.live[choice.ix.index()]);
        let took = record.duration.unwrap_or_default();
        let cell = self.local.cell(choice.ix, self.at.worker.ix);
        cell.attempt(record.outcome, took);
        // A kept connection that turns out dead says nothing about the backend; nor does a client
        // that left or waits no longer, another backend that was faster, or our own want of descriptors.
        let no_verdict = ended.is_stale() || ended.progress.own || record.outcome.says_nothing();
        if no_verdict {
            cell.unjudged();
            let unanswered = record.outcome.says_nothing() && record.first_byte.is_none();
            if unanswered {
                cell.waited_in_vain(took);
            }
            if unanswered && record.outcome == Outcome::Cancelled {
                // It would have taken at least as long; what is fast shows by its own answers.
                live.observe_at_least(took, Clock::tick(ended.at.into_std()));
            }
            // It decided nothing: the next request is to. But after one that waited in vain each next one might,
            // and others are there to answer them: control offers another trial in time.
            if choice.trial && !ended.progress.decided && !unanswered {
                live.offer_trial();
            }
            return;
        }
        let now = Clock::tick(ended.at.into_std());
        if upstream.nginx.failures {
            return self.tally(choice, record, now);
        }
        let listed =
            record.status.is_some_and(|status| upstream.passive.statuses.contains(&status));
        // A status for which another backend was asked is only a failure if it is listed as one.
        let failed = listed || (record.outcome.is_failure() && record.outcome != Outcome::Status);
        if choice.trial && !ended.progress.decided {
            let backend = upstream.backends[choice.ix.index()].id;
            self.at.worker.report(Event::TrialEnded { backend, ok: !failed, at: now });
        }
        if choice.tries {
            upstream.series.worker(self.at.worker.ix).tried(failed);
        }
        if !failed {
            if let Some(took) = self.measured(record) {
                live.observe(took, now);
            }
            return;
        }
        cell.failed();
        live.observe_failure(took, now);
        let backend = &upstream.backends[choice.ix.index()];
        let limits = backend.limits;
        if live.record_failure(now, limits.fail_timeout, limits.max_fails) {
            self.at.worker.report(Event::FailuresCrossed { backend: backend.id, at: now });
        }
    }

    /// How long the backend took, as far as that counts.
    fn measured(&self, record: &Attempt) -> Option<Duration> {
        let whole = record.duration.filter(|_| self.local.upstream.measures_whole);
        record.first_byte.map(|first_byte| whole.unwrap_or(first_byte))
    }

    /// The same as nginx counts: a status only when another backend is asked because of it, and a
    /// response that broke off as a success.
    fn tally(&self, choice: Choice, record: &Attempt, now: Tick) {
        let upstream = &self.local.upstream;
        let live = &upstream.live[choice.ix.index()];
        let failed = match record.outcome {
            Outcome::Ok | Outcome::Truncated | Outcome::ClientGone | Outcome::Cancelled => false,
            Outcome::Status => !matches!(record.status, Some(403 | 404)),
            _ => true,
        };
        match self.measured(record) {
            _ if failed => live.observe_failure(record.duration.unwrap_or_default(), now),
            Some(took) => live.observe(took, now),
            None => {}
        }
        if !upstream.tallies {
            return;
        }
        if !failed {
            return live.tally_success();
        }
        let backend = &upstream.backends[choice.ix.index()];
        if live.tally_failure(&backend.limits, backend.weight, now) {
            let (upstream, backend) = (&upstream.name, &backend.label);
            tracing::warn!(upstream, backend, "backend failed, and is left out for a while");
        }
    }

    /// The backend switched protocols, which is all that a trial asks of it: the tunnel may last for
    /// days, and its end says nothing.
    pub(super) fn switched(&self, choice: Choice, progress: &mut Progress) {
        if choice.trial {
            progress.decided = true;
            let backend = self.local.upstream.backends[choice.ix.index()].id;
            self.at.worker.report(Event::TrialEnded { backend, ok: true, at: Clock::now() });
        }
    }
}
