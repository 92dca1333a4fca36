//! The admin listener: who may ask, what it tells, changes by hand, and configurations that are put in force
//! and taken back.
//!
//! # Who may ask
//!
//! On a loopback address anybody on the machine may read, and nobody without a token may change anything
//! (`anonymous` says otherwise). On a Unix socket (`address = "unix:/run/plimsoll/admin.sock"`) the file's mode
//! says who gets in, and who is in may do everything. An address that others can reach needs tokens. What a
//! token's bearer may is its role: `viewer` reads, `operator` changes what backends do, `admin` the
//! configuration too. Make one with `openssl rand -hex 32`, and write down its hash only:
//!
//! ```toml
//! [admin]
//! address = "0.0.0.0:9901"
//! state = "/var/lib/plimsoll/state"
//! audit_log = "/var/log/plimsoll/audit.log"
//!
//! [admin.tokens.deploy]
//! sha256 = "…" # printf %s "$TOKEN" | sha256sum
//! role = "operator"
//! ```
//!
//! Tokens cross the network as they are: give an address that others reach TLS as well, or use the socket.
//! With `clients`, who asks is known by a certificate of theirs, and needs no token:
//!
//! ```toml
//! [admin.tls]
//! chain = "/etc/plimsoll/admin.pem"
//! key = "/etc/plimsoll/admin.key"
//! clients = { ca = "/etc/plimsoll/operators-ca.pem", verify = "optional" }
//!
//! [admin.certificates.ann]
//! san = "ann@example.com" # or: subject = "O=Example,CN=ann"
//! role = "admin"
//! ```
//!
//! Commands find it by `--admin https://admin.example.com:9901`, with `--cacert` for an authority of your own,
//! and `--cert` and `--key` for a certificate of yours (or by `PLIMSOLL_CACERT`, `PLIMSOLL_CERT`,
//! `PLIMSOLL_KEY`). Its files are watched as those of listeners are. `verify = "required"` turns away whoever has
//! no certificate, probes of `/livez` too.
//!
//! Each token and each certificate may ask 1,000 times a second (`max_rate`), and so may all others together;
//! beyond that the answer is 429 with `Retry-After`. Web pages of other sites get nothing: `Host` has to be an
//! address or a name without a dot (within TLS any name will do), and `Origin`, where a change has one, this
//! listener.
//!
//! There are 64 connections at most. Who comes when they are taken gets the place of the one that has been idle for
//! longest; where none is, of the one that has been busy for longest, if that is 5 s or more. What such a request has
//! begun is ended all the same.
//!
//! # What it tells
//!
//! | path | tells |
//! |---|---|
//! | `/livez` | the process runs |
//! | `/readyz` | 200 when every listener accepts; 503 while starting, draining or replaced |
//! | `/dashboard` | a page for people: listeners, routes, upstreams, backends, changes by hand, events; drain and weight at hand |
//! | `/openapi.json` | the API as a document that programs read (`OpenAPI` 3.1) |
//! | `/healthz`, `/api/v1/ha/health` | every upstream; 503 when none can serve |
//! | `/metrics`, `/api/v1/ha/metrics` | metrics, as Prometheus text, or as `OpenMetrics` with exemplars for who accepts that |
//! | `/api/v1/ha/status` | version, generation, configuration, what it has to prove, listeners, upstreams in short |
//! | `/api/v1/ha/load-balancer`, `/api/v1/ha/load-balancer/stats` | counters by listener, route and upstream |
//! | `/api/v1/ha/load-balancer/backends` | every backend: may it be picked, why, what it does |
//! | `/api/v1/ha/health-checks` | how backends are judged, and the verdicts |
//! | `/api/v1/ha/failover/status`, `/api/v1/ha/failover-manager` | which tiers serve, panics, circuit breakers |
//! | `/api/v1/ha/explain` | by POST: what would become of a request, `{"method": "GET", "url": "http://shop.example/cart", "headers": ["X-Tenant: acme"]}`, and `client` and `listener` if wanted |
//! | `/api/v1/ha/failover/events` | the events of failover groups among the last |
//! | `/api/v1/ha/load-balancer/backends/{id}` | one of them |
//! | `/api/v1/ha/overrides` | what operators say beside the configuration |
//! | `/api/v1/ha/overrides/{id}` | what they say of one backend |
//! | `/api/v1/ha/config` | the configuration in force, secrets masked; the `ETag` is the number of its revision with the begin of its hash, such as `"7-1f3a09bc"` |
//! | `/api/v1/ha/config/revisions` | those that were in force: since when, from whom, why, and what is on probation |
//! | `/api/v1/ha/config/revisions/{id}`, `/api/v1/ha/config/revisions/{id}/diff` | one of them; what differs from it in the one in force, or in `?to=`: by meaning, and line by line |
//! | `/api/v1/ha/config/validate`, `/api/v1/ha/config/plan` | by POST of a configuration: what is wrong with it; what would come of it |
//! | `/api/v1/ha/config/backup` | that and all that is kept of it, as one archive (`tar.gz`) |
//! | `/api/v1/ha/audit` | the end of the audit log (8 MiB of it, with the file that was moved away last, unless it is compressed), the latest first: `?since=2026-11-21T08:00:00Z`, `?actor=NAME`, `?limit=NUMBER` (100; 1,000 at most) |
//! | `/api/v1/ha/diagnose` | what `plimsoll diagnose` collects, as the process sees it, as one archive (`tar.gz`) |
//! | `/api/v1/ha/events` | the last 1,024 events: what happened, why, what comes next; `?follow=1` goes on with those to come, as lines of JSON or, if asked for by `Accept`, as server-sent events |
//!
//! # Changes by hand
//!
//! | request | does |
//! |---|---|
//! | `PATCH /api/v1/ha/load-balancer/backends/{id}` | `weight`, `state` (`enabled`, `draining`, `disabled`, `forced_up`, `forced_down`); `null` takes back what was said |
//! | `POST /api/v1/ha/load-balancer/backends` | one more backend: `upstream`, `address`, `weight`, `tier`, `max_connections` |
//! | `DELETE /api/v1/ha/load-balancer/backends/{id}` | one backend less |
//! | `PUT`, `DELETE /api/v1/ha/overrides/{id}` | all that is said of a backend; what the file says again, of one that was taken away too |
//! | `POST /api/v1/ha/health-checks/{id}/run` | its checks, at once; the results count as any other |
//! | `POST /api/v1/ha/config/reload` | the files are read again |
//! | `POST /api/v1/ha/config/update` | the configuration in the body is put in force and into the file |
//! | `POST /api/v1/ha/config/restore` | the configuration of the backup in the body is put in force and into the file |
//! | `POST /api/v1/ha/config/confirm` | what is on probation stays |
//! | `POST /api/v1/ha/config/rollback` | the revision before that did not go back by itself, or `to` |
//!
//! `{id}` is `UPSTREAM%2FBACKEND`, or the backend's name alone where it is the only one. Bodies are JSON, with a
//! `reason` for whoever reads the events later, and `expires_in_seconds` if it shall end by itself.
//! `?wait=drained` answers when no request is in flight there any more (202 if `timeout_seconds`, 30 by
//! default, were not enough), `?dry_run=1` only tells; with `If-Match`, changes of the configuration are made
//! only while the revision that it names is in force. A `POST` with an `Idempotency-Key` is done once, however
//! often it comes. What is refused says why (`application/problem+json`, RFC 9457): `code` is for programs.
//!
//! What is said holds over reloads, and over restarts with `[admin] state`, until its end or until it is taken
//! back. `forced_up` serves whatever probes and traffic say; `forced_down` is as if probes had found it down,
//! so that fail-open still uses it: to be sure that it gets nothing, say `disabled`. What would leave an upstream
//! nobody who may be picked is refused; `"bypass": ["keep_one"]` does it all the same. Each change is an event
//! with who, why and what comes next, which `plimsoll why` tells, and a line of the audit log.
//!
//! Changes that were denied (401, 403) are lines of it too, with the address that they came from and without
//! what they asked for. Nobody can fill the disk with them: of each name and reason the first is written, and
//! those of the minute after it are one more line with their number (`more`). Whoever takes a backup is in it
//! as well.
//!
//! All paths of the API are under `/api/ha` as well.
//!
//! # Revisions
//!
//! Each configuration that comes into force with another text than the one before is a revision: it has a
//! number, and is kept with time, author, reason and text. The author is a token's name; `unix` or `anonymous`
//! of who came without one; `signal`, `file` or `start`; `policy` of what went back by itself. The last 50 are
//! kept (`[admin] revisions`; of 16 MiB together at most, but always the two that will be gone back to first),
//! in `[admin] state` where that is set, readable by the process's user only; else in memory, and a restart
//! forgets them. They hold the secrets that stand in the files; shown
//! they are masked, comments are left out, and a text with a mask in it is refused.
//!
//! `plimsoll config backup` and `GET /api/v1/ha/config/backup` give all of that as an archive: `config/` has the
//! files in force, `revisions/` what is kept, `overrides.json` what operators say, `manifest.json` the SHA-256
//! of each. Keys of certificates are not in it, nor is any other file that the configuration only names; secrets
//! that stand in its text are. `plimsoll config restore` and `POST /api/v1/ha/config/restore`
//! (`Content-Type: application/gzip`, `If-Match`) hold an archive against its manifest, and put the configuration that was in
//! force then, or `?revision=NUMBER` of it, in force as an update does: checked, with `confirm_seconds`,
//! `guard_seconds` and `dry_run=1`, as a new revision. Files that it included have to lie where they lay, as
//! they were, and no others. What operators said then is not said again, and no revision takes the place of
//! another.
//!
//! `plimsoll apply` and `POST /api/v1/ha/config/update` (`Content-Type: application/toml`) take the way of a
//! reload: checked, names asked for, listeners bound, published as a whole. The file is replaced by a rename
//! before that, with its mode and owner, so the folder has to be writable for the process; if anything fails,
//! file and configuration are what they were. An update says on which revision it is based (`If-Match`, or
//! `expect` with the hash of a plan; else 428), and is refused if another one is in force (412), if the file was
//! changed and not loaded since (`overwrite=1` loses that), or while one is on probation. Only the main file is
//! written. `dry_run=1` tells the plan.
//!
//! # On probation
//!
//! On probation (`confirm_seconds`, `guard_seconds`; a day at most) a configuration goes back by itself: if it
//! is not confirmed in time, or if it does harm, judged each second against the five minutes before. Updates,
//! rollbacks and restores can be asked for so. Harm is: 5 points more requests answered with 5xx (by a backend,
//! or by Plimsoll itself as none may be picked), or found no route, or attempts at backends failed, among 20 or
//! more of which 5 failed; 20 points more answered with 4xx, by a backend (a path that is rewritten wrongly) or by
//! Plimsoll itself (`respond`, `access`, `limits`), where there were 20 requests before as well; or a 99th percentile more than twice as high and 100 ms higher, from 100 requests on;
//! `[admin.guard]` has these numbers. It goes back to the files of before by the same way, whatever lies beside
//! the main file now, and an event and the revision's reason say why (`config.reverted`; others are
//! `config.applied`, `config.confirmed`, `config.guard_passed`). Where it cannot, as a certificate of then is
//! gone, `config.not_reverted` says why, `plimsoll_config_not_reverted` is 1, and it is tried again every 5 s;
//! where only the file cannot be replaced, it goes back all the same, and `config.file_left` says so. What waits
//! outlives the process with `[admin] state` (without, an upgrade is refused meanwhile), and a clock that is set
//! does not put it off. `plimsoll status` and the metrics `plimsoll_config_revision` and
//! `plimsoll_config_on_probation` tell what is in force, and whether it waits. A reload with another text takes
//! the place of what is on probation, for somebody has taken over. See [`configuring`](super::configuring) for
//! how to use it.
