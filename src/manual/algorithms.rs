//! The ten strategies: what they do, when to use which, what they cost.
//!
//! | strategy | use it when | a pick costs | looks at |
//! |---|---|---|---|
//! | `weighted_round_robin` | in doubt; the default | O(1) | weights |
//! | `round_robin` | backends are alike and weights are to be ignored | O(1) | nothing |
//! | `least_connections` | requests differ much in length | O(1) while many are idle, else O(n) | requests in flight, weights |
//! | `least_response_time` | backends differ in speed, or slow down at times | O(1) up to 8 backends, O(log n) above | response times, requests in flight, weights |
//! | `random` | many balancers share the backends; with `choices = 2` for even load without a scan | O(log n) | weights; with two choices requests in flight |
//! | `ip_hash` | clients must stay with a backend and send no cookie | O(1) | client address, weights |
//! | `url_hash` | nginx's `hash` is to be replaced and the placement kept | O(key) | key, weights |
//! | `consistent_hash` | backends hold caches or sessions | O(key) | key, weights; with `bounded_load` requests in flight |
//! | `maglev` | the same, and shares have to be exact | O(key) | key, weights |
//! | `prequal` | backends slow down by load that is not ours | 16 counters in the mean, 5 draws above 8 backends | requests in flight, response times, weights |
//!
//! n is the number of backends. No pick allocates or takes a lock. [`balance`](crate::balance) has the code,
//! a file per strategy.
//!
//! # What holds for all
//!
//! - Only eligible backends are picked ([`eligible`](crate::balance::eligible())); those of a later tier (backups)
//!   only when no earlier one has anybody, or by the shares of a failover group.
//! - Degraded backends get what those that are well cannot carry, each of which is good for 1.4 times its share: with
//!   two of four well and the others degraded, 30 % of the requests.
//! - A backend that was tried for this request is not picked again for it; one that has its
//!   `max_connections` is passed over.
//! - If somebody is left, somebody is found. If nobody is, the answer is 503.
//! - Turns are taken per worker. With two workers, each goes its own round, and workers start at different
//!   places; shares are right, the order over all workers is not promised.
//! - A request that is bound to a backend (`sticky`) goes there as long as that can serve, and counts as one
//!   of its turns.
//! - With `nginx.failures` a backend that failed has fewer turns for a while, as in nginx.
//! - Cursors, counts and response times live on over reloads and changes of health.
//!
//! # `weighted_round_robin`
//!
//! Each backend has turns by its weight, spread as evenly as they can be: weights 5, 1, 1 give
//! a a b a c a a. Up to 16 eligible backends the order is nginx's, bit for bit, also while some of them are
//! full or were tried already. Among more it is nginx's as long as everybody may be picked and one round can
//! be written down (up to 65,536 turns); otherwise the shares are nginx's and the order is our own. Source:
//! nginx's smooth weighted round robin.
//!
//! # `round_robin`
//!
//! Each in turn, in the order of the file, whatever the weights. With equal weights the two are the same.
//!
//! # `least_connections`
//!
//! Fewest requests in flight per weight, counted over all workers: exactly the least, however many backends
//! there are. Up to 16 eligible ones, ties go by smooth weighted round robin among the tied, in nginx's order.
//! Among more, the idle ones are picked in the order of `weighted_round_robin`, and when hardly anyone is
//! idle, those who tie take turns. Only then all counters are read: with thousands of backends that are all
//! busy, `random` with two choices gives nearly the same for less. Source: nginx's `least_conn`.
//!
//! # `least_response_time`
//!
//! The lowest of: time to first byte × (requests in flight + 1) ÷ weight. The time is a peak EWMA: it jumps
//! up with one slow response and comes down over 10 s, also when no request is sent. A failure counts as
//! slow (5 s at least), so a backend that fails fast does not look good. Up to 8 backends all are compared,
//! above that the better of two draws is taken, so that not everybody runs to the same one. One pick in 64
//! is a draw by weight, so that a backend with a bad name can clear it. Source: Finagle's peak EWMA.
//!
//! # `random`
//!
//! A draw by weight. `choices = 2`: two different draws, and the one with fewer requests in flight per
//! weight is taken; with `compare = "time"` the one that costs less as `least_response_time` reckons it. Sources: nginx's `random two`; Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing" (2001).
//!
//! # `ip_hash`
//!
//! The client's address decides: the first three octets of IPv4, all sixteen of IPv6. Behind another
//! proxy, set `trusted_proxies`, or all clients are that proxy. Placement is nginx's, bit for bit. When a
//! backend fails, its clients go elsewhere and come back with it; when one is added or removed, most
//! clients move. Source: nginx's `ip_hash`.
//!
//! # `url_hash`
//!
//! A hash of `key` (default `${uri}`: path and query) modulo the sum of the weights. Placement is nginx's,
//! bit for bit. When a backend is added or removed, most keys move; `consistent_hash` is for those who mind.
//! A request whose key is empty takes a turn by weight. Source: nginx's `hash`.
//!
//! # `consistent_hash`
//!
//! A ring with 160 points per weight, made from the text of each address as it is written. A backend that
//! leaves moves its own keys only, and gets them back when it returns. Placement is nginx's, bit for bit, for
//! the same addresses and weights. A name has its place by the name, whatever it resolves to; if that is
//! several addresses, they take turns there. `bounded_load = 1.25` keeps every backend within 1.25 × its
//! share of the requests in flight; what is above goes to other places on the ring, the same ones for the
//! same key. A weight costs 1.4 KiB: keep weights small. Sources: nginx's `hash … consistent`; "Consistent
//! Hashing with Bounded Loads" (arXiv 1608.01350) and its jumps (arXiv 1908.08762).
//!
//! # `maglev`
//!
//! A table of `table_size` slots (65,537, a prime number), which backends fill by turns, each in an order of
//! its own. Shares are right to within one slot, where those of `consistent_hash` are off by some percent; a
//! pick is one look into the table, and a heavy weight costs nothing. A backend that is out moves its own keys
//! only, and they spread over all others; one that is added or removed moves its share and a few keys more
//! (of ten backends, below 2 % of the others' keys). The order of the file does not matter, and each address of
//! a DNS name counts for itself. Source: Eisenbud
//! et al., "Maglev" (NSDI 2016), with weights after Envoy's; how it differs stands
//! [at the code](crate::balance).
//!
//! # `prequal`
//!
//! Up to 8 backends all are looked at, above that 5 draws by weight. Of these, backends that have more
//! requests in flight per weight than `hot_quantile` (0.84) of all are *hot*. Of the others the one with the
//! lowest response time is picked (the peak EWMA of `least_response_time`); if all are hot, the least loaded
//! one. One pick in 64 is a draw by weight, so that a backend with a bad name can clear it. So latency decides as long as nobody is overloaded, and load decides who is left alone: a backend
//! whose machine is busy with other work gets less before its queue grows. When all are alike, shares follow
//! weights.
//!
//! The rule is the paper's, the probes are not: Wydrowski et al., "Load is not what you should balance:
//! Introducing Prequal" (NSDI 2024) has clients ask servers for their requests in flight and latency, and
//! keep the answers in a pool. Here both are read at the moment of the pick from the counters of this
//! process: exact and never old, but blind for requests that others send, except by the latency that these
//! cause. Where many nodes share backends, give each a subset.
//!
//! # Subsets
//!
//! `subset = 20`: of the eligible backends of each tier this node uses 20, with any strategy. Of five hundred
//! backends and a hundred nodes, each backend then has connections of four nodes and not of all, and what a
//! node learns of a backend is learnt from more requests. A hash of the node's name (`node`, else that of the
//! machine) and the backend's decides, where each address of a DNS name has one of its own: who drops out is
//! replaced by the next in order, and nobody else moves. All backends are probed by all nodes. How many nodes
//! use a backend is spread as if by chance: with N nodes and n backends N × 20 ÷ n in the mean, give or take
//! nearly its root; choose it so that this spread is
//! bearable. While backends are used for want of healthy ones (`fail_open`, a panic) all are. Sources: Google's
//! *Site Reliability Engineering*, chapter 20, for the idea; rendezvous hashing (Thaler and Ravishankar 1996)
//! in place of its numbered nodes, as gRPC's A68 has it.
//!
//! # Changing the strategy
//!
//! A reload may change it. Requests under way are not disturbed; affinity starts anew where the hash is
//! another one.
//!
//! # From nginx
//!
//! What picks a server in an nginx file, and the same in ours. Orders and placements are compared with those
//! recorded from nginx 1.22, with weights, `down`, `backup`, `max_conns` and servers that refuse.
//!
//! | nginx | here | what differs |
//! |---|---|---|
//! | no directive | nothing to write | [no effective weight](super::why_not) |
//! | `least_conn` | `strategy = "least_connections"` | above 16 eligible backends, who comes first among the equally loaded |
//! | `ip_hash` | `strategy = "ip_hash"` | backups are allowed |
//! | `hash $request_uri` | `strategy = "url_hash"`, `key = "${uri}"` | backups are allowed |
//! | `hash … consistent` | `strategy = "consistent_hash"` and `key` | backups are allowed |
//! | `random` | `strategy = "random"` | nothing |
//! | `random two least_conn` | the same with `choices = 2` | at a tie the first draw is taken, so that shares follow weights; nginx takes the second, which is seldom the heaviest |
//! | `weight=5` | `weight = 5` | 1 to 65,535 |
//! | `backup` | `backup = true` | nothing |
//! | `down` | `state = "disabled"` | nothing |
//! | `max_conns=100` | `max_connections = 100` | counted over all workers, as in nginx with a `zone` |
//!
//! All servers full is 503 here, 502 there.
