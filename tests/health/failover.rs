//! Tiers, failover groups, zones.

use std::collections::BTreeMap;

use super::{ask, ask_all_from};
use crate::support::{Lb, Origin, at_with, config, request, until};

const PROBES: &str = "strategy = \"round_robin\"\n\
                      health = { path = \"/\", interval = \"100ms\", fast_interval = \"50ms\", \
                      timeout = \"5s\", rise = 1, fall = 1 }\n";

/// Origins with these names, and the sections of their backends with a setting each.
async fn origins<const N: usize>(named: [(&str, &str); N]) -> (Vec<Origin>, Vec<String>) {
    let mut origins = Vec::new();
    for (name, _) in named {
        origins.push(Origin::start(name).await);
    }
    let sections = origins.iter().zip(named).map(|(origin, (_, setting))| at_with(origin, setting));
    let sections = sections.collect();
    (origins, sections)
}

async fn group(lb: &Lb) -> String {
    let status = lb.api("/api/v1/ha/status").await;
    status["upstreams"][0]["failover"].as_str().unwrap_or_default().to_owned()
}

/// Waits until so many backends are up.
async fn until_up(lb: &Lb, count: usize) {
    lb.until_metric("plimsoll_upstream_backends{state=\"up\"}", count as f64).await;
}

