//! What was decided against, and why.
//!
//! A road not taken is asked for again and again. Each entry says what would have to be true for it to be
//! taken after all.
//!
//! # hyper for HTTP/1
//!
//! It tolerates what must be refused and costs more than our own codec; [the crate's page](crate) has the
//! reasons and the figures.
//!
//! # HTTP/3
//!
//! The crates are there (`h3` 0.0.8 on `quinn` 0.11), and `h3` calls itself very experimental, to be used at
//! one's own risk: no place for what stands before everything else. QUIC also wants what TCP gives for free
//! here: connections that find their worker again when the client's address changes, and that live on over a
//! restart, where the kernel hands out datagrams and not connections. To be taken up when `h3` has a version
//! that promises something, with limits on what a client may make it keep (as `h2` has them), and when its
//! CPU per request is near that of HTTP/2. Clients fall back to HTTP/2 by themselves.
//!
//! # Pipes of the kernel for tunnels
//!
//! The rest of a long response goes from socket to socket through a pipe (`splice(2)`), because its length is
//! told before: below 256 KiB the two calls more for each piece cost what is saved. Of a WebSocket or a
//! connection that is passed through nobody knows what still comes, and most of them carry small messages. To
//! be taken up with a measurement of long one-way flows that shows when to change over.
//!
//! # A runtime that moves tasks between threads
//!
//! It needs every structure of a request to be shareable, and pools and counters to be locked or atomic. A
//! proxy's tasks are many and short, and there is nothing to steal. With one single-threaded runtime per
//! core, prototypes took 13 to 23 % less CPU. The price: the kernel spreads connections over workers by
//! hash, so a few heavy connections may meet on one worker.
//!
//! # One pool of idle connections for all workers
//!
//! It would be the one lock that every request takes. Per worker, a backend sees up to `max_idle`
//! connections from each; say less where that is too many.
//!
//! # `io_uring`
//!
//! A bare relay on it took 0 to 9 % less CPU than on epoll, and our prototype on epoll was level with one on
//! `io_uring`: most of a small request's cost is in the kernel's network code either way. To be measured
//! again on hardware where system calls are dear.
//!
//! # A workspace of many crates
//!
//! It would hold the walls by compiler, and cost manifests, re-exports and public types between rooms.
//! `tests/architecture.rs` holds the same walls in one crate.
//!
//! # serde for the configuration
//!
//! A derived reader stops at its first fault, and loses the place of a value behind flattened or untagged
//! types. One table of settings gives all faults with their places, the reference, the schema and the
//! defaults.
//!
//! # File notifications
//!
//! inotify misses files behind a swapped link (as Kubernetes swaps a `ConfigMap`), bind mounts and network
//! file systems. A look at the files every second does not.
//!
//! # Weights that sink with failures
//!
//! nginx lowers the weight of a backend that fails by degrees. Here passive health parks it, which shows in
//! the log and the status; a weight is what the operator wrote.
//!
//! # Pauses that grow without bound
//!
//! A backend that is parked again and again is out longer each time, but a minute at most (`max_pause`): a
//! longer pause saves few requests and keeps a backend out long after it is well.
//!
//! # Request bodies collected before they are sent
//!
//! nginx's default reads a whole body first, to a file if need be. It frees slow backends from slow
//! clients, costs the disk and delays the first byte. Here bodies are streamed; the first 64 KiB are kept
//! for another attempt.
//!
//! # Requests sent to two backends at once
//!
//! It shortens the slowest answers and adds load at the moment when there is too much of it. Retries come
//! after a failure only.
//!
//! # Changing things over the admin listener
//!
//! It asks nobody for a password, so it only reads. Changes go through the configuration, which is checked
//! as a whole and kept in a file.
//!
//! # Averages
//!
//! An average of response times hides the slow ones, and averages cannot be added up over instances. There
//! are histograms.
