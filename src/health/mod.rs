//! What is known of a backend's health, and how it comes to be known.
//!
//! [`rise`] turns the results of a check into verdicts, [`combine`] the verdicts of several checks into
//! one, [`flap`] holds who goes down too often, [`warm`] gives who joins its weight bit by bit, and
//! [`passive`] turns the fate of real requests into parking and trials; all of them are pure. [`probe`]
//! asks one backend once. None of them changes anything: `control` calls them and writes down what they
//! say.

mod agent;
pub mod combine;
pub mod flap;
pub mod passive;
pub mod probe;
pub mod rise;
pub mod warm;
