//! Connections of clients while the program drains.

use rustix::process::Signal;

use crate::support::{Client, Origin};
use crate::{GET, plain, until_clients};

#[tokio::test]
async fn a_drain_closes_idle_connections_and_finishes_requests() {
    let origin = Origin::start("a").await;
    let mut lb = plain(&origin).await;
    let mut idle = Client::connect(lb.addr("web")).await;
    idle.send(GET).await;
    idle.read_response().await;
    origin.hold();
    let mut busy = Client::connect(lb.addr("web")).await;
    busy.send(GET).await;
    origin.until_requests(2).await;
    until_clients(&lb, 2).await;
    lb.signal(Signal::TERM);
    idle.expect_closed().await;
    origin.release();
    let response = busy.read_response().await;
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    busy.expect_closed().await;
    assert!(lb.exit().await.success());
}

#[tokio::test]
async fn a_drain_does_not_wait_for_a_client_that_never_spoke() {
    let origin = Origin::start("a").await;
    let mut lb = plain(&origin).await;
    let mut silent = Client::connect(lb.addr("web")).await;
    until_clients(&lb, 1).await;
    lb.signal(Signal::TERM);
    silent.expect_closed().await;
    assert!(lb.exit().await.success());
}