/// How many of so many answers come from each.
async fn answers(lb: &Lb, times: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..times {
        let (status, name) = ask(lb).await;
        assert_eq!(status, 200);
        *counts.entry(name).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn tiers_serve_in_their_order() {
    let (mut origins, sections) =
        origins([("first", ""), ("second", "tier = 1"), ("third", "tier = 2")]).await;
    let lb = Lb::start(config("", PROBES, &sections)).await;
    until_up(&lb, 3).await;
    ask_all_from(&lb, 5, "first").await;
    origins[0].stop().await;
    until_up(&lb, 2).await;
    ask_all_from(&lb, 5, "second").await;
    origins[1].stop().await;
    until_up(&lb, 1).await;
    ask_all_from(&lb, 5, "third").await;
    origins[0].restart().await;
    until_up(&lb, 2).await;
    ask_all_from(&lb, 5, "first").await;
}

#[tokio::test]
async fn a_group_fails_over_at_once_and_back_by_and_by() {
    let (mut origins, sections) = origins([("first", ""), ("second", "tier = 1")]).await;
    let failover = "failover = { failback_delay = \"300ms\", refill_interval = \"200ms\" }";
    let lb = Lb::start(config("", &format!("{PROBES}{failover}"), &sections)).await;
    until_up(&lb, 2).await;
    assert_eq!(group(&lb).await, "primary");
    ask_all_from(&lb, 5, "first").await;
    origins[0].stop().await;
    until("it has failed over", async || group(&lb).await == "failed_over").await;
    ask_all_from(&lb, 5, "second").await;
    lb.until_metric("plimsoll_upstream_tier_share_ratio{tier=\"1\"}", 1.0).await;
    origins[0].restart().await;
    until("it is back", async || group(&lb).await == "primary").await;
    ask_all_from(&lb, 5, "first").await;
    let events = lb.api("/api/v1/ha/events?kind=failover.").await;
    let kinds = events["events"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["failover.completed", "failover.recovering", "failover.handed_back"]);
}

#[tokio::test]
async fn without_failback_the_second_tier_goes_on_until_the_operator_pins_the_first() {
    let (mut origins, sections) = origins([("first", ""), ("second", "tier = 1")]).await;
    let with = |more: &str| {
        let failover =
            format!("failover = {{ failback = \"manual\", failback_delay = \"0s\"{more} }}");
        config("", &format!("{PROBES}{failover}"), &sections)
    };
    let lb = Lb::start(with("")).await;
    until_up(&lb, 2).await;
    origins[0].stop().await;
    until("it has failed over", async || group(&lb).await == "failed_over").await;
    origins[0].restart().await;
    lb.until_log("failover.recommended").await;
    ask_all_from(&lb, 5, "second").await;
    lb.reload(with(", pin = 0"));
    until("it is pinned", async || group(&lb).await == "pinned").await;
    ask_all_from(&lb, 5, "first").await;
    lb.reload(config("", PROBES, &sections));
    until("nothing is decided any more", async || {
        lb.api("/api/v1/ha/status").await["upstreams"][0]["failover"].is_null()
    })
    .await;
    ask_all_from(&lb, 5, "first").await;
    lb.reload(with(", pin = 1"));
    until("it is pinned again", async || group(&lb).await == "pinned").await;
    ask_all_from(&lb, 5, "second").await;
    lb.reload(with(", strategy = \"multi_active\""));
    until("it is released", async || group(&lb).await == "primary").await;
    ask_all_from(&lb, 5, "first").await;
}

#[tokio::test]
async fn a_pinned_tier_serves_whatever_happens() {
    let (mut origins, sections) = origins([("first", ""), ("second", "tier = 1")]).await;
    let settings = format!("{PROBES}when_none_eligible = \"reject\"\nfailover = {{ pin = 1 }}");
    let lb = Lb::start(config("", &settings, &sections)).await;
    until_up(&lb, 2).await;
    ask_all_from(&lb, 5, "second").await;
    origins[1].stop().await;
    until_up(&lb, 1).await;
    assert_eq!(ask(&lb).await.0, 503);
}

#[tokio::test]
async fn a_tier_that_drains_as_a_whole_goes_on_for_who_is_bound_to_it() {
    let (first, second) = (Origin::start("first").await, Origin::start("second").await);
    let with = |state: &str| {
        let settings = format!("{PROBES}failover = {{}}\nsticky = {{ cookie = \"srv\" }}");
        let state = format!("state = \"{state}\"");
        config("", &settings, &[at_with(&first, &state), at_with(&second, "tier = 1")])
    };
    let lb = Lb::start(with("enabled")).await;
    until_up(&lb, 2).await;
    let ask_with = async |cookie: &str| {
        let head = format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n");
        request(lb.addr("main"), head).await
    };
    let cookie = ask_with("").await.header("set-cookie").unwrap().to_owned();
    lb.reload(with("draining"));
    until("it has failed over", async || group(&lb).await == "failed_over").await;
    ask_all_from(&lb, 5, "second").await;
    for _ in 0..3 {
        assert_eq!(ask_with(&cookie).await.text(), "first");
    }
}

#[tokio::test]
async fn what_a_zone_cannot_carry_spills_to_the_next() {
    let (mut origins, sections) = origins([
        ("here-1", "zone = \"a\""),
        ("here-2", "zone = \"a\""),
        ("near", "zone = \"b\"\nregion = \"eu\""),
        ("far", "zone = \"c\"\nregion = \"us\""),
    ])
    .await;
    let top = "zone = \"a\"\nregion = \"eu\"";
    let lb = Lb::start(config(top, PROBES, &sections)).await;
    until_up(&lb, 4).await;
    let counts = answers(&lb, 20).await;
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["here-1", "here-2"]);
    origins[1].stop().await;
    until_up(&lb, 3).await;
    lb.until_metric("plimsoll_upstream_tier_share_ratio{tier=\"0\"}", 0.7).await;
    lb.until_metric("plimsoll_upstream_tier_share_ratio{tier=\"1\"}", 0.3).await;
    let counts = answers(&lb, 200).await;
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["here-1", "near"]);
    // Six standard deviations of 200 draws are 39.
    assert!(counts["here-1"].abs_diff(140) <= 39, "{counts:?}");
    origins[0].stop().await;
    until_up(&lb, 2).await;
    ask_all_from(&lb, 10, "near").await;
    origins[2].stop().await;
    until_up(&lb, 1).await;
    ask_all_from(&lb, 10, "far").await;
}

