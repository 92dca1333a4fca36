//! Many reloads at once.

use rustix::process::Signal;

use super::ask;
use crate::support::{Lb, Origin, at, config, until};

#[tokio::test]
async fn storm_of_signals_is_taken_together_and_ends_with_the_last_file() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let threads = lb.metric("process_threads").await.unwrap();
    for round in 0..200 {
        let origin = if round % 2 == 0 { &a } else { &b };
        lb.reload(config("", "", &[at(origin)]));
        lb.signal(Signal::HUP);
    }
    until("the last file is served", async || ask(&lb, "/").await.1 == "b").await;
    let loaded = lb.metric("plimsoll_config_reloads_total{result=\"ok\"}").await.unwrap();
    assert!(loaded <= 201.0, "{loaded} loads for 400 signals");
    // Threads that load come and go; none is left behind by each load.
    let now = lb.metric("process_threads").await.unwrap();
    assert!(now < threads + 50.0, "{now} threads, {threads} before");
}
