//! New configurations in a running program, and its graceful end.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod discovery;
mod drain;
mod imported;
mod listeners;
mod living;
mod logs;
mod refused;
mod steady;
mod storm;
mod table;
mod unix_listener;

use support::{Lb, get};

/// One request through the balancer: status and content.
async fn ask(lb: &Lb, path: &str) -> (u16, String) {
    let response = get(lb.addr("main"), path).await;
    (response.status, response.text())
}

/// Replaces the configuration by HUP and waits until it is served.
async fn reload(lb: &Lb, config: impl AsRef<str>) {
    let loaded = "plimsoll_config_reloads_total{result=\"ok\"}";
    let before = lb.metric(loaded).await.unwrap();
    lb.reload(config);
    lb.until_metric(loaded, before + 1.0).await;
}
