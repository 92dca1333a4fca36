//! Pure selection: which backend serves this attempt.

mod strategy;

pub use strategy::{Need, Strategy};
