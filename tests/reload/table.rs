//! What a reload can change: backends, weights, strategies, routes.

use super::{ask, reload};
use crate::support::{Lb, Origin, at, at_with, config};

async fn ask_times(lb: &Lb, times: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..times {
        let (status, name) = ask(lb, "/").await;
        assert_eq!(status, 200);
        names.push(name);
    }
    names
}

fn share(names: &[String], name: &str) -> usize {
    names.iter().filter(|one| *one == name).count()
}

#[tokio::test]
async fn backends_come_and_go() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    assert_eq!(share(&ask_times(&lb, 4).await, "a"), 4);
    reload(&lb, config("", "", &[at(&a), at(&b)])).await;
    assert!(share(&ask_times(&lb, 20).await, "b") > 0);
    reload(&lb, config("", "", &[at(&b)])).await;
    assert_eq!(share(&ask_times(&lb, 4).await, "b"), 4);
    let gone = format!("plimsoll_backend_up{{backend=\"{}\"}}", a.address());
    assert_eq!(lb.metric(&gone).await, None, "its series are still there");
}

#[tokio::test]
async fn weights_take_effect() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let one = |config: String| config.replace("workers = 2", "workers = 1");
    let lb = Lb::start(one(config("", "", &[at(&a), at(&b)]))).await;
    assert_eq!(share(&ask_times(&lb, 8).await, "a"), 4);
    let backends = [at_with(&a, "weight = 3"), at(&b)];
    reload(&lb, one(config("", "", &backends))).await;
    assert_eq!(share(&ask_times(&lb, 8).await, "a"), 6);
    let weight = format!("plimsoll_backend_weight_effective{{backend=\"{}\"}}", a.address());
    assert_eq!(lb.metric(&weight).await, Some(3.0));
}

#[tokio::test]
async fn strategies_take_effect() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let lb = Lb::start(config("", "", &[at(&a), at(&b)])).await;
    let names = ask_times(&lb, 20).await;
    assert!(share(&names, "a") > 0 && share(&names, "b") > 0);
    let hashed = "strategy = \"url_hash\"";
    reload(&lb, config("", hashed, &[at(&a), at(&b)])).await;
    let names = ask_times(&lb, 10).await;
    assert_eq!(share(&names, &names[0]), 10, "{names:?}");
    let stats = lb.api("/api/v1/ha/load-balancer/stats").await;
    assert_eq!(stats["upstreams"][0]["strategy"], "url_hash");
}

#[tokio::test]
async fn routes_come_and_go() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let plain = config("", "", &[at(&a)]);
    let lb = Lb::start(&plain).await;
    let more = format!(
        "{plain}\n[[route]]\nname = \"more\"\npath = \"/more\"\nupstream = \"more\"\n\
         [[upstream.more.backend]]\n{}\n\
         [[route]]\npath_exact = \"/fixed\"\nrespond = {{ status = 418 }}\n",
        at(&b)
    );
    reload(&lb, more).await;
    assert_eq!(ask(&lb, "/").await.1, "a");
    assert_eq!(ask(&lb, "/more/x").await.1, "b");
    assert_eq!(ask(&lb, "/fixed").await.0, 418);
    let series = "plimsoll_requests_total{route=\"more\"}";
    lb.until_metric(series, 1.0).await;
    reload(&lb, &plain).await;
    assert_eq!(ask(&lb, "/more/x").await.1, "a");
    assert_eq!(lb.metric(series).await, None, "its series are still there");
}

#[tokio::test]
async fn probes_begin_and_end() {
    let a = Origin::start("a").await;
    let lb = Lb::start(config("", "", &[at(&a)])).await;
    let probing = "[upstream.api.health]\npath = \"/probe\"\ninterval = \"20ms\"\n";
    reload(&lb, config("", probing, &[at(&a)])).await;
    a.until_requests(3).await;
    reload(&lb, config("", "", &[at(&a)])).await;
    let state = format!("plimsoll_backend_state{{backend=\"{}\"}}", a.address());
    lb.until_metric(&state, 1.0).await;
    let checks = lb.api("/api/v1/ha/health-checks").await;
    assert!(checks["upstreams"][0]["active"].is_null(), "{checks}");
    assert_eq!(checks["upstreams"][0]["backends"][0]["probed_state"], "unprobed");
    // One probe may have been under way.
    let probes = crate::support::at_rest(|| a.requests()).await;
    assert_eq!(ask(&lb, "/").await.0, 200);
    assert_eq!(a.requests(), probes + 1);
}
