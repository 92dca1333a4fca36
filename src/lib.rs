//! Plimsoll, a layer-7 reverse-proxy load balancer.

pub mod admin;
pub mod balance;
pub mod cli;
pub mod config;
pub mod control;
pub mod health;
pub mod http1;
pub mod model;
pub mod net;
pub mod proxy;
pub mod server;
pub mod snapshot;
pub mod telemetry;