#[tokio::test]
async fn active_tiers_serve_alike() {
    let (mut origins, sections) = origins([("first", ""), ("second", "tier = 1")]).await;
    let failover = "failover = { strategy = \"active_active\" }";
    let lb = Lb::start(config("", &format!("{PROBES}{failover}"), &sections)).await;
    until_up(&lb, 2).await;
    assert_eq!(answers(&lb, 10).await.len(), 2);
    origins[0].stop().await;
    until_up(&lb, 1).await;
    ask_all_from(&lb, 5, "second").await;
}

/// What is told of the group and its room.
async fn room(lb: &Lb) -> serde_json::Value {
    lb.api("/api/v1/ha/failover/status").await["upstreams"][0].clone()
}

#[tokio::test]
async fn what_is_more_than_those_that_serve_are_good_for_gets_503_and_is_told() {
    let (mut origins, sections) =
        origins([("first", "capacity = 1000000"), ("second", "tier = 1\ncapacity = 1")]).await;
    let failover = "failover = { strategy = \"active_active\" }";
    let lb = Lb::start(config("", &format!("{PROBES}{failover}"), &sections)).await;
    until_up(&lb, 2).await;
    lb.until_metric("plimsoll_upstream_room_requests_per_second", 1_000_001.0).await;
    until("it is known what is asked", async || {
        assert_eq!(ask(&lb).await.0, 200, "there is room");
        lb.metric("plimsoll_upstream_demand_requests_per_second").await.unwrap() > 5.0
    })
    .await;
    origins[0].stop().await;
    until("there is too little room", async || ask(&lb).await.0 == 503).await;
    lb.until_log("there is too little room").await;
    let told = room(&lb).await;
    assert_eq!(told["room"]["capacity"], 1.0, "{told}");
    assert!(told["room"]["refused"].as_f64().unwrap() > 0.0, "{told}");
    let status = lb.status().await;
    assert!(status["upstreams"][0]["beyond_room"].as_f64().unwrap() > 0.0, "{status}");
    assert!(lb.metric("plimsoll_upstream_shed_total{reason=\"room\"}").await.unwrap() >= 1.0);
    // Who comes more seldom is served by who is left.
    lb.until_log("there is room again").await;
    ask_all_from(&lb, 1, "second").await;
    let events = lb.api("/api/v1/ha/events?kind=failover.").await;
    let kinds = events["events"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["failover.short_of_room", "failover.room"]);
}

#[tokio::test]
async fn who_has_somebody_is_not_left_for_who_is_good_for_less() {
    let (mut origins, _) = origins([("a", ""), ("b", ""), ("c", "")]).await;
    let with = |capacity: u32| {
        let each = [("", 100_000), ("", 100_000), ("tier = 1", capacity)];
        let sections = origins.iter().zip(each).map(|(origin, (tier, capacity))| {
            at_with(origin, &format!("{tier}\ncapacity = {capacity}"))
        });
        let failover = "failover = { min_healthy = 2, detection_timeout = \"100ms\" }";
        config("", &format!("{PROBES}{failover}"), &sections.collect::<Vec<_>>())
    };
    let (small, large) = (with(1), with(100_000));
    let lb = Lb::start(small).await;
    until_up(&lb, 3).await;
    let load = crate::support::Load::start(lb.addr("main"), 2);
    until("it is known what is asked", async || {
        lb.metric("plimsoll_upstream_demand_requests_per_second").await.unwrap() > 5.0
    })
    .await;
    origins[0].stop().await;
    until("its tier is suspect", async || group(&lb).await == "suspect").await;
    load.until_answered(200).await;
    assert_eq!(group(&lb).await, "suspect", "the other one would drown");
    lb.reload(large);
    until("it has failed over", async || group(&lb).await == "failed_over").await;
    load.expect_all_good().await;
}
