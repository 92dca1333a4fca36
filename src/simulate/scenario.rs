//! What happens to whom, and when.

use std::ops::Range;
use std::time::Duration;

/// A story in virtual time.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The word on the command line.
    pub name: &'static str,
    /// What happens.
    pub what: &'static str,
    /// How many backends there are, where no configuration says.
    pub backends: usize,
    /// Requests in a second, over all of them.
    pub rate: f64,
    /// How long it goes on.
    pub time: Duration,
    /// The median of the time that a request takes to be served.
    pub service: Duration,
    /// Requests that a backend serves at the same time; others wait.
    pub places: usize,
    /// What happens.
    pub changes: Vec<Change>,
}

/// Something that happens for a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// From when until when.
    pub during: Range<Duration>,
    /// To which backends, by their places in the file.
    pub to: Range<usize>,
    /// What.
    pub effect: Effect,
}

/// What happens to a backend, or to all clients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Effect {
    /// Serving takes so many times as long.
    Slow(f64),
    /// The same at first, and less and less up to the end.
    Warms(f64),
    /// This part of the requests, 0 to 1, is broken off after a millisecond.
    Breaks(f64),
    /// Connections are refused.
    Refuses,
    /// Nothing is answered.
    Hangs,
    /// There are so many times as many requests, whoever serves them.
    Rush(f64),
}

impl Change {
    /// How far it has come at this time, 0 to 1; `None`: it is not under way.
    pub(super) fn progress(&self, at: Duration) -> Option<f64> {
        let since_start = |time: Duration| time.saturating_sub(self.during.start).as_secs_f64();
        let part = since_start(at) / since_start(self.during.end);
        self.during.contains(&at).then_some(part)
    }
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn change(during: Range<u64>, to: Range<usize>, effect: Effect) -> Change {
    Change { during: s(during.start)..s(during.end), to, effect }
}

/// One of ten backends, each of which serves four requests at a time.
fn ten(name: &'static str, what: &'static str, changes: Vec<Change>) -> Scenario {
    Scenario {
        name,
        what,
        backends: 10,
        rate: 1_000.0,
        time: s(60),
        service: Duration::from_millis(10),
        places: 4,
        changes,
    }
}

/// The same with fewer backends, and requests in proportion.
fn few(backends: usize, of_ten: Scenario) -> Scenario {
    Scenario { backends, rate: 100.0 * backends as f64, ..of_ten }
}

fn cold_restart() -> Scenario {
    let away = change(10..15, 0..1, Effect::Refuses);
    let back = change(15..45, 0..1, Effect::Warms(10.0));
    let what =
        "one of ten is away from second 10 to 15, and back ten times slower, warm at second 45";
    ten("cold-restart", what, vec![away, back])
}

/// Every scenario that has a name.
pub fn scenarios() -> Vec<Scenario> {
    let sick = |effect| vec![change(10..50, 0..1, effect)];
    let lost = |whom| vec![change(20..40, whom, Effect::Refuses)];
    let flaps = |turn: u64| change(4 * turn..4 * turn + 2, 0..1, Effect::Refuses);
    vec![
        ten("steady", "ten equal backends, nothing happens", vec![]),
        ten(
            "slow-one",
            "one of ten is ten times slower from second 10 to 50",
            sick(Effect::Slow(10.0)),
        ),
        ten(
            "fast-failing",
            "one of ten breaks off every request at once from second 10 to 50",
            sick(Effect::Breaks(1.0)),
        ),
        ten(
            "sickly",
            "one of ten breaks off a fifth of its requests from second 10 to 50",
            sick(Effect::Breaks(0.2)),
        ),
        ten(
            "cold-jvm",
            "one of ten begins thirty times slower, and is warm after a minute",
            vec![change(0..60, 0..1, Effect::Warms(30.0))],
        ),
        cold_restart(),
        ten(
            "herd",
            "three times as many requests from second 20 to 25",
            vec![change(20..25, 0..10, Effect::Rush(3.0))],
        ),
        ten("zone-lost", "half of ten refuse connections from second 20 to 40", lost(0..5)),
        ten(
            "black-hole",
            "one of ten answers nothing from second 20 to 40",
            vec![change(20..40, 0..1, Effect::Hangs)],
        ),
        ten(
            "flapping",
            "one of ten refuses connections for two seconds of every four",
            (0..15).map(flaps).collect(),
        ),
        ten(
            "overload",
            "twice as many requests as ten backends can serve from second 20 to 40",
            vec![change(20..40, 0..10, Effect::Rush(7.0))],
        ),
        Scenario {
            rate: 2_000.0,
            ..ten(
                "retry-storm",
                "all of ten are twenty times slower from second 20 to 25, at 2000 requests a second",
                vec![change(20..25, 0..10, Effect::Slow(20.0))],
            )
        },
        few(
            2,
            ten("two-one-lost", "one of two refuses connections from second 20 to 40", lost(0..1)),
        ),
        few(
            1,
            ten(
                "one-sickly",
                "the only one breaks off a fifth of its requests from second 20 to 40",
                vec![change(20..40, 0..1, Effect::Breaks(0.2))],
            ),
        ),
    ]
}
