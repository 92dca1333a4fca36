//! gRPC's own library at both ends.

use crate::support::{Lb, free_port};
use crate::{Files, Peer, before, run, run_both_ways};

/// Routes to a server of calls, over TLS if it speaks that.
fn routes(address: &str, files: &Files, secured: bool) -> String {
    let (protocol, tls) = if secured {
        let ca = files.path("ca.pem");
        ("h2", format!("[upstream.calls.tls]\nserver_name = \"shop.test\"\nca = \"{ca}\"\n"))
    } else {
        ("h2c", String::new())
    };
    format!(
        "[[route]]\nname = \"calls\"\nupstream = \"calls\"\n\
         [upstream.calls]\nprotocol = \"{protocol}\"\n{tls}\
         [[upstream.calls.backend]]\naddress = \"{address}\"\n"
    )
}

/// A server of calls, and a balancer before it.
async fn calls(secured: bool) -> (Peer, Files, Lb) {
    let files = Files::new();
    let (chain, key) = (files.path("shop.pem"), files.path("shop.key"));
    let arguments = if secured { vec![&*chain, &*key] } else { vec![] };
    let server = Peer::start("grpc_server.py", &arguments).await;
    let lb = before(&files, &routes(&server.address(), &files, secured)).await;
    (server, files, lb)
}

#[tokio::test]
async fn messages_go_both_ways_with_all_that_is_told_around_them() {
    for secured in [false, true] {
        let (_server, files, lb) = calls(secured).await;
        for what in ["unary", "many", "streams"] {
            run_both_ways("grpc_client.py", &[what], &lb, &files).await;
        }
    }
}

#[tokio::test]
async fn errors_arrive_as_the_server_tells_them() {
    let (_server, files, lb) = calls(false).await;
    run_both_ways("grpc_client.py", &["errors"], &lb, &files).await;
}

#[tokio::test]
async fn deadlines_and_calls_that_are_given_up_are_heard_at_the_other_end() {
    for listener in [crate::PLAIN, crate::SECURED] {
        // A server of its own: it counts.
        let (_server, files, lb) = calls(listener == crate::SECURED).await;
        let way = crate::way(&lb, &files, listener);
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        run("grpc_client.py", &[&["deadlines"], &way[..]].concat()).await;
    }
}

#[tokio::test]
async fn what_the_balancer_has_used_of_a_deadline_is_taken_off() {
    let files = Files::new();
    let server = Peer::start("grpc_server.py", &[]).await;
    // The second call of a moment is held back for three seconds.
    let limit = "[limit.slow]\nkey = \"all\"\nrate = \"20/min\"\n";
    let routes = routes(&server.address(), &files, false).replace(
        "upstream = \"calls\"\n",
        "upstream = \"calls\"\nlimits = [{ name = \"slow\", burst = 5, undelayed = 0 }]\n",
    );
    let lb = before(&files, &(limit.to_owned() + &routes)).await;
    let port = lb.addr(crate::PLAIN).port().to_string();
    run("grpc_client.py", &["told_less", &port]).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let files = Files::new();
    let nobody = format!("127.0.0.1:{}", free_port());
    let lb = before(&files, &routes(&nobody, &files, false)).await;
    run_both_ways("grpc_client.py", &["unavailable"], &lb, &files).await;
}
