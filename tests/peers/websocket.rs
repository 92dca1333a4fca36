//! `WebSocket`s of Python at both ends.

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
