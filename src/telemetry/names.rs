//! Every metric, once: its name, kind, labels and help text.
//!
//! Base units (seconds, bytes), `_total` on counters, histograms instead of averages, one numeric
//! state gauge instead of a series per state, status codes by class, no label that a client could
//! fill. The series of a backend, route or listener leave with it.

use prometheus::proto::MetricType;

/// One metric family.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The full name.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricType,
    /// Label names, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// The help text.
    pub help: &'static str,
}

macro_rules! families {
    ($($ident:ident: $kind:ident $name:literal [$($label:literal),*] = $help:literal;)+) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub const $ident: Family = Family {
                name: $name,
                kind: MetricType::$kind,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// Every family.
        pub const ALL: &[Family] = &[$($ident),+];
    };
}

families! {
    LISTENER_CONNECTIONS_ACTIVE: GAUGE "plimsoll_listener_connections_active" ["listener"]
        = "Client connections that are open.";
    LISTENER_CONNECTIONS: COUNTER "plimsoll_listener_connections_total" ["listener", "result"]
        = "Client connections by what became of them: accepted, or refused over a limit.";
    LISTENER_HANDSHAKES: COUNTER "plimsoll_listener_tls_handshakes_total" ["listener", "result"]
        = "TLS handshakes by how they ended: full, resumed, failed, timed_out.";
    CERTIFICATE_EXPIRY: GAUGE "plimsoll_certificate_expiry_timestamp_seconds"
        ["listener", "certificate"]
        = "Until when a certificate is valid, in seconds since 1970.";
    CERTIFICATE_ORDERS: COUNTER "plimsoll_certificate_orders_total" ["result"]
        = "Certificates ordered of an authority (ACME), by how that ended: ok, failed.";
    REQUESTS: COUNTER "plimsoll_requests_total" ["listener", "route", "code"]
        = "Finished requests by class of status code; route _none when no route took the request.";
    REQUEST_DURATION: HISTOGRAM "plimsoll_request_duration_seconds" ["listener", "route"]
        = "Time from the first byte of a request to the last byte of its response.";
    REQUESTS_IN_FLIGHT: GAUGE "plimsoll_requests_in_flight" ["listener", "route"]
        = "Requests under way.";
    REQUEST_BYTES: COUNTER "plimsoll_request_bytes_total" ["listener", "route"]
        = "Bytes of request bodies received from clients.";
    RESPONSE_BYTES: COUNTER "plimsoll_response_bytes_total" ["listener", "route"]
        = "Bytes of response bodies sent to clients.";
    LIMIT_REQUESTS: COUNTER "plimsoll_limit_requests_total" ["limit", "result"]
        = "Requests judged by a limit: passed, delayed or refused (in a dry run: as they would be).";

    UPSTREAM_ATTEMPTS: COUNTER "plimsoll_upstream_attempts_total" ["upstream", "backend", "outcome"]
        = "Attempts at backends by how they ended.";
    UPSTREAM_ATTEMPT_DURATION: HISTOGRAM "plimsoll_upstream_attempt_duration_seconds" ["upstream"]
        = "Time from the pick of a backend to the end of the attempt.";
    UPSTREAM_CONNECT_DURATION: HISTOGRAM "plimsoll_upstream_connect_duration_seconds" ["upstream"]
        = "Time to open a connection to a backend, successful ones only.";
    UPSTREAM_FIRST_BYTE: HISTOGRAM "plimsoll_upstream_first_byte_seconds" ["upstream"]
        = "Time from the start of an attempt to the response head.";
    UPSTREAM_RETRIES: COUNTER "plimsoll_upstream_retries_total" ["upstream", "reason"]
        = "Further attempts by the outcome that made them necessary.";
    UPSTREAM_RETRIES_DENIED: COUNTER "plimsoll_upstream_retries_denied_total" ["upstream", "reason"]
        = "Failed attempts that were not followed by another one, by what forbade it.";
    UPSTREAM_CROSSINGS: COUNTER "plimsoll_upstream_zone_crossings_total" ["upstream"]
        = "Further attempts that went to another zone or region than the one before.";
    UPSTREAM_NONE_ELIGIBLE: COUNTER "plimsoll_upstream_none_eligible_total" ["upstream"]
        = "Requests for which no backend could be picked.";
    UPSTREAM_FAIL_OPEN: GAUGE "plimsoll_upstream_fail_open" ["upstream"]
        = "1 while no backend is eligible, or too few are, and all are tried all the same.";
    UPSTREAM_FAIL_OPEN_PICKS: COUNTER "plimsoll_upstream_fail_open_picks_total" ["upstream"]
        = "Picks made while the upstream fails open.";
    UPSTREAM_PANIC: GAUGE "plimsoll_upstream_panic" ["upstream"]
        = "1 while so few backends are able to serve that the declared panic is in force.";
    UPSTREAM_TIER_SHARE: GAUGE "plimsoll_upstream_tier_share_ratio" ["upstream", "tier"]
        = "Part of the requests that a tier gets; absent where no failover is declared.";
    UPSTREAM_BREAKER: GAUGE "plimsoll_upstream_breaker_state" ["upstream"]
        = "0 closed, 1 half-open, 2 open; absent without a circuit breaker.";
    UPSTREAM_BREAKER_REFUSED: COUNTER "plimsoll_upstream_breaker_refused_total" ["upstream"]
        = "Requests answered with 503 at once because the circuit breaker was not closed.";
    UPSTREAM_POLICY_EVENTS: COUNTER "plimsoll_upstream_policy_events_total" ["upstream", "event"]
        = "Events of failover groups, circuit breakers and admission control, by kind; absent until one \
           happens.";
    UPSTREAM_HEDGES: COUNTER "plimsoll_upstream_hedges_total" ["upstream", "result"]
        = "Requests that took long, by what became of asking a second backend: it won, it lost, it failed, \
           or it was denied for there were too many.";
    UPSTREAM_SHED: COUNTER "plimsoll_upstream_shed_total" ["upstream", "reason"]
        = "Requests answered with 503 though a backend was there: over the limit that adapts itself \
           (concurrency), because too many fail (admission), or more than those that serve are good for \
           (room).";
    UPSTREAM_CONCURRENCY_LIMIT: GAUGE "plimsoll_upstream_concurrency_limit" ["upstream"]
        = "Requests that may be in flight by a limit that adapts itself; absent without one.";
    UPSTREAM_ROOM: GAUGE "plimsoll_upstream_room_requests_per_second" ["upstream"]
        = "What the backends that serve are good for by their `capacity`; absent where that is not said.";
    UPSTREAM_DEMAND: GAUGE "plimsoll_upstream_demand_requests_per_second" ["upstream"]
        = "Requests that come, of the last 5 s; absent where no `capacity` is said.";
    UPSTREAM_REFUSED: GAUGE "plimsoll_upstream_refused_ratio" ["upstream"]
        = "The part of the requests that admission control refuses; absent without it.";
    UPSTREAM_QUEUE_DEPTH: GAUGE "plimsoll_upstream_queue_depth" ["upstream"]
        = "Requests that wait for a backend.";
    UPSTREAM_QUEUE_WAIT: HISTOGRAM "plimsoll_upstream_queue_wait_seconds" ["upstream"]
        = "Time that requests waited which then got a backend.";
    UPSTREAM_QUEUE_REJECTED: COUNTER "plimsoll_upstream_queue_rejected_total" ["upstream", "reason"]
        = "Requests that waited in vain, or could not wait: full, timeout, client_gone.";
    UPSTREAM_BACKENDS: GAUGE "plimsoll_upstream_backends" ["upstream", "state"]
        = "Backends by state.";

    BACKEND_UP: GAUGE "plimsoll_backend_up" ["upstream", "backend"]
        = "1 when the backend is enabled and nothing speaks against it.";
    BACKEND_STATE: GAUGE "plimsoll_backend_state" ["upstream", "backend"]
        = "0 down, 1 up, 2 checking, 3 draining, 4 parked, 5 disabled, 6 degraded, 7 standby.";
    BACKEND_STATE_CHANGES: COUNTER "plimsoll_backend_state_changes_total"
        ["upstream", "backend", "to", "cause"]
        = "Changes of a backend's state by the new state and the cause; absent until one happens.";
    BACKEND_EJECTIONS: COUNTER "plimsoll_backend_ejections_total"
        ["upstream", "backend", "reason", "result"]
        = "Times a backend stood out by its failures (consecutive, failure_percent, success_rate) or by its \
           silence (hung), by what became of it: parked, dry_run, capped; absent until one does.";
    BACKEND_IN_FLIGHT: GAUGE "plimsoll_backend_in_flight" ["upstream", "backend"]
        = "Attempts under way.";
    BACKEND_MAX_IN_FLIGHT: GAUGE "plimsoll_backend_max_in_flight" ["upstream", "backend"]
        = "Most attempts allowed under way at once; 0 is no limit.";
    BACKEND_WEIGHT: GAUGE "plimsoll_backend_weight_effective" ["upstream", "backend"]
        = "The share of the traffic that the strategy aims at, relative to the other backends.";
    BACKEND_PICKS: COUNTER "plimsoll_backend_picks_total" ["upstream", "backend"]
        = "Times the strategy chose the backend.";

    POOL_CONNECTIONS: GAUGE "plimsoll_pool_connections" ["upstream", "backend", "state"]
        = "Connections kept to a backend.";
    POOL_REUSES: COUNTER "plimsoll_pool_reuses_total" ["upstream"]
        = "Attempts that took an idle connection.";
    POOL_OPENS: COUNTER "plimsoll_pool_opens_total" ["upstream", "result"]
        = "Attempts that opened a connection, by result.";
    POOL_STALE_REPLAYS: COUNTER "plimsoll_pool_stale_replays_total" ["upstream"]
        = "Requests sent again because an idle connection turned out to be closed.";

    BACKEND_SHARE: GAUGE "plimsoll_backend_share_ratio" ["upstream", "backend"]
        = "The part of its weight that is in effect: less than 1 in a slow start, or when its agent says so.";
    HEALTH_CHECK_STATE: GAUGE "plimsoll_health_check_state" ["upstream", "backend", "check"]
        = "The verdict of each check, in the numbers of plimsoll_backend_state.";
    HEALTH_CHECKS: COUNTER "plimsoll_health_checks_total" ["upstream", "backend", "check", "result"]
        = "Probes by check and result.";
    HEALTH_CHECK_DURATION: HISTOGRAM "plimsoll_health_check_duration_seconds" ["upstream"]
        = "Time a probe took.";
    DISCOVERY_UPDATES: COUNTER "plimsoll_discovery_updates_total" ["source", "result"]
        = "Resolutions of backend names by result; a failed one keeps the last good answer.";
    DISCOVERY_LAST_SUCCESS: GAUGE "plimsoll_discovery_last_success_timestamp_seconds" ["source"]
        = "When a backend name was resolved last, in seconds since 1970; absent until one is.";

    CONFIG_RELOADS: COUNTER "plimsoll_config_reloads_total" ["result"]
        = "Configurations that came into force, or that the files held and were refused; changes of backends by \
           hand are none.";
    CONFIG_LAST_RELOAD_SUCCESSFUL: GAUGE "plimsoll_config_last_reload_successful" []
        = "0 from when the configuration in the files is refused until a good one stands there, else 1.";
    CONFIG_LAST_RELOAD_TIMESTAMP: GAUGE "plimsoll_config_last_reload_timestamp_seconds" []
        = "When the configuration in force was loaded, in seconds since 1970.";
    CONFIG_GENERATION: GAUGE "plimsoll_config_generation" []
        = "Number of the first snapshot built from the configuration in force.";
    CONFIG_REVISION: GAUGE "plimsoll_config_revision" []
        = "Number of the revision that the configuration in force is, as `plimsoll config history` has it.";
    CONFIG_ON_PROBATION: GAUGE "plimsoll_config_on_probation" []
        = "1 while the configuration in force goes back by itself unless it proves itself, else 0.";
    CONFIG_NOT_REVERTED: GAUGE "plimsoll_config_not_reverted" []
        = "1 while the configuration in force should go back and cannot, else 0.";
    CONFIG_INFO: GAUGE "plimsoll_config_info" ["hash"]
        = "Always 1; the label is the hash of the configuration in force.";
    EVENTS_DROPPED: COUNTER "plimsoll_events_dropped_total" []
        = "Reports to the control loop that were lost because its queue was full.";
    ACCESS_LOG_DROPPED: COUNTER "plimsoll_access_log_dropped_lines_total" []
        = "Access log lines that were lost because the log could not be written fast enough.";
    SPANS_EXPORTED: COUNTER "plimsoll_spans_exported_total" []
        = "Spans of traces that the collector has taken; absent until there is one.";
    SPANS_DROPPED: COUNTER "plimsoll_spans_dropped_total" ["reason"]
        = "Spans that do not reach the collector: as many wait as may (queue_full), it cannot be reached \
           (unreachable), it refused the delivery (refused), or did not take these spans (rejected).";
    MEMORY_LIMIT: GAUGE "plimsoll_memory_limit_bytes" []
        = "Memory that the process may have in RAM (memory_limit); absent without a limit.";
    MEMORY_REFUSED: COUNTER "plimsoll_memory_refused_total" ["what"]
        = "What was refused for want of memory: request, connection; absent without a limit.";
    BUILD_INFO: GAUGE "plimsoll_build_info" ["version"]
        = "Always 1; the label is the version of the program.";

    PROCESS_CPU: COUNTER "process_cpu_seconds_total" []
        = "CPU time of the process, user and system.";
    PROCESS_RESIDENT: GAUGE "process_resident_memory_bytes" []
        = "Memory of the process that is in RAM.";
    PROCESS_VIRTUAL: GAUGE "process_virtual_memory_bytes" []
        = "Address space of the process.";
    PROCESS_THREADS: GAUGE "process_threads" []
        = "Threads of the process.";
    PROCESS_OPEN_FDS: GAUGE "process_open_fds" []
        = "Open file descriptors.";
    PROCESS_MAX_FDS: GAUGE "process_max_fds" []
        = "Most file descriptors the process may open; absent when there is no limit.";
    PROCESS_START: GAUGE "process_start_time_seconds" []
        = "When the process started, in seconds since 1970.";
}
