//! An own strategy beside the built-in ones, over the same counters.
//!
//! The built-in strategies are a closed set (one `match`, no dynamic call on the request path); a
//! new one is a file in `src/balance`. What it works with is public, so that it can be written,
//! tried and compared before: [`Lives`] counts what each backend is doing, [`Tried`] what this
//! request has tried already.
//!
//! This one packs: it fills the first backend up to a limit before it touches the second, so that
//! in quiet hours the rest can be switched off.
//!
//! ```sh
//! cargo run --example custom_strategy
//! ```

#![allow(clippy::print_stdout, reason = "an example talks to who runs it")]

use std::collections::VecDeque;

use plimsoll::balance::{
    Candidate, Key, Lives, OwnedInFlight, Pick, Plan, Rng, Settings, Strategy, Tried,
};
use plimsoll::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

const LABELS: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"];
const REQUESTS: usize = 10_000;
/// Requests under way at any time.
const UNDER_WAY: usize = 6;

/// The first backend with less than `limit` requests in flight; when all are that busy, the one
/// with the fewest.
fn pack(pick: &Pick<'_>, limit: u32) -> Option<BackendIx> {
    let open = || (0..pick.live.len() as u32).map(BackendIx);
    let untried = || open().filter(|ix| !pick.tried.contains(*ix));
    let in_flight = |ix: &BackendIx| pick.live[ix.index()].in_flight();
    untried().find(|ix| in_flight(ix) < limit).or_else(|| untried().min_by_key(in_flight))
}

/// A plan of the built-in strategy for four equal backends.
fn built_in(strategy: Strategy) -> Plan {
    let candidate = |n: u32| Candidate {
        ix: BackendIx(n),
        id: BackendId(n.into()),
        label: LABELS[n as usize],
        weight: Weight::try_from(1).expect("1 is a weight"),
        eligible: true,
        max_connections: 0,
        failures: None,
    };
    let settings = Settings { strategy, ..Settings::default() };
    Plan::build(&settings, &[0, 1, 2, 3].map(candidate))
}

/// Has `choose` pick for many requests, a few of which are under way at once, and counts.
fn shares(mut choose: impl FnMut(&mut Pick<'_>) -> Option<BackendIx>) -> [usize; 4] {
    let live = Lives::new(LABELS.len());
    let (mut rng, mut counts) = (Rng::new(7), [0; 4]);
    let mut under_way = VecDeque::<OwnedInFlight>::new();
    for _ in 0..REQUESTS {
        let mut pick =
            Pick { key: Key::None, live: &live, tried: &Tried::new(), now: Tick(0), rng: &mut rng };
        let ix = choose(&mut pick).expect("a backend is there").index();
        counts[ix] += 1;
        under_way.push_back(live[ix].enter_owned());
        if under_way.len() > UNDER_WAY {
            // The guard counts the request out.
            under_way.pop_front();
        }
    }
    counts
}

fn main() {
    for strategy in [Strategy::WeightedRoundRobin, Strategy::LeastConnections, Strategy::Random] {
        let plan = built_in(strategy);
        let mut cursor = plan.cursor(WorkerIx(0), 0);
        let counts = shares(|pick| plan.pick(&mut cursor, pick));
        println!("{:<21}{counts:>6?}", strategy.name());
    }
    println!("{:<21}{:>6?}", "pack", shares(|pick| pack(pick, 4)));
}
