//! Checks of real databases that are stopped, killed and promoted.

use rustix::process::Signal;

use super::servers::{self, PASSWORD, Server};
use super::{DOWN, STANDBY, UP};
use crate::support::{Lb, config};

/// A check of a database; what it asks is not answered within an instant on a busy machine.
fn check(kind: &str, settings: &str) -> String {
    format!(
        "[upstream.api.check.database]\ntype = \"{kind}\"\npassword = \"{PASSWORD}\"\n\
         interval = \"200ms\"\nfast_interval = \"50ms\"\ndown_interval = \"100ms\"\n\
         timeout = \"4s\"\nstart_period = \"off\"\nrise = 1\nfall = 2\n{settings}\n"
    )
}

async fn until_state(lb: &Lb, server: &Server, state: f64) {
    let address = server.address();
    lb.until_metric(&format!("plimsoll_backend_state{{backend=\"{address}\"}}"), state).await;
}

/// A stopped process keeps its port: connections are made, and nobody answers.
async fn is_missed_while_it_is_stopped(lb: &Lb, server: &Server) {
    server.signal(Signal::STOP);
    until_state(lb, server, DOWN).await;
    lb.until_log("check database: no answer within 4s").await;
    server.signal(Signal::CONT);
    until_state(lb, server, UP).await;
}

#[tokio::test]
async fn postgres_is_known_by_its_role_whoever_has_it() {
    let primary = servers::postgres().await;
    let standby = servers::postgres_standby(&primary).await;
    let wants = check("postgres", "user = \"probe\"\ndatabase = \"postgres\"\nrole = \"primary\"");
    let both = [primary.backend(), standby.backend()];
    let lb = Lb::start(config("", &wants, &both)).await;
    until_state(&lb, &primary, UP).await;
    until_state(&lb, &standby, STANDBY).await;
    // The other way round, and one that follows at once is not far behind.
    let wants = "user = \"probe\"\ndatabase = \"postgres\"\nrole = \"standby\"\nmax_lag = \"1h\"";
    let reads = Lb::start(config("", &check("postgres", wants), &both)).await;
    until_state(&reads, &primary, STANDBY).await;
    until_state(&reads, &standby, UP).await;

    is_missed_while_it_is_stopped(&lb, &primary).await;
    primary.signal(Signal::KILL);
    until_state(&lb, &primary, DOWN).await;
    servers::promote_postgres(&standby);
    until_state(&lb, &standby, UP).await;
    until_state(&reads, &standby, STANDBY).await;
}

#[tokio::test]
async fn postgres_that_lets_nobody_in_is_down_for_who_logs_in_and_well_for_who_only_looks() {
    let server = servers::postgres().await;
    let looks = check("postgres", "").replace(&format!("password = \"{PASSWORD}\"\n"), "");
    let lb = Lb::start(config("", &looks, &[server.backend()])).await;
    until_state(&lb, &server, UP).await;
    let stranger = check("postgres", "user = \"stranger\"");
    lb.reload(config("", &stranger, &[server.backend()]));
    until_state(&lb, &server, DOWN).await;
    lb.until_log("password authentication failed").await;
    assert!(!lb.log_text().contains(PASSWORD));
}

#[tokio::test]
async fn mariadb_is_known_by_its_role() {
    let server = servers::mariadb().await;
    let wants = check("mysql", "user = \"probe\"\nrole = \"primary\"");
    let lb = Lb::start(config("", &wants, &[server.backend()])).await;
    until_state(&lb, &server, UP).await;
    servers::ask_mariadb(&server, "SET GLOBAL read_only = 1");
    until_state(&lb, &server, STANDBY).await;
    let lag = check("mysql", "user = \"probe\"\nrole = \"standby\"\nmax_lag = \"10s\"");
    let reads = Lb::start(config("", &lag, &[server.backend()])).await;
    until_state(&reads, &server, DOWN).await;
    reads.until_log("it does not follow its primary").await;
    servers::ask_mariadb(&server, "SET GLOBAL read_only = 0");
    until_state(&lb, &server, UP).await;
    is_missed_while_it_is_stopped(&lb, &server).await;
    // Who has no user is let in by nobody, and a server that says so is well.
    let looks = check("mysql", "").replace(&format!("password = \"{PASSWORD}\"\n"), "");
    let looking = Lb::start(config("", &looks, &[server.backend()])).await;
    until_state(&looking, &server, UP).await;
    server.signal(Signal::KILL);
    until_state(&lb, &server, DOWN).await;
    until_state(&looking, &server, DOWN).await;
}

