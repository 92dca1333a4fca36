//! Running it: commands, signals, reloads, logs, metrics, and what to look at at three in the morning.
//!
//! # Commands
//!
//! | command | does | exit code |
//! |---|---|---|
//! | `plimsoll run --config FILE` | balances in the foreground; without `--config`: `plimsoll.toml`, then `/etc/plimsoll/plimsoll.toml` | 0 stopped, 1 failed, 2 bad configuration |
//! | `plimsoll check FILE…` | tells everything that is wrong with configurations; `--json` for programs | 0 all good, 2 not |
//! | `plimsoll explain METHOD URL` | tells what would become of a request: its route and why no other, who may serve it and by which share, what follows a failure; `--down BACKEND` takes one for down; with `--admin ADDRESS` the running process tells, by the health and load of the moment; nothing is sent | 0 told, 2 not |
//! | `plimsoll probe UPSTREAM/BACKEND` | runs the checks of a backend once and shows what was sent, what came, and the verdict | 0 well, 1 down, 2 not told |
//! | `plimsoll simulate SCENARIO` | plays load and faults through an upstream in virtual time, by strategy, and tells latencies, failures, retries and who was parked; `--config FILE --upstream NAME` takes one of yours, `--log FILE` the requests of an access log in JSON, `--svg FILE` draws it; `simulate list` tells the scenarios | 0 told, 2 not |
//! | `plimsoll why BACKEND` | tells why a backend of the running process serves or does not: its state, what happened to it, what comes next | 0 told, 1 there is none |
//! | `plimsoll status` | tells how the running process is: phase, configuration, listeners, upstreams | 0 told, 1 not |
//! | `plimsoll top` | shows the running process live: upstreams, backends, states and since when, rates, failures, latencies; `s` sorts, `enter` shows one upstream alone, and on a chosen backend `d` drains, `m` takes out, `u` puts back, `+` and `-` weigh, `r` takes all of that back, each after a question; with `--json`, or where there is no terminal, it is told once | 0 told, 1 not |
//! | `plimsoll backend list` | every backend of the running process: its state, its weight, whether it serves and why | 0 told, 1 not |
//! | `plimsoll backend weight BACKEND NUMBER` | another weight; so `drain`, `enable`, `disable`, `up`, `down`, `add`, `remove`, `reset` for what the file says, and `check` to have its checks run at once; `--for 10m` ends by itself, `--reason TEXT` is told by `why`, `--bypass keep_one` takes the last one out too, `--dry-run` only tells | 0 done, 1 not |
//! | `plimsoll drain BACKEND --wait` | lets a backend run empty and waits for it, for `--timeout` at most | 0 empty, 1 not |
//! | `plimsoll events --follow` | what happened, and what happens; `--kind`, `--upstream`, `--backend` choose | 0 told, 1 not |
//! | `plimsoll reload` | has the files read again, and tells what is wrong with them; `--dry-run` only checks them | 0 taken, 1 not, 2 bad configuration |
//! | `plimsoll diagnose -o FILE` | collects in one archive what somebody needs who shall help from afar: configuration and what is wrong with it, all that the process tells of itself, its threads, limits and sockets, the machine; secrets are masked, and what cannot be had is named | 0 made, 1 not |
//! | `plimsoll plan FILE` | tells what a configuration would change in the running process, and what would come of it: connections kept, requests that have to finish, keys that move, what needs a restart | 0 told, 1 not, 2 bad configuration |
//! | `plimsoll apply FILE` | puts it in force and into the process's file; `--confirm 5m` has it go back unless confirmed, `--guard` if it does harm, `--expect HASH` refuses what was not planned, `--reason TEXT` stands in the history, `--overwrite` loses what was written into the file and not loaded, `--dry-run` only tells | 0 in force, 1 refused or gone back, 2 bad configuration |
//! | `plimsoll confirm` | what is on probation stays in force | 0 it stays, 1 not |
//! | `plimsoll config history` | which configurations were in force: since when, from whom, why; so `show`, `diff`, and `rollback` to the one before that did not go back by itself, or to a revision; `rollback` and `restore` have `--confirm`, `--guard`, `--reason`, `--overwrite` and `--dry-run` as `apply` has them | 0 done, 1 not |
//! | `plimsoll config backup FILE` | writes the configuration in force, the revisions that are kept and what operators say into one archive, which holds the secrets that stand in the files; `config restore FILE` puts its configuration in force again, with `--revision NUMBER` another one of it | 0 done, 1 not, 2 bad configuration |
//! | `plimsoll upgrade PID` | has the program that lies at a running process's path now take its place, without losing a connection; `--pid-file FILE` names the process by its `pid_file` | 0 the new one serves, 1 the old one goes on |
//! | `plimsoll demo` | three origins and a balancer in one process, to try things out | |
//! | `plimsoll schema` | the JSON schema of the configuration, for editors; `--reference` for the reference as Markdown | |
//! | `plimsoll completions SHELL` | a completion script | |
//! | `plimsoll man` | the manual page; `--to FOLDER` writes one for each command | |
//!
//! Commands that ask the running process find it by `--admin`, else by the variable `PLIMSOLL_ADMIN`, else at
//! 127.0.0.1:9901; who has a token puts it into `PLIMSOLL_TOKEN`. `--json` of every command but those that
//! write for programs anyway tells it to programs.
//!
//! # Signals
//!
//! | signal | does |
//! |---|---|
//! | `HUP` | reads the configuration again |
//! | `USR1` | opens the access log's file anew, for log rotation |
//! | `USR2` | has another process take this one's place, as `plimsoll upgrade PID` does |
//! | `TERM`, `INT`, `QUIT` | drains and ends; a second one ends at once; a process that was replaced drains already, and goes on at its first one |
//!
//! # Start
//!
//! Nothing is half started: if one listener cannot be bound by every worker, the process says why and ends
//! with 1. `/readyz` answers 200 when every listener accepts.
//!
//! # Reload
//!
//! `HUP`, or a change of any file that was read (looked for every `watch_interval`; `"off"` turns this off).
//! The new configuration is read and checked as a whole. If anything is wrong with it, nothing changes: the
//! faults are logged with file, line and remedy, `plimsoll status` and an event (`config.refused`) tell of it,
//! and `plimsoll_config_last_reload_successful` is 0 until a good one stands there, whatever else changes
//! meanwhile. Run `plimsoll check` first, and this does not happen.
//!
//! A good one takes effect for the next request on every connection. Requests under way end as they began.
//! Whatever did not change lives on: listeners, connections, pools, counters, health. A backend's address is
//! its identity. A removed backend gets no new requests and finishes those it has; a removed listener
//! closes, and its connections end with their request.
//!
//! A listener that is new or has moved is bound before the change takes effect; if that fails, the whole
//! change is refused. One that is only renamed keeps its socket.
//!
//! Read at start only: `workers`, `log.format`, `pid_file` and `[admin]` (but for its certificate). A reload
//! that changes one of them says so in the log and applies the rest.
//!
//! # Certificates
//!
//! The files of `[listener.tls]` are watched like the configuration: a renewed certificate is shown to the
//! next client, connections go on, and clients go on from their sessions. Replace both files within one
//! `watch_interval`, or the key first by a file of another name: while certificate and key do not fit, the
//! configuration before stays in force and the log says so. `plimsoll_certificate_expiry_timestamp_seconds`
//! tells until when each certificate is valid; `plimsoll check` and every reload warn two weeks before.
//!
//! Who shall speak TLS and does not gets 400 (`plain_http` in the access log). Lead those clients over by a
//! listener of its own: `redirect = { to = "https://${host}${uri}" }`; and tell browsers to come by TLS at
//! once with `response_headers = { set = { Strict-Transport-Security = "max-age=31536000" } }`.
//! `plimsoll_listener_tls_handshakes_total` counts handshakes by their end; why one failed stands in the log
//! at the level `debug`.
//!
//! ## Certificates of an authority
//!
//! `[acme]` has certificates given by an authority, such as Let's Encrypt (ACME, RFC 8555); those with
//! `acme = true` are asked for at start, and again when a third of their life is left. What is given gets
//! in as a renewed file does: no connection is touched. With `http-01` the authority asks on port 80, which
//! every plain listener answers before its routes, so that a route may lead all else over to HTTPS; with
//! `tls-alpn-01` it shakes hands on port 443. See `conf/acme.toml`.
//!
//! Account, keys and certificates are in the folder `state`, which only Plimsoll's user may read; keep it
//! over restarts, and let one process have it. What is in it is enough to start without the authority.
//! Until a certificate is there, handshakes for its names fail (as with Caddy): a certificate that nobody
//! can trust would only teach people to click on. `plimsoll check` reads what is there already and asks
//! nobody. `plimsoll_certificate_orders_total` counts what was asked for, by how that ended; the log says
//! why not, in the authority's words, and when it is tried again.
//!
//! # Backends that come and go
//!
//! Names in `address` are asked for at start and again by their TTL (`[upstream.NAME.dns]`). A name that
//! nobody knows delays a start by 5 s at most and stops nothing: its backends serve once it is known. A
//! question that fails leaves the last answer (`discovery.failed`, until `discovery.resolved`). An answer
//! that takes away more than half of the addresses at once (`max_removal`) is held until answers have said
//! so for 30 s (`confirm`; time without answers does not count): the log and `/api/v1/ha/events` tell of it
//! (`discovery.held`, then `discovery.confirmed` or `discovery.recovered`), and
//! `plimsoll_discovery_updates_total{result="held"}` counts. How many addresses there are counts, not which.
//!
//! `backends_file` names a file that another program may write: TOML, JSON or an address a line. Write it
//! beside and rename it. It is watched and checked like the configuration: a bad one, or an empty one, changes
//! nothing, and the log says which line is wrong. As with any reload, whoever stays keeps health, counts,
//! response times and connections.
//!
//! `dns.sentinels` asks Redis Sentinels in place of name servers: `address = "mymaster"` is then the primary
//! that they know by that name. More than half of those listed have to agree, so that one that is cut off leads
//! nobody to the old primary; they are asked again each second (`min_ttl`). Put a TCP listener before it. Those that
//! want a password are asked with `sentinel_user` and `sentinel_password`.
//!
//! # Drain
//!
//! The first `TERM`, `INT` or `QUIT`: `/readyz` turns to 503, listeners let nobody in any more and close when
//! what waits in their queues is accepted and handshakes under way have had 300 ms to finish (a client further
//! away than that may be reset; one that comes meanwhile tries again after a second, and is refused then, or served
//! by whoever listens there by then), idle connections end after a second in which they may begin one last request, requests under way
//! have `drain_timeout` (30 s) to finish, and the last lines are written. What is left then is cut, with a line
//! in the access log (`failure` is `drain_timeout`). Nothing waits for others to notice: if another
//! balancer stands before this one, take the instance out there first. Sockets that systemd has bound, and those
//! of a process that another one has taken the place of, stay open to all.
//!
//! To empty one backend instead, see [changes by hand](super::admin_api#changes-by-hand), or give it
//! `state = "draining"` and reload.
//!
//! # Upgrade
//!
//! Put the new program in the place of the old one (`mv`, a package, or a link that leads elsewhere from now
//! on), then `plimsoll upgrade PID`, or signal `USR2`. It needs no privilege beyond the process's own user.
//!
//! 1. The process starts the program at the path that it was started by itself, with the same arguments. No
//!    change of the configuration is taken up from here on.
//! 2. It hands over the listening sockets themselves, of all workers, of Unix sockets and of the admin
//!    listener, and what it knows of backends: verdicts of probes, and pauses of those that are parked.
//! 3. The new one reads the configuration as it is now. When every worker of it accepts, it says so.
//! 4. Only then the old one stops accepting. Its requests under way have `drain_timeout` to finish, as after
//!    `TERM`. Whoever connects, at any moment, is served by one of the two.
//!
//! A signal to stop that comes before that ends both, unless the new one is ready within a second: it serves then, and
//! is told for itself to stop. So the way of nginx, `USR2` and then `QUIT` as soon as the pid file names the new
//! process, is safe.
//!
//! If the new one ends, finds a fault in the configuration, cannot have an address, or is not ready within
//! `upgrade_timeout`, it is killed, the log and `plimsoll upgrade` say why, and the old one goes on as if
//! nothing had been asked. What starts anew: counters, the list of events (the log and the audit log go on), the connections kept to backends, the counts of
//! limits, learned sessions of `sticky`, what outlier ejection and slow start had counted. What was changed by
//! hand goes on where `[admin] state` keeps it, as over any restart.
//!
//! In a container, whose process 1 must not end, replace the container instead. `PID` may be another program
//! than before: going back to an older version works the same way.
//!
//! # systemd
//!
//! `conf/systemd/plimsoll.service` and `plimsoll.sysusers` beside it; the Debian package, which
//! `scripts/package` makes, brings both, and its own upgrade is one as above. `Type=notify`: the service is
//! started when every listener accepts, and `systemctl reload` and upgrades are told too. With
//! `WatchdogSec` every worker has to answer twice in that time, else systemd starts the process anew.
//! `systemctl stop` and `restart` wait for the drain. In a unit of your own keep `ExecStop`: a process that
//! another one has taken the place of by an upgrade is none that systemd has started, and without it systemd kills
//! that at once.
//!
//! The package starts nothing by itself: write `/etc/plimsoll/plimsoll.toml`, then
//! `systemctl enable --now plimsoll`. Whatever the configuration names (keys of certificates, password files) has to
//! be readable for the user `plimsoll`.
//!
//! As installed, the process may read its configuration and no more: `plimsoll reload` takes up what root has
//! written. For `plimsoll apply`, `config rollback` and `config restore`, which write it, give it the folder:
//! `chown -R plimsoll: /etc/plimsoll`; `ConfigurationDirectory` in the unit has taken it out of the sandbox. The
//! sample in the package says what `[admin]` needs for that.
//!
//! Sockets may be systemd's (`conf/systemd/plimsoll.socket`): a listener whose address is that of a socket
//! takes it up, and while the service is restarted clients wait instead of being refused.
//!
//! # Logs
//!
//! The program log goes to standard error, as text or JSON (`[log]`). It tells of starts, reloads, changes
//! of health with their cause, and what cannot be done. A request writes to it above the level `debug` only
//! when the machine has no descriptor, port or memory left to connect with, and when a TLS handshake with a
//! backend fails; once a second at most.
//!
//! The access log has one line per request, to standard output or a file (`[access_log]`). `combined` is
//! nginx's, byte for byte. `json` has every attempt:
//!
//! | field | tells |
//! |---|---|
//! | `status`, `failure` | what the client got, and why it was not what the route says |
//! | `duration_seconds` | from the first byte of the request to the last byte of the response |
//! | `request_id` | as the client sent it in `X-Request-Id`, or a new one; the backend gets it too |
//! | `trace_id` | of the trace that the request belongs to; `null` without `[tracing]` |
//! | `attempts[].backend`, `.outcome`, `.status` | who was asked and how it ended |
//! | `attempts[].connect_seconds`, `.first_byte_seconds`, `.duration_seconds` | where the time went |
//! | `attempts[].reused` | whether the connection came from the pool |
//! | `attempts[].retried_because` | why another attempt followed |
//!
//! Writing never holds a request up. When the disk is too slow, lines are lost and counted in
//! `plimsoll_access_log_dropped_lines_total`. To rotate: move the file away, then `USR1`;
//! `conf/systemd/plimsoll.logrotate` does so. Routes may log elsewhere as well: `access_logs` names logs of
//! `[access_logs.NAME]`.
//!
//! # Metrics
//!
//! [`telemetry::names`](crate::telemetry::names) lists every family with its labels. By question:
//!
//! | question | look at |
//! |---|---|
//! | How much, and how many errors? | `plimsoll_requests_total` by `code` |
//! | How slow for clients? | `plimsoll_request_duration_seconds` |
//! | How slow are the backends? | `plimsoll_upstream_first_byte_seconds`, `plimsoll_upstream_connect_duration_seconds` |
//! | Which backend fails, and how? | `plimsoll_upstream_attempts_total` by `backend` and `outcome` |
//! | Are retries hiding something? | `plimsoll_upstream_retries_total` by `reason`, `plimsoll_upstream_retries_denied_total` |
//! | Who is out, since when, why? | `plimsoll_backend_state`, `plimsoll_backend_state_changes_total` by `cause`, `plimsoll_backend_ejections_total` |
//! | Is anybody left? | `plimsoll_upstream_none_eligible_total`, `plimsoll_upstream_fail_open` |
//! | Which tier serves, is a breaker open, is there a panic? | `plimsoll_upstream_tier_share_ratio`, `plimsoll_upstream_breaker_state`, `plimsoll_upstream_panic` |
//! | Are requests refused before a backend is asked, or sent to two? | `plimsoll_upstream_shed_total` by `reason`, `plimsoll_upstream_concurrency_limit`, `plimsoll_upstream_refused_ratio`, `plimsoll_upstream_hedges_total` by `result` |
//! | Are those that serve good for what is asked? | `plimsoll_upstream_room_requests_per_second`, `plimsoll_upstream_demand_requests_per_second`, `plimsoll_upstream_shed_total{reason="room"}` |
//! | Do retries leave their zone? | `plimsoll_upstream_zone_crossings_total` |
//! | Do requests wait for a backend? | `plimsoll_upstream_queue_depth`, `plimsoll_upstream_queue_wait_seconds`, `plimsoll_upstream_queue_rejected_total` by `reason` |
//! | Is the load even? | `plimsoll_backend_in_flight`, `plimsoll_backend_picks_total` |
//! | Are connections reused? | `plimsoll_pool_reuses_total` beside `plimsoll_pool_opens_total` |
//! | What do probes find? | `plimsoll_health_check_state` and `plimsoll_health_checks_total` by `check`, `plimsoll_health_check_duration_seconds` |
//! | Are backend names resolved? | `plimsoll_discovery_updates_total` by `result`, `plimsoll_discovery_last_success_timestamp_seconds` |
//! | Is the configuration the one I wrote? | `plimsoll_config_last_reload_successful`, `plimsoll_config_info`, `plimsoll_config_not_reverted` |
//! | Do traces reach the collector? | `plimsoll_spans_exported_total`, `plimsoll_spans_dropped_total` by `reason` |
//! | Does the process itself run out of something? | `process_open_fds` beside `process_max_fds`, `process_resident_memory_bytes`, `plimsoll_events_dropped_total` |
//!
//! Who accepts `application/openmetrics-text`, as Prometheus does, gets that, and with [tracing](super::tracing)
//! on exemplars: in the histograms of requests, attempts and first bytes the trace of the last request of each
//! bucket.
//!
//! `conf/prometheus/alerts.yaml` has alerts on them.
//!
//! # At three in the morning
//!
//! 1. `curl -s 127.0.0.1:9901/healthz`: which upstream?
//! 2. `curl -s 127.0.0.1:9901/api/v1/ha/load-balancer/backends`: which backend, and `why`?
//! 3. `plimsoll why BACKEND`: what happened to it, and what comes next. `plimsoll top` shows all of it live.
//! 4. The access log: `failure`, and the `attempts` of a request that failed.
//!
//! | clients see | most likely | do |
//! |---|---|---|
//! | 502 | backends refuse connections, reset them or send what is not HTTP: see `outcome` | look at the backend's own log; if one backend is ill, give it `state = "disabled"` and reload |
//! | 503 | nobody is eligible, or all have their `max_connections` (`queue_full`, `queue_timeout` where they wait; `shed`: over the limit of `adaptive`, or refused by `admission`) | `plimsoll why BACKEND`; `failure` is `breaker_open` while a circuit breaker is not closed; if the probe is wrong and not the backends, mend `[upstream.NAME.health]` or take it out |
//! | 504 | backends are slow, or packets to them are lost | `connect_timeout`: network; `timeout`: the backend; `total_timeout`: the sum of attempts; `deadline`: the client gave no more time |
//! | 403, `failure` is `forbidden` | the route's `access` keeps the client out | the client's address in the access log: behind a proxy it needs `trusted_proxies` |
//! | 404, `failure` is `no_route` | no route fits host, path or method | `plimsoll explain METHOD URL` says of each route what keeps the request from it |
//! | 400, 431, 414 | a client that does not speak HTTP as it should, or large cookies | `failure` says which rule; for large heads raise `max_head` |
//! | 408, 499 | slow clients, or clients that gave up waiting | compare `duration_seconds` with the client's own time-out |
//! | connections refused or hanging | the process does not run, is draining, or has no descriptors left | `/readyz`; `process_open_fds` beside `process_max_fds` |
//! | a change has no effect | the configuration was refused, or needs a restart | the program log; `plimsoll_config_last_reload_successful` |
//!
//! If it takes another's help, `plimsoll diagnose` collects what they will ask for. `SUMMARY.md` in it says what
//! stands out and what is missing. Secrets are masked by what they are, and wherever they turn up: texts of
//! settings, but those known to be harmless; users in URLs and values in queries; comments; what `{ file = … }`
//! and `{ env = … }` refer to. The access log is left out.
//!
//! # Which failure is which status
//!
//! Decided in one place, `src/proxy/failure.rs`; this is its table.
//!
//! | failure | status | fault |
//! |---|---|---|
//! | malformed request head | 400, 405, 414, 417, 431, 501 or 505 | downstream |
//! | request without TLS where TLS is spoken | 400 | downstream |
//! | request head not complete in time | 408 | downstream |
//! | request for a name of another certificate than was shown | 421 | downstream |
//! | request body malformed | 400 | downstream |
//! | request body stalled | 408 | downstream |
//! | request body too large | 413 | downstream |
//! | request body cannot be kept | 500 | upstream |
//! | client gone | 499 in logs, nothing is sent | downstream |
//! | client not let in by the route's `access` | 403 | downstream |
//! | over a limit | that of the limit | downstream |
//! | a tunnel is asked for over HTTP/2, of a protocol that the route does not list; or of a backend of HTTP/2 that leads none | 501 | downstream |
//! | no route | 404 | downstream |
//! | no backend eligible, or all of them full | 503, or 502 as in nginx | upstream |
//! | the upstream's circuit breaker is not closed | 503 | upstream |
//! | more are in flight than the upstream bears, or too many fail | 503 | upstream |
//! | too many wait for a backend, or it waited too long | 503, or 502 as in nginx | upstream |
//! | connection to the backend failed | 502 | upstream |
//! | connection to the backend timed out | 504 | upstream |
//! | backend closed or reset before a whole head | 502 | upstream |
//! | backend sent nothing in time, or total time used up | 504 | upstream |
//! | the time that the client gives is used up | 504 | upstream |
//! | backend's response invalid | 502 | upstream |
//! | asked who may pass: refused | 401 or 403 | downstream |
//! | asked who may pass: no answer that says it | 500 | upstream |
//! | went on elsewhere too often, or to a name that is not there | 500 | upstream |
//! | a request names a place that is none | 500 | upstream |
//! | a request names a place that it may not reach, or that is not found | 502 | upstream |
//! | an answer that is an error without a page | its own | upstream |
//! | the process is short of memory | 503 | upstream |
//! | still under way at the end of the drain | 500 in logs, the connection is cut | upstream |
//! | response broke off in its body | what was sent; the connection is cut, a call of gRPC gets its status | upstream |
//!
//! # The build
//!
//! `cargo build --release` makes the program in a minute or two. `scripts/release` makes a faster one,
//! `target/pgo/plimsoll`, in about eight: it builds one that counts which ways it goes, has the end-to-end
//! bench drive it for a minute, and builds again by these counts (`-Cprofile-use`). It needs two cores, and
//! `llvm-profdata` of LLVM 19 or later: `rustup component add llvm-tools`, or Debian's `llvm-19`.
//!
//! It needs 17 % fewer instructions per request and 4 to 10 % less CPU (`benches/runs/2026-11-21-pgo`).
//! What the training does not do is taken for rare: it has no HTTP/2 backend. If your traffic is of another
//! kind than the bench's cases, add a case of yours to it.
//!
//! # Connections that are passed through
//!
//! A listener with `mode = "tcp"` hands each connection to a backend and moves bytes until both sides have
//! ended, or nothing has moved for `tunnel_timeout`. A connection counts as one request: of its listener, on
//! the route `_tcp`; in flight at its backend as long as it lasts, which `least_connections` and
//! `max_connections` go by; with one line in the access log when it ends, whose `target` is the name that a
//! client of TLS asked for, whose `request_bytes` and `response_bytes` are those of both directions, and
//! whose `status` is 200 once a backend took it. Before that the failures below hold: 502, 503, 504, and 404
//! for a name that no upstream is said for. The client sees the end of the connection in any case.
//!
//! Backends are judged by whether they take connections: failures to connect park them, and another one is
//! tried (`retry.tries`), for nothing was sent by then. A drain lets connections go on up to `drain_timeout`,
//! a reload leaves them with the backend that they have. `conf/tcp-and-sni.toml` is a sample.
//!
//! # How much it takes at most
//!
//! Nobody from outside decides how much memory, how many descriptors or how long. What is over a limit is
//! refused before anything is spent on it: a connection is closed, a request is answered and closed.
//!
//! | what | limit | default |
//! |---|---|---|
//! | memory of the process, in RAM | `memory_limit` at the top of the file | none |
//! | connections of clients, in all | `max_connections` at the top of the file | as many as there are descriptors for |
//! | on one listener | its `max_connections` | none |
//! | of one client on it | its `max_connections_per_client`; trusted proxies do not count | none |
//! | a request head | `max_head`, `max_headers`, `max_target` | 32 KiB, 100 fields, 8 KiB |
//! | its time, from the first byte | `header_timeout` | 10 s |
//! | a body that does not come, a response that is not taken | `body_timeout`, `write_timeout` | 60 s |
//! | one that comes or is taken too slowly | `min_rate` over `min_rate_over` | 50 bytes a second, over a minute |
//! | a connection without a request | `idle_timeout`; `max_requests`, `max_lifetime` | 75 s; none |
//! | a response head | | 64 KiB, 100 fields, 16 interim responses |
//! | silence of a backend's system on an HTTP/2 connection | | 30 s |
//! | chunk extensions and trailers of a message | | 16 KiB, 8 KiB |
//!
//! Memory of one connection, beside the kernel's: 8 KiB while it is idle, 128 KiB while a head comes in,
//! 768 KiB while a body is held up (two buffers of 256 KiB, what is kept for another attempt, heads). What
//! `response_buffer` reads ahead is 64 MiB per worker for all, and `request_buffering` bounds itself. So the
//! process has at most `max_connections` × 768 KiB and what configuration, metrics and 64 MiB per worker
//! take; with connections that are idle for the most part, a hundredth of that. Set `max_connections` to what
//! the machine has room for.
//!
//! TLS adds 16 KiB to an idle connection and 256 KiB to one that is held up. Over HTTP/2 a connection is up to
//! `max_streams` requests at once, 100 unless told otherwise, and each of them is one connection in this sum:
//! 100 KiB of a response that its client does not take, 256 KiB of a body that its backend does not take; of
//! all bodies on a connection 16 × `http2_window`, and 64 × `http2_window` for the frames if they are the smallest.
//! Where that is too much, `max_streams` is what to lower.
//!
//! The surest bound is `memory_limit`, looked at ten times a second. From 90 % of it on, clients' connections end
//! with their request; from 95 % on, requests get 503 with `Retry-After: 1` before anything is looked up for
//! them; beyond it, new connections are closed before a byte is read. Connections that are passed through are
//! refused from 95 % on. What is under way goes on, so the bound is not a hard one: set it to 80 % of what kills
//! the process (`MemoryMax=` of systemd, the container's limit). The admin listener answers throughout,
//! `plimsoll_memory_refused_total` counts what was refused, and the log says how it stands whenever that
//! changes.
//!
//! A proxied request holds two descriptors, an idle connection one: set the limit of open files well above
//! twice the connections you expect. The last ones (128, of small limits a quarter) are never given to
//! connections: the admin listener, the logs, probes and name resolution go on when clients have used up
//! everything else. Of the others an eighth is for backends.
//!
//! # The machine
//!
//! `conf/systemd/plimsoll.service` is a unit with limits and a sandbox.
