//! `WebSocket`s of Python at both ends.

use crate::support::Lb;
use crate::{Files, Peer, before, run_both_ways};

/// All requests go to a server of `WebSocket`s.
pub(crate) fn routes(server: &Peer) -> String {
    format!(
        "[[route]]\nname = \"chat\"\nupstream = \"chat\"\n\
         [[upstream.chat.backend]]\naddress = \"{}\"\n",
        server.address()
    )
}

#[tokio::test]
async fn messages_pings_and_ends_go_both_ways() {
    let files = Files::new();
    let server = Peer::start("ws_server.py", &[]).await;
    let lb = before(&files, &routes(&server)).await;
    run_both_ways("ws_client.py", &[], &lb, &files).await;
    // All tunnels have ended.
    lb.until_metric("plimsoll_backend_in_flight", 0.0).await;
}

#[tokio::test]
async fn the_same_goes_over_http_2_between_two_of_us() {
    let files = Files::new();
    let server = Peer::start("ws_server.py", &[]).await;
    let inner = Lb::start(format!(
        "workers = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"inner\"\naddress = \"127.0.0.1:0\"\nhttp2 = true\n\
         trusted_proxies = [\"127.0.0.1\"]\n{}",
        routes(&server)
    ))
    .await;
    let outer = format!(
        "[[route]]\nupstream = \"inner\"\n[upstream.inner]\nprotocol = \"h2c\"\n\
         backend = [{{ address = \"{}\" }}]\n",
        inner.addr("inner")
    );
    let lb = before(&files, &outer).await;
    run_both_ways("ws_client.py", &[], &lb, &files).await;
    for lb in [&lb, &inner] {
        lb.until_metric("plimsoll_backend_in_flight", 0.0).await;
    }
}
