//! What is known of a backend's health, and how it comes to be known.
//!
//! [`rise`] turns probe results into verdicts and [`passive`] turns the fate of real requests into
//! parking and trials; both are pure. [`probe`] asks one backend once. None of them changes
//! anything: `control` calls them and writes down what they say.

pub mod passive;
pub mod probe;
pub mod rise;
