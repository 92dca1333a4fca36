//! Limits by key: how often a key may ask ([`Rates`]), and how often at once ([`Counts`]); and the
//! line of those who wait for a place at an upstream ([`Line`]).
//!
//! The first two are tables of fixed size over hashes of keys, shared by all workers, made of atomics and
//! without a lock. A key's place is one of the sixteen of its bucket, which lie side by side: a look
//! costs two or four cache lines whatever the number of keys. Keys are known by 64 (48) bits of a
//! hash with a secret seed; two keys that share them would share their limit.
//!
//! Pure: the time is handed in. Built by `snapshot`, asked by `proxy`.

mod counts;
mod line;
mod rates;

pub use counts::{Counts, Held, HeldShared};
pub use line::{Entered, Line, Waiting};
pub use rates::{Moment, Rate, Rates};

/// Places of a bucket.
const BUCKET: usize = 16;

/// Where the bucket of a hash begins in a table of `slots` places, a power of two and at least
/// [`BUCKET`].
fn bucket(hash: u64, slots: usize) -> usize {
    // The top bits: the low ones tell keys of a bucket apart.
    let bits = slots.trailing_zeros();
    let index = hash.checked_shr(64 - bits).unwrap_or(0) as usize;
    index & !(BUCKET - 1)
}
