//! Maglev, Prequal and subsets, seen from a client.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::ask;
use crate::support::{Client, Lb, Origin, request};

async fn origins<const N: usize>() -> [Origin; N] {
    let mut started = Vec::new();
    for name in ["a", "b", "c", "d", "e", "f"].iter().take(N) {
        started.push(Origin::start(name).await);
    }
    started.try_into().unwrap_or_else(|_| panic!("there are six names"))
}

fn text(top: &str, upstream: &str, origins: &[Origin]) -> String {
    let mut text = format!(
        "workers = 1\n{top}\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
         [[route]]\nupstream = \"app\"\n[upstream.app]\n{upstream}\n"
    );
    for origin in origins {
        writeln!(text, "[[upstream.app.backend]]\naddress = \"{}\"", origin.address()).unwrap();
    }
    text
}

/// Who answers to each target.
async fn answering(lb: &Lb, targets: impl Iterator<Item = String>) -> Vec<String> {
    let mut names = Vec::new();
    for target in targets {
        let answer = request(lb.addr("web"), ask(&target)).await;
        assert_eq!(answer.status, 200, "{target}");
        names.push(answer.text());
    }
    names
}

fn targets() -> impl Iterator<Item = String> {
    (0..40).map(|n| format!("/item/{n}"))
}

#[tokio::test]
async fn maglev_keeps_keys_where_they_are_and_spreads_those_of_the_lost() {
    let mut origins = origins::<4>().await;
    let upstream = "strategy = \"maglev\"\ntable_size = 251\npassive = { max_fails = 1 }";
    let lb = Lb::start(text("", upstream, &origins)).await;
    let first = answering(&lb, targets()).await;
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 4, "{first:?}");
    assert_eq!(answering(&lb, targets()).await, first);
    origins[1].stop().await;
    let without = answering(&lb, targets()).await;
    for (before, now) in first.iter().zip(&without) {
        assert!(if before == "b" { now != "b" } else { now == before }, "{first:?}, {without:?}");
    }
}

#[tokio::test]
async fn prequal_leaves_alone_who_is_busy() {
    let origins = origins::<3>().await;
    let lb = Lb::start(text("", "strategy = \"prequal\"\nhot_quantile = 0.0", &origins)).await;
    origins.iter().for_each(Origin::hold);
    // Each request finds those hot that have more under way than the least loaded one.
    let mut clients = Vec::new();
    for under_way in 1..=30 {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(ask("/")).await;
        let asked = async || origins.iter().map(Origin::requests).sum::<usize>() == under_way;
        crate::support::until("a backend is asked", asked).await;
        clients.push(client);
    }
    // Even, but for the one pick in 64 that explores.
    let asked = origins.each_ref().map(Origin::requests);
    assert!(asked.iter().all(|count| (8..=12).contains(count)), "{asked:?}");
    origins.iter().for_each(Origin::release);
    for client in &mut clients {
        assert_eq!(client.read_response().await.status, 200);
    }
}

#[tokio::test]
async fn a_node_uses_its_subset_and_replaces_who_drops_out() {
    let mut origins = origins::<6>().await;
    let upstream = "subset = 2\npassive = { max_fails = 1, fail_timeout = \"1h\" }";
    let mut subsets = BTreeSet::new();
    for node in ["lb-1", "lb-2", "lb-3", "lb-4"] {
        let lb = Lb::start(text(&format!("node = \"{node}\""), upstream, &origins)).await;
        let names = answering(&lb, targets()).await.into_iter();
        let names: BTreeSet<_> = names.collect();
        assert_eq!(names.len(), 2, "{node}: {names:?}");
        let list = lb.api("/api/v1/ha/load-balancer/backends").await;
        let why = list["backends"].as_array().unwrap().iter().map(|one| one["why"].to_string());
        assert_eq!(why.filter(|why| why.contains("none of the few")).count(), 4, "{list}");
        subsets.insert(names);
    }
    assert!(subsets.len() > 1, "{subsets:?}");

    let lb = Lb::start(text("node = \"lb-1\"", upstream, &origins)).await;
    let before: BTreeSet<_> = answering(&lb, targets()).await.into_iter().collect();
    let lost = before.first().unwrap().clone();
    let place = ["a", "b", "c", "d", "e", "f"].iter().position(|name| *name == lost).unwrap();
    origins[place].stop().await;
    // Every request is served, and from its loss on by the one that stays and a new one.
    answering(&lb, targets()).await;
    lb.until_log("backend parked").await;
    let after: BTreeSet<_> = answering(&lb, targets()).await.into_iter().collect();
    assert_eq!((after.len(), after.intersection(&before).count()), (2, 1), "{before:?} {after:?}");
    assert!(!after.contains(&lost));
}
