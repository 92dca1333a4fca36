//! Corpora of raw heads and bodies with the verdict and the rule behind each, what parsed heads say,
//! and properties that hold for any input.

mod bodies;
mod heads;
mod properties;
mod requests;
mod responses;
mod strict;
