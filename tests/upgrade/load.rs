//! Requests before, during and after: none fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use crate::family::Family;
use crate::support::{Client, Load, Origin, at, config, until};

const UPGRADES: usize = 10;

/// One request per connection, again and again. Any failure, also to connect, ends the test.
async fn newcomer(address: std::net::SocketAddr, served: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    while !stop.load(SeqCst) {
        let mut client = Client::try_connect(address).await.expect("somebody always listens");
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").await;
        let response = client.try_read_response().await.expect("a whole response");
        assert_eq!(response.status, 200, "{response:?}");
        served.fetch_add(1, SeqCst);
    }
}

#[tokio::test]
async fn ten_upgrades_under_load_fail_no_request_on_kept_and_on_new_connections() {
    let a = Origin::start("a").await;
    let family = Family::start(&config("", "", &[at(&a)])).await;
    let address = family.addr("main");
    let kept = Load::start(address, 4);
    let (served, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let newcomers: tokio::task::JoinSet<()> =
        (0..4).map(|_| newcomer(address, Arc::clone(&served), Arc::clone(&stop))).collect();
    let mut before = vec![family.first_pid()];
    for round in 0..UPGRADES {
        kept.until_answered(50).await;
        // Half of them by signal, for both ways to ask lead there.
        if round % 2 == 0 {
            before.push(family.upgrade_well().await);
        } else {
            Family::signal(family.pid(), rustix::process::Signal::USR2);
            until("the next process serves", async || family.pid() != before[round]).await;
            before.push(family.pid());
        }
        let seen = served.load(SeqCst);
        until("newcomers are served", async || served.load(SeqCst) > seen + 20).await;
    }
    stop.store(true, SeqCst);
    newcomers.join_all().await;
    kept.expect_all_good().await;
    let last = before.pop().unwrap();
    assert_eq!(before.len(), UPGRADES);
    for pid in before {
        family.until_gone(pid).await;
    }
    assert_eq!(family.pid(), last);
    assert_eq!(crate::support::get(address, "/").await.text(), "a");
}
