//! Picks recorded from a real nginx, which ours must repeat. `scripts/golden-nginx` records them and
//! tells how a file is made up.

use super::strategy::Strategy;
use super::{Candidate, Key, Lives, OwnedInFlight, Pick, Plan, Rng, Settings, Tried};
use crate::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

struct Recording {
    strategy: Strategy,
    backends: Vec<Backend>,
    /// A request's key, or a step for `least_conn`, and the backend.
    rows: Vec<(String, u32)>,
}

struct Backend {
    label: String,
    weight: i64,
    down: bool,
    refuses: bool,
}

fn parse(text: &str) -> Recording {
    let mut strategy = None;
    let mut backends = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(directive) = line.strip_prefix("# directive,") {
            strategy = Some(match directive.split(' ').collect::<Vec<_>>()[..] {
                ["round_robin"] => Strategy::WeightedRoundRobin,
                ["least_conn"] => Strategy::LeastConnections,
                ["ip_hash"] => Strategy::IpHash,
                ["hash", _] => Strategy::UrlHash,
                ["hash", _, "consistent"] => Strategy::ConsistentHash,
                _ => panic!("no strategy for `{directive}`"),
            });
        } else if let Some(server) = line.strip_prefix("# server,") {
            let [label, weight, state] = server.split(',').collect::<Vec<_>>()[..] else {
                panic!("not a server: `{line}`");
            };
            backends.push(Backend {
                label: label.to_owned(),
                weight: weight.parse().unwrap(),
                down: state == "down",
                refuses: state == "refuses",
            });
        } else if !line.starts_with('#') {
            let (key, backend) = line.rsplit_once(',').unwrap();
            rows.push((key.to_owned(), backend.parse().unwrap()));
        }
    }
    Recording { strategy: strategy.unwrap(), backends, rows }
}

fn plan(recording: &Recording) -> Plan {
    let candidates: Vec<Candidate<'_>> = (0_u32..)
        .zip(&recording.backends)
        .map(|(n, backend)| Candidate {
            ix: BackendIx(n),
            id: BackendId(n.into()),
            label: &backend.label,
            weight: Weight::try_from(backend.weight).unwrap(),
            eligible: !backend.down,
            max_connections: 0,
        })
        .collect();
    let settings = Settings { strategy: recording.strategy, choices: 1, bounded_load: None };
    Plan::build(&settings, &candidates)
}

fn key(strategy: Strategy, text: &str) -> Key<'_> {
    match (strategy, text) {
        (Strategy::IpHash, "unix:") => Key::Unix,
        (Strategy::IpHash, address) => Key::Address(address.parse().unwrap()),
        (_, key) => Key::Bytes(key.as_bytes()),
    }
}

fn repeat(name: &str, text: &str) {
    let recording = parse(text);
    let plan = plan(&recording);
    let live = Lives::new(recording.backends.len());
    let mut held: Vec<(u32, OwnedInFlight)> = Vec::new();
    let mut cursor = plan.cursor(WorkerIx(0), 0);
    let mut rng = Rng::new(1);
    assert!(recording.rows.len() > 20, "{name}");
    for (line, (step, expected)) in recording.rows.iter().enumerate() {
        if step == "-" {
            let ended = held.iter().position(|(backend, _)| backend == expected).unwrap();
            held.remove(ended);
            continue;
        }
        let mut tried = Tried::new();
        let picked = loop {
            let mut pick = Pick {
                key: key(recording.strategy, step),
                live: &live,
                tried: &tried,
                now: Tick(0),
                rng: &mut rng,
            };
            let picked = plan.pick(&mut cursor, &mut pick).unwrap();
            if !recording.backends[picked.index()].refuses {
                break picked;
            }
            tried.insert(picked);
        };
        assert_eq!(picked.0, *expected, "{name}, pick {line}: `{step}`");
        if recording.strategy == Strategy::LeastConnections {
            held.push((picked.0, live[picked.index()].enter_owned()));
        }
    }
}

macro_rules! recordings {
    ($($test:ident: $($file:literal),+;)+) => {$(
        #[test]
        fn $test() {
            $(repeat(
                $file,
                include_str!(concat!("../../tests/data/nginx-golden/", $file, ".csv")),
            );)+
        }
    )+};
}

recordings! {
    smooth_weighted_round_robin: "wrr-equal", "wrr-5-1-1", "wrr-1-2-3-4", "wrr-common-divisor",
        "wrr-ties", "wrr-large", "wrr-one-down";
    ip_hash: "ip_hash-equal", "ip_hash-weighted", "ip_hash-one-down", "ip_hash-mostly-down",
        "ip_hash-one-refuses", "ip_hash-mostly-refuses";
    hash: "hash-equal", "hash-weighted", "hash-one-down", "hash-mostly-down", "hash-one-refuses",
        "hash-mostly-refuses", "hash-empty-key";
    hash_consistent: "ketama-equal", "ketama-weighted", "ketama-one-down", "ketama-mostly-down",
        "ketama-one-refuses", "ketama-mostly-refuses", "ketama-labels", "ketama-empty-key";
    least_conn: "least_conn-equal", "least_conn-weighted";
}
