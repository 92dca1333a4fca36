//! Picks recorded from a real nginx, which ours must repeat. `scripts/golden-nginx` records them and
//! tells how a file is made up.

use super::strategy::Strategy;
use super::{Candidate, Key, Lives, OwnedInFlight, Pick, Plan, Rng, Settings, Tried};
use crate::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

struct Recording {
    strategy: Strategy,
    backends: Vec<Backend>,
    /// A request's key and the backend, `None` for a 502. With the key `-` one of its requests ends, with
    /// `?` it was picked by chance.
    rows: Vec<(String, Option<u32>)>,
}

struct Backend {
    label: String,
    weight: i64,
    down: bool,
    backup: bool,
    refuses: bool,
    max_connections: u32,
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
                ["random", "two", "least_conn"] => Strategy::Random,
                _ => panic!("no strategy for `{directive}`"),
            });
        } else if let Some(server) = line.strip_prefix("# server,") {
            let [label, weight, state] = server.split(',').collect::<Vec<_>>()[..] else {
                panic!("not a server: `{line}`");
            };
            let is = |word| state.split(' ').any(|known| known == word);
            let limit = state.split(' ').find_map(|word| word.strip_prefix("max_conns="));
            backends.push(Backend {
                label: label.to_owned(),
                weight: weight.parse().unwrap(),
                down: is("down"),
                backup: is("backup"),
                refuses: is("refuses"),
                max_connections: limit.map_or(0, |limit| limit.parse().unwrap()),
            });
        } else if !line.starts_with('#') {
            let (key, backend) = line.rsplit_once(',').unwrap();
            let backend = (backend != "none").then(|| backend.parse().unwrap());
            rows.push((key.to_owned(), backend));
        }
    }
    Recording { strategy: strategy.unwrap(), backends, rows }
}

/// The plan of the primaries, or of the backups.
fn plan(recording: &Recording, backups: bool) -> Plan {
    let candidates: Vec<Candidate<'_>> = (0_u32..)
        .zip(&recording.backends)
        .filter(|(_, backend)| backend.backup == backups)
        .map(|(n, backend)| Candidate {
            ix: BackendIx(n),
            id: BackendId(n.into()),
            label: &backend.label,
            weight: Weight::try_from(backend.weight).unwrap(),
            eligible: !backend.down,
            max_connections: backend.max_connections,
            failures: None,
        })
        .collect();
    let settings = Settings { strategy: recording.strategy, choices: 2, ..Settings::default() };
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
    let (primary, backup) = (plan(&recording, false), plan(&recording, true));
    let mut cursors = [&primary, &backup].map(|plan| plan.cursor(WorkerIx(0), 0));
    let live = Lives::new(recording.backends.len());
    // Requests end at once, but where the recording says when.
    let holds = recording.rows.iter().any(|(key, _)| ["-", "+", "?"].contains(&key.as_str()));
    let mut held: Vec<(u32, OwnedInFlight)> = Vec::new();
    let mut rng = Rng::new(1);
    assert!(recording.rows.len() > 20, "{name}");
    for (line, (step, expected)) in recording.rows.iter().enumerate() {
        if step == "-" {
            let ended = held.iter().position(|(backend, _)| Some(*backend) == *expected).unwrap();
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
            let picked = primary.pick(&mut cursors[0], &mut pick);
            match picked.or_else(|| backup.pick(&mut cursors[1], &mut pick)) {
                Some(ix) if recording.backends[ix.index()].refuses => tried.insert(ix),
                answered => break answered,
            }
        };
        assert!(
            step == "?" || picked.map(|ix| ix.0) == *expected,
            "{name}, pick {line}: `{step}` to {picked:?}, not {expected:?}"
        );
        if let Some(number) = *expected
            && holds
        {
            held.push((number, live[number as usize].enter_owned()));
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
        "wrr-ties", "wrr-large", "wrr-one-down", "wrr-one-refuses", "wrr-mostly-refuses",
        "wrr-max_conns";
    backups: "wrr-backup", "wrr-backup-max_conns", "least_conn-backup-max_conns";
    ip_hash: "ip_hash-equal", "ip_hash-weighted", "ip_hash-one-down", "ip_hash-mostly-down",
        "ip_hash-one-refuses", "ip_hash-mostly-refuses", "ip_hash-max_conns";
    hash: "hash-equal", "hash-weighted", "hash-one-down", "hash-mostly-down", "hash-one-refuses",
        "hash-mostly-refuses", "hash-empty-key", "hash-max_conns";
    hash_consistent: "ketama-equal", "ketama-weighted", "ketama-one-down", "ketama-mostly-down",
        "ketama-one-refuses", "ketama-mostly-refuses", "ketama-labels", "ketama-empty-key", "ketama-max_conns";
    least_conn: "least_conn-equal", "least_conn-weighted", "least_conn-max_conns";
    random_two: "random_two";
}