#[tokio::test]
async fn redis_is_followed_where_sentinel_puts_its_primary() {
    let primary = servers::redis(None).await;
    let replica = servers::redis(Some(&primary)).await;
    let wants = check("redis", "role = \"primary\"");
    let lb = Lb::start(config("", &wants, &[primary.backend(), replica.backend()])).await;
    until_state(&lb, &primary, UP).await;
    until_state(&lb, &replica, STANDBY).await;
    let reads = check("redis", "role = \"standby\"");
    let reads = Lb::start(config("", &reads, &[primary.backend(), replica.backend()])).await;
    until_state(&reads, &replica, UP).await;
    is_missed_while_it_is_stopped(&lb, &primary).await;

    let sentinel = servers::sentinel(&primary).await;
    crate::support::until("the Sentinel knows the replica", async || {
        let told = servers::ask_redis(&sentinel, &["SENTINEL", "REPLICAS", "shop"]);
        told.contains(&replica.port.to_string()) && !told.contains("s_down")
    })
    .await;
    primary.signal(Signal::KILL);
    until_state(&lb, &primary, DOWN).await;
    until_state(&lb, &replica, UP).await;
    until_state(&reads, &replica, STANDBY).await;
}

#[tokio::test]
async fn clients_are_led_to_the_primary_that_sentinels_name() {
    let primary = servers::redis(None).await;
    let replica = servers::redis(Some(&primary)).await;
    let sentinel = servers::sentinel(&primary).await;
    crate::support::until("the Sentinel knows the replica", async || {
        let told = servers::ask_redis(&sentinel, &["SENTINEL", "REPLICAS", "shop"]);
        told.contains(&replica.port.to_string()) && !told.contains("s_down")
    })
    .await;
    let lb = Lb::start(led_by(&format!("sentinels = [\"{}\"]", sentinel.address()))).await;
    let at = async || {
        let list = lb.api("/api/v1/ha/load-balancer/backends").await;
        let backends = list["backends"].as_array().unwrap().clone();
        backends.iter().map(|one| one["backend"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(at().await, [format!("shop/{}", primary.address())]);
    let role = |port| servers::ask_redis_at(port, &["ROLE"]);
    assert!(role(lb.addr("main").port()).contains("master"));

    primary.signal(Signal::KILL);
    let moved = format!("shop/{}", replica.address());
    crate::support::until("the replica is named", async || at().await == [moved.clone()]).await;
    assert!(role(lb.addr("main").port()).contains("master"));
    // A Sentinel that is gone takes nobody away.
    sentinel.signal(Signal::KILL);
    lb.until_log("1 Sentinels have to agree").await;
    assert_eq!(at().await, [moved]);
}

/// Connections that are led to the primary of these Sentinels.
fn led_by(dns: &str) -> String {
    format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"main\"\nmode = \"tcp\"\naddress = \"127.0.0.1:0\"\nupstream = \"redis\"\n\
         [upstream.redis.dns]\n{dns}\n\
         [[upstream.redis.backend]]\naddress = \"shop\"\n"
    )
}

#[tokio::test]
async fn sentinels_may_want_a_password_and_be_known_and_know_by_names() {
    let primary = servers::redis(None).await;
    let sentinel = servers::shy_sentinel(&primary).await;
    crate::support::until("the Sentinel names its primary by its host", async || {
        let ask = ["SENTINEL", "get-master-addr-by-name", "shop"];
        servers::ask_redis(&sentinel, &ask).starts_with("localhost")
    })
    .await;
    let dns = format!("sentinels = [\"localhost:{}\"]", sentinel.port);
    let lb = Lb::start(led_by(&dns)).await;
    lb.until_log("NOAUTH").await;
    lb.reload(led_by(&format!("{dns}\nsentinel_password = \"wrong\"")));
    lb.until_log("WRONGPASS").await;
    for user in ["", "sentinel_user = \"default\"\n"] {
        lb.reload(led_by(&format!("{dns}\n{user}sentinel_password = \"{PASSWORD}\"")));
        let named = format!("shop/{}", primary.address());
        crate::support::until("the primary is found", async || {
            let list = lb.api("/api/v1/ha/load-balancer/backends").await;
            list["backends"][0]["backend"] == named
        })
        .await;
        let told = servers::ask_redis_at(lb.addr("main").port(), &["ROLE"]);
        assert!(told.contains("master"), "{told}");
    }
    assert!(!lb.log_text().contains(PASSWORD));
}
