//! Plimsoll, a layer-7 reverse-proxy load balancer.

pub mod balance;
pub mod config;
pub mod http1;
pub mod model;
pub mod net;
pub mod telemetry;
