//! Words that metrics and logs tell things apart by. Each set is a type, so that nothing else is told.

/// Defines sets of words: a type each, whose numbers are places in `ALL`.
macro_rules! labels {
    ($($(#[$doc:meta])* $set:ident { $($(#[$about:meta])* $word:ident = $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $set {
            $($(#[$about])* $word,)*
        }

        impl $set {
            /// Every one, in the order of its number.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$word),*];

            /// The label in metrics and logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $name,)*
                }
            }
        }
    )*};
}

labels! {
    /// Why a failed attempt was not followed by another one.
    RetryDenied {
        /// The policy does not ask for a retry after this outcome.
        NotAsked = "not_asked",
        /// As many attempts as allowed were made.
        Tries = "tries",
        /// The time for attempts is over.
        Timeout = "timeout",
        /// The request may have been acted on, and doing it twice could do harm (RFC 9110 §9.2.2).
        NonIdempotent = "non_idempotent",
        /// The request's body, or its beginning, is no longer there.
        BodyNotKept = "body_not_kept",
        /// Every backend that could be picked was tried.
        NoBackendLeft = "no_backend_left",
        /// Part of a response went to the client.
        ResponseStarted = "response_started",
        /// Too many of the last requests were retries.
        Budget = "budget",
    }

    /// Why a request that would wait for a backend got none.
    QueueRejected {
        /// Too many wait already.
        Full = "full",
        /// Its time was up.
        Timeout = "timeout",
        /// Its client left.
        ClientGone = "client_gone",
    }

    /// Why a request was refused though a backend was there.
    Shed {
        /// As many are in flight as the limit that adapts itself allows.
        Concurrency = "concurrency",
        /// Too many requests fail.
        Admission = "admission",
        /// Those that serve are good for less.
        Room = "room",
    }

    /// What became of a request that took long.
    Hedged {
        /// The second backend answered first.
        Won = "won",
        /// The first backend answered first all the same.
        Lost = "lost",
        /// The second attempt failed.
        Failed = "failed",
        /// Too many of the last requests were second ones.
        Denied = "denied",
    }

    /// Why spans do not reach the collector.
    SpansLost {
        /// As many wait as may.
        QueueFull = "queue_full",
        /// It could not be reached, or had no time, for too long.
        Unreachable = "unreachable",
        /// It refused the delivery.
        Refused = "refused",
        /// It took the delivery, but not these spans.
        Rejected = "rejected",
    }

    /// What changed a backend's state.
    Cause {
        /// The configuration.
        Config = "config",
        /// Probes.
        Probe = "probe",
        /// The outcomes of requests.
        Traffic = "traffic",
        /// The operator, by hand.
        Operator = "operator",
    }

    /// What became of a backend that stood out by its failures.
    Ejected {
        /// It was parked.
        Parked = "parked",
        /// It stays: outliers are only told of.
        DryRun = "dry_run",
        /// It stays: too many are out already.
        Capped = "capped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places_and_names_are_those_of_metrics() {
        for (place, why) in RetryDenied::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, place);
        }
        let names = Shed::ALL.map(Shed::name);
        assert_eq!(names, ["concurrency", "admission", "room"]);
    }
}
