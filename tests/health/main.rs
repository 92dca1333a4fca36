//! Health as operators and clients see it: probes, failed requests, tiers, admin states, and what
//! the program says of all that.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod active;
mod breaker;
mod checks;
mod databases;
mod ejection;
mod failover;
mod hung;
mod none_eligible;
mod panic;
mod passive;
mod rotation;
mod servers;

use serde_json::Value;

use support::{Lb, Origin, get};

/// `plimsoll_backend_state` by its meaning.
const DOWN: f64 = 0.0;
const UP: f64 = 1.0;
const CHECKING: f64 = 2.0;
const DRAINING: f64 = 3.0;
const PARKED: f64 = 4.0;
const DISABLED: f64 = 5.0;
const DEGRADED: f64 = 6.0;
const STANDBY: f64 = 7.0;

/// Waits until the metrics say so of the backend.
async fn until_state(lb: &Lb, origin: &Origin, state: f64) {
    let address = origin.address();
    lb.until_metric(&format!("plimsoll_backend_state{{backend=\"{address}\"}}"), state).await;
}

/// The backend's entry in the admin API.
async fn told(lb: &Lb, origin: &Origin) -> Value {
    let list = lb.api("/api/v1/ha/load-balancer/backends").await;
    let mut backends = list["backends"].as_array().unwrap().iter();
    backends
        .find(|one| one["backend"] == origin.address())
        .unwrap_or_else(|| panic!("{} is not told of: {list}", origin.address()))
        .clone()
}

/// One request through the balancer: status and content.
async fn ask(lb: &Lb) -> (u16, String) {
    let response = get(lb.addr("main"), "/").await;
    (response.status, response.text())
}

/// Asks so many times; everything must come from `name`.
async fn ask_all_from(lb: &Lb, times: usize, name: &str) {
    for _ in 0..times {
        assert_eq!(ask(lb).await, (200, name.to_owned()));
    }
}
