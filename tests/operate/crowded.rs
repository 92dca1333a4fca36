//! More connections to the admin listener than there are places.

use super::support::{Client, Lb, Origin, at, config, get};

/// Places of connections.
const PLACES: usize = 64;

#[tokio::test]
async fn who_only_holds_connections_keeps_nobody_out() {
    let origin = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&origin)])).await;
    let admin = lb.admin_addr();
    // It is there for longest, but has something to do.
    let mut busy = Client::connect(admin).await;
    busy.send("GET /api/v1/ha/events?follow=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    busy.read_exact(b"HTTP/1.1 200 OK".len()).await;
    let mut idle = Vec::new();
    for number in 1..PLACES {
        let mut client = Client::connect(admin).await;
        match number % 3 {
            0 => {}
            1 => client.send("GET /livez HTTP/1.1\r\nHo").await,
            _ => {
                client.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await;
                assert_eq!(client.read_response().await.status, 200);
            }
        }
        idle.push(client);
    }
    // As many again, which are served at once and leave; and who idles for longest has to go.
    for _ in 0..PLACES {
        assert_eq!(get(admin, "/livez").await.status, 200);
    }
    idle[0].expect_closed().await;
    lb.signal(rustix::process::Signal::TERM);
    let rest = busy.read_to_end().await;
    assert!(String::from_utf8_lossy(&rest).ends_with("0\r\n\r\n"), "it ends as a whole");
}

#[tokio::test]
async fn who_is_busy_for_long_keeps_nobody_out_either() {
    let origin = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&origin)])).await;
    let admin = lb.admin_addr();
    let mut busy = Vec::new();
    for _ in 0..PLACES {
        let mut client = Client::connect(admin).await;
        let head =
            "POST /api/v1/ha/explain HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
        client.send(format!("{head}Content-Length: 9\r\n\r\n{{")).await;
        busy.push(client);
    }
    // They may be about to send the rest for some seconds, and then the first has to go.
    assert_eq!(get(admin, "/livez").await.status, 200);
    busy[0].expect_closed().await;
}
