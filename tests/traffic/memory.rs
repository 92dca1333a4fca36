//! What new work gets when the process is short of memory.

use crate::support::{Client, Lb, Origin, get, request, until};
use crate::{GET, Setup, logged, plain};

/// Bytes of the process in RAM.
async fn resident(lb: &Lb) -> u64 {
    lb.metric("process_resident_memory_bytes").await.unwrap() as u64
}

/// Sets the limit, and waits until that is in force.
async fn limit(lb: &Lb, bytes: Option<u64>) {
    let text = std::fs::read_to_string(lb.config_path()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("memory_limit"));
    let limit = bytes.map(|bytes| format!("memory_limit = {bytes}\n")).unwrap_or_default();
    let next = lb.generation().await + 1;
    lb.reload(limit + &lines.collect::<Vec<_>>().join("\n"));
    lb.until_generation(next).await;
}

/// Waits until the log says that memory is so.
async fn until_memory(lb: &Lb, level: &str) {
    let is_so = |line: &serde_json::Value| line.to_string().contains(&format!("\"{level}\""));
    until(&format!("memory is {level}"), async || lb.event("memory", is_so).is_some()).await;
}

#[tokio::test]
async fn beyond_the_limit_new_work_is_refused_and_the_admin_listener_answers() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(GET).await;
    assert_eq!(client.read_response().await.status, 200);
    limit(&lb, Some(resident(&lb).await / 2)).await;
    until_memory(&lb, "exhausted").await;

    client.send("GET /late HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let response = client.read_response().await;
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("connection"), Some("close"));
    client.half_close().await;
    client.expect_closed().await;
    assert_eq!(logged(&lb, "/late").await["failure"], "memory_short");
    assert_eq!(origin.requests(), 1);

    let mut another = Client::connect(lb.addr("web")).await;
    another.send_what_is_taken(GET).await;
    assert!(another.try_read_response().await.is_err());
    assert_eq!(lb.metric("plimsoll_memory_refused_total{what=\"request\"}").await, Some(1.0));
    assert_eq!(lb.metric("plimsoll_memory_refused_total{what=\"connection\"}").await, Some(1.0));
    assert_eq!(get(lb.admin_addr(), "/healthz").await.status, 200);

    limit(&lb, None).await;
    until_memory(&lb, "ample").await;
    assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    assert_eq!(lb.metric("plimsoll_memory_limit_bytes").await, None);
}

#[tokio::test]
async fn near_the_limit_connections_end_with_their_request() {
    let origin = Origin::start("a").await;
    let lb = plain(&origin).await;
    let mut before = Client::connect(lb.addr("web")).await;
    before.send(GET).await;
    assert_eq!(before.read_response().await.header("connection"), None);
    // Memory grows meanwhile, and so the limit.
    until("a response ends its connection", async || {
        limit(&lb, Some(resident(&lb).await * 1000 / 925)).await;
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(GET).await;
        let ended = client.try_read_response().await.is_ok_and(|response| {
            response.status == 200 && response.header("connection") == Some("close")
        });
        if ended {
            client.expect_closed().await;
        }
        ended
    })
    .await;
}

#[tokio::test]
async fn memory_stays_near_the_limit_and_comes_back() {
    let origin = Origin::start("a").await;
    let route = "request_buffering = { memory = \"4MiB\" }";
    let lb = Setup { route, ..Setup::default() }.before(&[&origin]).await;
    let most = resident(&lb).await + (48 << 20);
    limit(&lb, Some(most)).await;
    // Each would take 4 MiB, in all ten times the limit.
    let mut clients = Vec::new();
    let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", 4 << 20);
    let refused = "plimsoll_memory_refused_total";
    until("some are refused", async || {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send_what_is_taken(&head).await;
        let taken = client.upload((4 << 20) - 1);
        clients.push((client, taken));
        assert!(clients.len() < 200, "it has {} of {most}", resident(&lb).await);
        lb.metric(refused).await.unwrap() > 0.0
    })
    .await;
    assert!(origin.requests() == 0);
    let has = resident(&lb).await;
    // What came between two looks is on top; without a limit it would be ten times as much.
    assert!(has < 2 * most, "{has} of {most}");
    drop(clients);
    until("there is room again", async || {
        let Some(mut client) = Client::try_connect(lb.addr("web")).await else { return false };
        client.send_what_is_taken(GET).await;
        client.try_read_response().await.is_ok_and(|response| response.status == 200)
    })
    .await;
}
