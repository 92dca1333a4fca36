//! May this attempt be followed by another one? Pure: facts in, decision out.
//!
//! The rules, first match wins:
//! 1. The client is gone, or response bytes went to it: never.
//! 2. The body cannot be sent again (it outgrew the replay buffer): never.
//! 3. A reused connection broke before a byte came back: once more on a fresh connection to the
//!    same backend, if the request is safe to repeat. It says nothing about the backend and uses up
//!    no try (RFC 9112 §9.3.1).
//! 4. Tries or time are used up: never. Where backends stand in several zones, one more try than
//!    there are goes to another zone.
//! 5. No connection was made: on another backend; the request was not seen by anyone. Unless the
//!    policy wants that listed too.
//! 6. Nothing of the request was sent: likewise.
//! 7. The request may have been seen: only if it is idempotent (RFC 9110 §9.2.2) or the policy says
//!    that others may be repeated too, the policy lists this kind of failure, and retries are few
//!    enough beside the other requests (`budget`).

use std::time::Duration;

use crate::model::Outcome;
use crate::snapshot::settings::Retry;
use crate::telemetry::RetryDenied;

/// What is known when an attempt has failed.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by name")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The backend's status, if a head came.
    pub(crate) status: Option<u16>,
    /// Bytes of the request were handed to the kernel for this backend.
    pub(crate) sent: bool,
    /// The connection came from the pool, and broke before a byte came back.
    pub(crate) stale: bool,
    /// Early hints went to the client.
    pub(crate) shown: bool,
    /// The request's method is idempotent.
    pub(crate) idempotent: bool,
    /// Everything of the body that was sent can be sent again.
    pub(crate) replayable: bool,
    /// Attempts so far that count, this one included.
    pub(crate) tries: u32,
    /// There is another zone that the request was not sent to yet.
    pub(crate) elsewhere: bool,
    /// The upstream's retries are few enough for one more.
    pub(crate) within_budget: bool,
    /// Time since the first attempt began.
    pub(crate) elapsed: Duration,
    /// The policy.
    pub(crate) policy: &'a Retry,
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try the same backend again on a fresh connection.
    FreshConnection,
    /// Try another backend.
    AnotherBackend,
    /// No further attempt; the word says why.
    GiveUp(RetryDenied),
}

/// Decides by the rules of the module's doc.
pub(crate) fn decide(facts: &Facts<'_>) -> Decision {
    use Decision::{AnotherBackend, FreshConnection, GiveUp};
    let policy = facts.policy;
    if facts.shown || matches!(facts.outcome, Outcome::ClientGone | Outcome::Truncated) {
        return GiveUp(RetryDenied::ResponseStarted);
    }
    if !facts.replayable {
        return GiveUp(RetryDenied::BodyNotKept);
    }
    let repeatable = !facts.sent || facts.idempotent || policy.non_idempotent;
    if facts.stale && repeatable {
        return FreshConnection;
    }
    if is_last(facts) && !(facts.elsewhere && facts.tries == policy.tries && policy.tries > 1) {
        return GiveUp(RetryDenied::Tries);
    }
    if policy.timeout.is_some_and(|limit| facts.elapsed >= limit) {
        return GiveUp(RetryDenied::Timeout);
    }
    let unseen = matches!(facts.outcome, Outcome::ConnectFailed | Outcome::ConnectTimeout);
    if policy.unsent_always && (unseen || !facts.sent) {
        return AnotherBackend;
    }
    let listed = match facts.outcome {
        Outcome::Reset | Outcome::ConnectFailed => policy.on.reset,
        Outcome::Timeout | Outcome::ConnectTimeout => policy.on.timeout,
        Outcome::InvalidResponse => policy.on.invalid_response,
        _ => facts.status.is_some_and(|status| policy.statuses.contains(&status)),
    };
    match (listed, repeatable) {
        (false, _) => GiveUp(RetryDenied::NotAsked),
        (true, false) => GiveUp(RetryDenied::NonIdempotent),
        (true, true) if facts.sent && !unseen && !facts.within_budget => {
            GiveUp(RetryDenied::Budget)
        }
        (true, true) => AnotherBackend,
    }
}

/// Whether tries are used up, so that what follows goes to another zone or does not happen.
pub(crate) fn is_last(facts: &Facts<'_>) -> bool {
    facts.policy.tries != 0 && facts.tries >= facts.policy.tries
}

