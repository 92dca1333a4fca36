//! Settings of `[upstream.NAME]` that say how a backend is picked.

use crate::config::table::{Kind, Setting};

pub(super) const STRATEGY: Setting = Setting::with_default(
    "strategy",
    Kind::Word(&[
        "round_robin",
        "weighted_round_robin",
        "least_connections",
        "least_response_time",
        "ip_hash",
        "url_hash",
        "random",
        "consistent_hash",
        "maglev",
        "prequal",
    ]),
    r#""weighted_round_robin""#,
    "How a backend is picked.",
    r#""least_connections""#,
);

pub(super) const CHOICES: Setting = Setting::with_default(
    "choices",
    Kind::Integer { min: 1, max: 2 },
    "1",
    "For `random` only: 2 draws two backends and takes the less loaded.",
    "2",
);

pub(super) const KEY: Setting = Setting::with_default(
    "key",
    Kind::Text,
    r#""${uri}""#,
    "For `url_hash`, `consistent_hash` and `maglev` only: what is hashed, a text with `${variables}`.",
    r#""${cookie.session}""#,
);

pub(super) const BOUNDED_LOAD: Setting = Setting::optional(
    "bounded_load",
    Kind::Float { min: 1.01, max: 100.0 },
    "no bound",
    "For `consistent_hash` only: most requests in flight of a backend, as a multiple of the mean. A \
     backend above it passes its keys on.",
    "1.25",
);

pub(super) const TABLE_SIZE: Setting = Setting::with_default(
    "table_size",
    Kind::Integer { min: 251, max: 5_000_011 },
    "65537",
    "For `maglev` only: slots of its table, a prime number. A hundred for each backend make shares right \
     to 1 %; a slot takes 4 bytes.",
    "655373",
);

pub(super) const HOT_QUANTILE: Setting = Setting::with_default(
    "hot_quantile",
    Kind::Float { min: 0.0, max: 1.0 },
    "0.84",
    "For `prequal` only: a backend with more requests in flight than this part of all backends is \
     picked only when the others looked at are loaded as much. 0: load alone decides; 1: latency alone.",
    "0.7",
);

pub(super) const SUBSET: Setting = Setting::optional(
    "subset",
    Kind::Integer { min: 1, max: 10_000 },
    "all are used",
    "Most eligible backends that this node uses, per tier: of hundreds of backends behind many nodes, each \
     node holds connections to some. Which, a hash of `node` and the backend's name says, of each address of a name by itself; who drops out is \
     replaced, and nobody else moves. Not while all enabled backends are used for want of healthy ones.",
    "20",
);
