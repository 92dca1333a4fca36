//! What is known of a backend's health, and how it comes to be known.
//!
//! [`rise`] turns the results of a check into verdicts, [`combine`] the verdicts of several checks into
//! one, [`flap`] holds who goes down too often, and [`warm`] gives who joins its weight bit by bit; all of
//! them are pure. What follows from real requests is `policy::parking`'s. [`probe`] asks one backend once. None of them changes anything: `control` calls them and writes down what they
//! say.

mod agent;
pub mod combine;
pub mod flap;
pub mod probe;
pub mod rise;
pub mod warm;