/// Whether a method is idempotent (RFC 9110 §9.2.2). Unknown methods are not.
pub(crate) fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// The longest pause before the next attempt after so many: it doubles with each, up to ten times
/// the first.
pub(crate) fn longest_pause(first: Duration, tries: u32) -> Duration {
    const MOST: u32 = 10;
    let doubled = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(MOST);
    first * doubled.min(MOST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::snapshot::settings::RetryOn;
    use Decision::{AnotherBackend, FreshConnection, GiveUp};

    fn policy() -> Retry {
        Retry {
            tries: 3,
            timeout: Some(Duration::from_secs(10)),
            on: RetryOn { reset: true, timeout: true, invalid_response: true },
            unsent_always: true,
            statuses: vec![503],
            non_idempotent: false,
            replay_bytes: 0,
            budget: 20,
            budget_min: 3,
            backoff: None,
        }
    }

    /// The first attempt of a GET that reached its backend.
    fn get(policy: &Retry, outcome: Outcome) -> Facts<'_> {
        Facts {
            outcome,
            status: None,
            sent: true,
            stale: false,
            shown: false,
            idempotent: true,
            replayable: true,
            elsewhere: false,
            within_budget: true,
            tries: 1,
            elapsed: Duration::ZERO,
            policy,
        }
    }

    fn post(policy: &Retry, outcome: Outcome) -> Facts<'_> {
        Facts { idempotent: false, ..get(policy, outcome) }
    }

    #[test]
    fn a_request_that_nobody_saw_goes_elsewhere_whatever_it_is() {
        let mut policy = policy();
        policy.on = RetryOn { reset: false, timeout: false, invalid_response: false };
        for outcome in [Outcome::ConnectFailed, Outcome::ConnectTimeout] {
            assert_eq!(decide(&post(&policy, outcome)), AnotherBackend);
        }
        let unsent = Facts { sent: false, ..post(&policy, Outcome::Reset) };
        assert_eq!(decide(&unsent), AnotherBackend);
    }

    #[test]
    fn what_nobody_saw_stays_too_if_the_policy_wants_it_listed() {
        let mut policy = policy();
        policy.unsent_always = false;
        policy.on.reset = false;
        let at = |outcome| Facts { sent: false, ..post(&policy, outcome) };
        let stays = GiveUp(RetryDenied::NotAsked);
        assert_eq!(decide(&at(Outcome::ConnectFailed)), stays);
        assert_eq!(decide(&at(Outcome::ConnectTimeout)), AnotherBackend);
    }

    #[test]
    fn no_number_of_tries_is_every_backend() {
        let mut policy = policy();
        policy.tries = 0;
        let late = Facts { tries: 900, ..get(&policy, Outcome::Reset) };
        assert_eq!(decide(&late), AnotherBackend);
    }

    #[test]
    fn a_request_that_may_have_been_seen_goes_elsewhere_if_idempotent_and_listed() {
        let listed = policy();
        let mut unlisted = policy();
        unlisted.on = RetryOn { reset: false, timeout: false, invalid_response: false };
        let mut told = policy();
        told.non_idempotent = true;
        for outcome in [Outcome::Reset, Outcome::Timeout, Outcome::InvalidResponse] {
            assert_eq!(decide(&get(&listed, outcome)), AnotherBackend);
            assert_eq!(decide(&post(&listed, outcome)), GiveUp(RetryDenied::NonIdempotent));
            assert_eq!(decide(&post(&told, outcome)), AnotherBackend);
            assert_eq!(decide(&get(&unlisted, outcome)), GiveUp(RetryDenied::NotAsked));
        }
    }

    #[test]
    fn a_status_goes_elsewhere_if_it_is_listed() {
        let policy = policy();
        for (status, decision) in [(503, AnotherBackend), (502, GiveUp(RetryDenied::NotAsked))] {
            let facts = Facts { status: Some(status), ..get(&policy, Outcome::Status) };
            assert_eq!(decide(&facts), decision);
        }
    }

    #[test]
    fn a_dead_connection_costs_no_try_and_no_time() {
        let policy = policy();
        let stale = Facts {
            stale: true,
            tries: 3,
            elapsed: Duration::from_mins(1),
            ..get(&policy, Outcome::Reset)
        };
        assert_eq!(decide(&stale), FreshConnection);
        let post = Facts { idempotent: false, ..stale };
        assert_ne!(decide(&post), FreshConnection);
    }

    #[test]
    fn tries_and_time_are_used_up_exactly() {
        let policy = policy();
        let at = |tries, seconds| Facts {
            tries,
            elapsed: Duration::from_secs(seconds),
            ..get(&policy, Outcome::ConnectFailed)
        };
        assert_eq!(decide(&at(2, 9)), AnotherBackend);
        assert_eq!(decide(&at(3, 9)), GiveUp(RetryDenied::Tries));
        assert_eq!(decide(&at(2, 10)), GiveUp(RetryDenied::Timeout));
    }

    #[test]
    fn one_more_try_than_there_are_goes_to_another_zone() {
        let policy = policy();
        let at = |tries| Facts { elsewhere: true, tries, ..get(&policy, Outcome::Reset) };
        assert_eq!(decide(&at(2)), AnotherBackend);
        assert_eq!(decide(&at(3)), AnotherBackend);
        assert_eq!(decide(&at(4)), GiveUp(RetryDenied::Tries));
        let post = Facts { idempotent: false, ..at(3) };
        assert_eq!(decide(&post), GiveUp(RetryDenied::NonIdempotent));
        let spent = Facts { within_budget: false, ..at(3) };
        assert_eq!(decide(&spent), GiveUp(RetryDenied::Budget));
        let none = Retry { tries: 1, ..policy.clone() };
        let only = Facts { policy: &none, ..at(1) };
        assert_eq!(decide(&only), GiveUp(RetryDenied::Tries), "no retry is none");
    }

    #[test]
    fn when_the_budget_is_used_up_only_what_nobody_saw_goes_elsewhere() {
        let policy = policy();
        let spent = Facts { within_budget: false, ..get(&policy, Outcome::Reset) };
        assert_eq!(decide(&spent), GiveUp(RetryDenied::Budget));
        let status = Facts { outcome: Outcome::Status, status: Some(503), ..spent };
        assert_eq!(decide(&status), GiveUp(RetryDenied::Budget));
        let refused = Facts { outcome: Outcome::ConnectFailed, ..spent };
        assert_eq!(decide(&refused), AnotherBackend);
        assert_eq!(decide(&Facts { sent: false, ..spent }), AnotherBackend);
        assert_eq!(decide(&Facts { stale: true, ..spent }), FreshConnection);
    }

    #[test]
    fn the_methods_that_may_be_repeated_are_those_of_rfc_9110() {
        for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
            assert!(is_idempotent(method.as_bytes()), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "LOCK", "get", "OTHER"] {
            assert!(!is_idempotent(method.as_bytes()), "{method}");
        }
    }

    #[test]
    fn the_longest_pause_doubles_up_to_ten_times_the_first() {
        let first = Duration::from_millis(25);
        let pauses = [1, 2, 3, 4, 5, 40].map(|n| longest_pause(first, n).as_millis());
        assert_eq!(pauses, [25, 50, 100, 200, 250, 250]);
    }

    proptest! {
        #[test]
        fn whatever_else_holds_these_are_never_repeated(
            outcome in proptest::sample::select(Outcome::ALL.to_vec()),
            status in proptest::option::of(400_u16..600),
            (sent, stale, shown) in any::<(bool, bool, bool)>(),
            (idempotent, replayable, non_idempotent) in any::<(bool, bool, bool)>(),
            within_budget in any::<bool>(),
            (tries, seconds) in (1_u32..5, 0_u64..20),
        ) {
            let mut policy = policy();
            policy.non_idempotent = non_idempotent;
            let facts = Facts {
                outcome, status, sent, stale, shown, idempotent, replayable, within_budget, tries,
                elsewhere: false,
                elapsed: Duration::from_secs(seconds),
                policy: &policy,
            };
            let gives_up = matches!(decide(&facts), GiveUp(_));
            let seen = sent && !matches!(outcome, Outcome::ConnectFailed | Outcome::ConnectTimeout);
            prop_assert!(gives_up || !shown);
            prop_assert!(gives_up || replayable);
            prop_assert!(gives_up || !matches!(outcome, Outcome::ClientGone | Outcome::Truncated));
            prop_assert!(gives_up || !seen || idempotent || non_idempotent);
            prop_assert!(gives_up || stale || (tries < 3 && seconds < 10));
            prop_assert!(gives_up || stale || !seen || within_budget);
        }
    }
}
