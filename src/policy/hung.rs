//! Hung backends: which owe answers for far longer than answers usually take.
//!
//! A backend that takes requests and says nothing fails none of them until its time-out, and a time-out
//! is long. But it is asked, it gives no answer, and others do: that is known after a second. Nothing is
//! counted of a single request for it, but the time that requests waited whose clients gave them up.
//!
//! - *Asked*: it got so many requests since it last answered. Who is only left with what takes long, as the
//!   others are less loaded and get the rest, owes nobody anything.
//! - Of the time in which it gave no answer, that counts in which so many waited for one, from look to look, or in
//!   which those waited that were given up since the look before: clients may have less patience than we.
//! - *Far longer*: `factor` times what 99 of 100 of its own answers took in the last minutes, and not less
//!   than `least`: who answers slowly as a rule, as long polls are answered, is given the time, and is no
//!   measure for others. While there are few of its own, it is not less than what those of the upstream took in
//!   the last minute. Where they have not given a hundred yet, nobody is hung.
//! - Of all backends of an upstream one at least has to answer meanwhile: only the time counts in which
//!   another one that gets requests did. Where all fall silent at once, it is not the backend. How many may be
//!   out is bounded as for outliers.
//! - A look counts for two steps at most: when we ourselves stood still, nobody was silent.
//! - It is back as soon as it answers what it owed; else by a trial, and a trial that is not answered
//!   for as long has failed.

use std::collections::btree_map::{BTreeMap, Entry};
use std::fmt;
use std::mem;
use std::time::Duration;

use super::ejection::most_ejected;
use super::usual::{Answers, Usual, UsualOfOne};
use crate::model::{BackendId, Tick};

/// Between two looks.
pub const STEP: Duration = Duration::from_millis(250);

/// How many of the backends may be out for one to be taken out, in percent.
const MOST_OUT: u32 = 50;

/// The part of the answers that are usual.
const USUAL: f64 = 0.99;

/// When a backend is taken for hung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Times what 99 of 100 of its answers take; at least 1.
    pub factor: u32,
    /// At least so long.
    pub least: Duration,
    /// Requests in a row that it does not answer, at least.
    pub requests: u32,
}

impl Rules {
    /// Requests that it has to leave without an answer.
    fn in_a_row(&self, standing: Standing) -> u64 {
        if standing == Standing::OnTrial { 1 } else { self.requests.into() }
    }

    fn patience(&self, usual: Duration) -> Duration {
        self.least.max(usual.saturating_mul(self.factor))
    }
}

/// Whether a backend gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    InService,
    /// It was parked, for whatever reason.
    Parked,
    /// One request decides.
    OnTrial,
}

/// What is known of one backend that the operator has in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Which one it is.
    pub id: BackendId,
    /// Whether it gets requests.
    pub standing: Standing,
    /// Requests that it got since it is known.
    pub asked: u64,
    /// Those that it has not answered yet.
    pub owed: u64,
    /// Answers that it has given since it is known.
    pub given: u64,
    /// How long all those waited for an answer that were given up without one.
    pub in_vain: Duration,
}

/// What was found of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It hangs.
    Hangs(Silence),
    /// So does its trial.
    TrialHangs(Silence),
    /// It was taken out because it hung, and has answered.
    Answers,
}

/// For how long it has said nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// Requests that it did not answer.
    pub owed: u64,
    /// For at least so long.
    pub time: Duration,
    /// What 99 of 100 of its answers take; of few, not less than what those of the upstream take.
    pub usual: Duration,
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { owed, time, usual } = self;
        let noun = if *owed == 1 { "request" } else { "requests" };
        write!(
            f,
            "{owed} {noun} not answered for {time:.1?}, while 99 % take {usual:.1?} there at most"
        )
    }
}

/// The backends of one upstream, as they were at the looks before.
#[derive(Debug)]
pub struct Group {
    usual: Usual,
    looked: Tick,
    each: BTreeMap<BackendId, Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// At the last look it was among them.
    looked: Tick,
    given: u64,
    in_vain: Duration,
    /// What it had been asked when it last answered, or was out.
    asked_before: u64,
    /// For how long it has been waited for, and gave no answer.
    silent: Duration,
    /// What of that is new, and whether another one answers meanwhile is still to be seen.
    waits: Duration,
    /// For how much of that another one answered.
    outdone: Duration,
    /// When it last gave one that was seen.
    answered: Option<Tick>,
    /// It is out because it hung.
    hung: bool,
    /// It has answered since then.
    heard: bool,
    /// On trial: what it owed before.
    owed_before: u64,
    usual: UsualOfOne,
}

impl Group {
    /// Who is looked at from now on.
    pub fn new(now: Tick) -> Self {
        Self { usual: Usual::default(), looked: now, each: BTreeMap::new() }
    }

    /// A look at all backends that the operator has in service. `answers` are those of the upstream
    /// since it is known, by how long they took: their number up to each bound, and of each its bound
    /// (`None`: they took longer than the last). `own` gives those of one backend, by its place among the
    /// facts and by the same bounds; it is asked for few of them.
    pub fn look(
        &mut self,
        facts: &[Facts],
        answers: &Answers,
        own: impl Fn(usize) -> Vec<(Option<Duration>, u64)>,
        rules: &Rules,
        now: Tick,
    ) -> Vec<(BackendId, News)> {
        let passed = now.since(self.looked).min(STEP * 2);
        self.looked = now;
        self.see(facts, rules, passed);
        self.usual.look(answers, now);
        let of_all = self.usual.quantile(USUAL);
        let out = facts.iter().filter(|one| one.standing != Standing::InService).count();
        let mut room = most_ejected(facts.len(), MOST_OUT).saturating_sub(out);
        let mut news = Vec::new();
        for (place, one) in facts.iter().enumerate() {
            let Some(known) = self.each.get_mut(&one.id) else { continue };
            if known.is_back(one, rules) {
                news.push((one.id, News::Answers));
            }
            if known.usual.is_due(one.given, now) {
                known.usual.mark(&own(place), one.given, now);
            }
            let on_trial = one.standing == Standing::OnTrial;
            let waited = if on_trial { known.silent } else { known.outdone };
            let in_a_row = known.in_a_row(one);
            let enough = waited >= rules.least && in_a_row >= rules.in_a_row(one.standing);
            let Some(of_all) = of_all.filter(|_| enough) else { continue };
            let usual = known.usual.quantile(USUAL, &own(place), of_all);
            let Some(usual) = usual.filter(|usual| waited >= rules.patience(*usual)) else {
                continue;
            };
            let silence = |owed| Silence { owed, time: known.silent, usual };
            let found = match one.standing {
                Standing::OnTrial => News::TrialHangs(silence(in_a_row)),
                Standing::InService if room > 0 => {
                    room -= 1;
                    News::Hangs(silence(in_a_row.max(one.owed)))
                }
                _ => continue,
            };
            known.told();
            news.push((one.id, found));
        }
        news
    }

    /// Writes down what each has done since the look before, and forgets who is not there any more.
    fn see(&mut self, facts: &[Facts], rules: &Rules, passed: Duration) {
        let now = self.looked;
        for one in facts {
            let known = match self.each.entry(one.id) {
                // Of the time before it is known nothing follows.
                Entry::Vacant(entry) => entry.insert(Known {
                    given: one.given,
                    in_vain: one.in_vain,
                    asked_before: one.asked,
                    ..Known::default()
                }),
                Entry::Occupied(entry) => {
                    let known = entry.into_mut();
                    known.see(one, rules, passed, now);
                    known
                }
            };
            known.looked = now;
        }
        self.each.retain(|_, known| known.looked == now);
        // At this look or the one before. Where all have fallen silent at once, hardly any time counts then.
        let answers = |known: &Known, standing| {
            let lately = |at| now.since(at) <= STEP + STEP / 2;
            standing == Standing::InService && known.answered.is_some_and(lately)
        };
        let number = facts.iter().filter(|one| answers(&self.each[&one.id], one.standing)).count();
        for one in facts {
            let Some(known) = self.each.get_mut(&one.id) else { continue };
            if number > usize::from(answers(known, one.standing)) {
                known.outdone += mem::take(&mut known.waits);
            }
        }
    }
}

impl Known {
    fn see(&mut self, facts: &Facts, rules: &Rules, passed: Duration, now: Tick) {
        let answered = facts.given != self.given;
        let in_vain = facts.in_vain.saturating_sub(self.in_vain);
        (self.given, self.in_vain) = (facts.given, facts.in_vain);
        self.hung &= facts.standing != Standing::InService;
        if answered {
            (self.answered, self.heard) = (Some(now), true);
        }
        // Of what a backend on trial owed before it, nothing follows: only the trial counts.
        let owed = if facts.standing == Standing::OnTrial {
            self.owed_before = self.owed_before.min(facts.owed);
            facts.owed - self.owed_before
        } else {
            self.owed_before = facts.owed;
            facts.owed
        };
        if answered || facts.standing == Standing::Parked {
            self.asked_before = facts.asked;
            self.quiet();
        } else if self.in_a_row(facts) > 0 {
            let owes = owed >= rules.in_a_row(facts.standing);
            let waited = if owes { passed } else { in_vain.min(passed) };
            self.silent += waited;
            // Of the time in which the others were silent too, no more counts than between two looks.
            self.waits = (self.waits + waited).min(passed);
        }
    }

    /// Requests that it got since it last answered.
    fn in_a_row(&self, facts: &Facts) -> u64 {
        facts.asked.saturating_sub(self.asked_before)
    }

    /// Nobody has waited for it.
    fn quiet(&mut self) {
        (self.silent, self.waits, self.outdone) = Default::default();
    }

    /// Whether it was taken out because it hung, and has answered what it owed.
    fn is_back(&self, facts: &Facts, rules: &Rules) -> bool {
        let parked = facts.standing == Standing::Parked;
        self.hung && self.heard && parked && facts.owed < u64::from(rules.requests)
    }

    /// It is told that it hangs. Whatever comes of it, that is not told again at the next look.
    fn told(&mut self) {
        (self.hung, self.heard) = (true, false);
        self.quiet();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules { factor: 10, least: Duration::from_secs(1), requests: 3 };

    /// Two hundred answers within 10 ms, after which the rest of them is slower.
    fn answers(slow: u64) -> Vec<(Option<Duration>, u64)> {
        let bound = |ms| Some(Duration::from_millis(ms));
        vec![(bound(10), 200), (bound(500), slow), (None, 0)]
    }

    /// An upstream of which it is known what is usual, and the time of its last look.
    fn group(facts: &[Facts]) -> (Group, Tick) {
        let mut group = Group::new(Tick(0));
        let none = answers(0).iter().map(|(bound, _)| (*bound, 0)).collect::<Vec<_>>();
        let now = Tick(1_000_000);
        assert_eq!(group.look(facts, &none, unknown, &RULES, now), []);
        (group, now)
    }

    fn of(id: u64, owed: u64, given: u64) -> Facts {
        let (asked, in_vain) = (owed + given, Duration::ZERO);
        Facts { id: BackendId(id), standing: Standing::InService, asked, owed, given, in_vain }
    }

    fn is(standing: Standing, facts: Facts) -> Facts {
        Facts { standing, ..facts }
    }

    /// Of no backend anything is known but what its upstream's answers say.
    fn unknown(_: usize) -> Vec<(Option<Duration>, u64)> {
        answers(0).iter().map(|(bound, _)| (*bound, 0)).collect()
    }

    /// The looks after this until something is found.
    fn look(
        known: &mut (Group, Tick),
        facts: impl FnMut(u64) -> Vec<Facts>,
        slow: u64,
        looks: u64,
    ) -> Option<(u64, Vec<(BackendId, News)>)> {
        look_of(known, facts, (slow, unknown), looks)
    }

    /// The same where of each backend's own answers this is known.
    fn look_of(
        (group, now): &mut (Group, Tick),
        mut facts: impl FnMut(u64) -> Vec<Facts>,
        (slow, own): (u64, impl Fn(usize) -> Vec<(Option<Duration>, u64)> + Copy),
        looks: u64,
    ) -> Option<(u64, Vec<(BackendId, News)>)> {
        (1..=looks).find_map(|look| {
            *now = now.after(STEP);
            let news = group.look(&facts(look), &answers(slow), own, &RULES, *now);
            (!news.is_empty()).then_some((look, news))
        })
    }

    #[test]
    fn one_that_says_nothing_for_a_second_while_others_answer_hangs() {
        let mut group = group(&[of(1, 3, 9), of(2, 3, 9)]);
        let (looks, news) =
            look(&mut group, |n| vec![of(1, 3 + n, 9), of(2, 3, 9 + n)], 0, 9).unwrap();
        assert_eq!(looks, 4);
        let silence =
            Silence { owed: 7, time: Duration::from_secs(1), usual: Duration::from_micros(9_900) };
        assert_eq!(news, [(BackendId(1), News::Hangs(silence))]);
        let words = "7 requests not answered for 1.0s, while 99 % take 9.9ms there at most";
        assert_eq!(silence.to_string(), words);
    }

    #[test]
    fn who_is_usually_slow_is_given_more_time() {
        let mut group = group(&[of(1, 3, 9), of(2, 3, 9)]);
        let found = look(&mut group, |n| vec![of(1, 9, 9), of(2, 3, 9 + n)], 50, 99);
        assert_eq!(found.unwrap().0, 20, "ten times 476 ms");
    }

    #[test]
    fn who_is_usually_slow_alone_is_given_time_and_gives_nobody_else_any() {
        // Of a thousand answers of its own all took up to half a second, and those of the other 10 ms.
        let own = |place: usize| {
            let mut own = unknown(place);
            own[1 - place].1 = 1_000;
            own
        };
        let facts = [of(1, 3, 9), of(2, 3, 9)];
        let mut known = group(&facts);
        let found = look_of(&mut known, |n| vec![of(1, 9, 9), of(2, 3, 9 + n)], (0, own), 99);
        assert_eq!(found.unwrap().0, 20, "ten times 495 ms, though 99 % of all take 9.9 ms");
        let mut known = group(&facts);
        let found = look_of(&mut known, |n| vec![of(1, 3, 9 + n), of(2, 9, 9)], (200, own), 99);
        let (looks, news) = found.unwrap();
        assert_eq!(looks, 4, "a second, though 99 % of all take 490 ms");
        assert_eq!(news[0].0, BackendId(2));
    }

    #[test]
    fn few_slow_answers_of_its_own_give_time_and_few_fast_ones_take_none() {
        let few = |bucket: usize| {
            move |place: usize| {
                let mut own = unknown(place);
                own[bucket].1 = 5;
                own
            }
        };
        let facts = |n| vec![of(1, 9 + n, 9), of(2, 3, 9 + n)];
        let mut known = group(&facts(0));
        assert_eq!(look_of(&mut known, facts, (0, few(1)), 99).unwrap().0, 20);
        let mut known = group(&facts(0));
        assert_eq!(look_of(&mut known, facts, (50, few(0)), 99).unwrap().0, 20, "as the others");
        let mut known = group(&facts(0));
        assert_eq!(
            look_of(&mut known, facts, (0, few(2)), 99),
            None,
            "it takes for ever as a rule"
        );
    }

    #[test]
    fn who_falls_silent_with_all_others_does_not_hang_nor_who_recovers_a_little_later() {
        let mut known = group(&[of(1, 3, 9), of(2, 3, 9), of(3, 3, 9)]);
        // All have answered at the first of these looks, and one at the second too.
        let silent = |n: u64| vec![of(1, 9, 10), of(2, 9, 9 + n.min(2)), of(3, 9, 10)];
        assert_eq!(look(&mut known, silent, 0, 20), None);
        // It is over, for one of them first.
        let over = |n| vec![of(1, 9, 10), of(2, 3, 11 + n), of(3, 9, 10)];
        assert_eq!(look(&mut known, over, 0, 1), None);
        // But who goes on with it hangs.
        let one = |n| vec![of(1, 9 + n, 10), of(2, 3, 50 + n), of(3, 3, 50 + n)];
        let (_, news) = look(&mut known, one, 0, 9).unwrap();
        assert!(matches!(news[..], [(BackendId(1), News::Hangs(_))]), "{news:?}");
    }

    #[test]
    fn an_answer_now_and_then_is_enough() {
        let mut group = group(&[of(1, 3, 9), of(2, 3, 9)]);
        let found = look(&mut group, |n| vec![of(1, 50, 9 + n / 3), of(2, 3, 9 + n)], 0, 99);
        assert_eq!(found, None);
    }

    #[test]
    fn who_owes_little_or_is_alone_or_silent_with_all_others_does_not_hang() {
        let few = [of(1, 2, 9), of(2, 3, 9)];
        let mut known = group(&few);
        assert_eq!(look(&mut known, |n| vec![of(1, 2, 9), of(2, 3, 9 + n)], 0, 40), None);
        let mut known = group(&few[..1]);
        assert_eq!(look(&mut known, |_| vec![of(1, 9, 9)], 0, 40), None);
        let mut known = group(&few);
        assert_eq!(look(&mut known, |_| vec![of(1, 9, 9), of(2, 9, 9)], 0, 40), None);
    }

    #[test]
    fn who_is_not_asked_any_more_and_owes_what_takes_long_does_not_hang() {
        let mut group = group(&[of(1, 2, 9), of(2, 3, 9)]);
        // Two more that take long, and all else goes to the other one, which has less to do.
        let found = look(&mut group, |_| vec![of(1, 4, 9), of(2, 3, 9)], 0, 1);
        let found = found.or(look(&mut group, |n| vec![of(1, 4, 9), of(2, 3, 9 + n)], 0, 99));
        assert_eq!(found, None);
        let more = look(&mut group, |n| vec![of(1, 5, 9), of(2, 3, 200 + n)], 0, 99);
        assert_eq!(more.unwrap().0, 1, "three in a row");
    }

    /// One of which a request a second was given up after 300 ms, so many times.
    fn given_up(standing: Standing, times: u64) -> Facts {
        let in_vain = Duration::from_millis(300) * times as u32;
        is(standing, Facts { asked: 50 + times, in_vain, ..of(1, 0, 50) })
    }

    #[test]
    fn who_is_always_given_up_before_it_answers_hangs() {
        let standing = Standing::InService;
        let mut group = group(&[given_up(standing, 0), of(2, 3, 9)]);
        // The other one answers a little later each time.
        let facts = |n| vec![given_up(standing, n / 4), of(2, 3, 9 + (n + 2) / 4)];
        let (looks, news) = look(&mut group, facts, 0, 99).unwrap();
        assert_eq!(looks, 18, "the fourth was given up at the 16th look");
        let silence =
            Silence { owed: 4, time: Duration::from_secs(1), usual: Duration::from_micros(9_900) };
        assert_eq!(news, [(BackendId(1), News::Hangs(silence))]);
    }

    #[test]
    fn a_trial_that_is_always_given_up_has_failed() {
        let mut group = group(&[given_up(Standing::Parked, 0), of(2, 3, 9)]);
        let facts = |n| vec![given_up(Standing::OnTrial, n / 4), of(2, 3, 9 + n)];
        let (looks, news) = look(&mut group, facts, 0, 99).unwrap();
        assert_eq!(looks, 16);
        assert!(matches!(news[..], [(BackendId(1), News::TrialHangs(Silence { owed: 4, .. }))]));
    }

    #[test]
    fn who_is_given_up_while_others_do_not_answer_either_does_not_hang() {
        let standing = Standing::InService;
        let mut group = group(&[given_up(standing, 0), of(2, 0, 9)]);
        let facts = |n| vec![given_up(standing, n), of(2, 0, 9)];
        assert_eq!(look(&mut group, facts, 0, 40), None);
        let first = |n| vec![given_up(standing, 40), of(2, 0, 9 + n)];
        assert_eq!(look(&mut group, first, 0, 40), None, "the other one recovers first");
    }

    #[test]
    fn where_nothing_says_what_is_usual_nobody_hangs() {
        let mut group = Group::new(Tick(0));
        let mut now = Tick(0);
        for n in 0..40 {
            now = now.after(STEP);
            let facts = [of(1, 9, 9), of(2, 3, 9 + n)];
            assert_eq!(group.look(&facts, &[(Some(STEP), n), (None, 0)], unknown, &RULES, now), []);
        }
    }

    #[test]
    fn when_we_stood_still_nobody_was_silent() {
        let (mut group, now) = group(&[of(1, 9, 9), of(2, 3, 9)]);
        let facts = [of(1, 9, 9), of(2, 3, 10)];
        let later = now.after(Duration::from_mins(5));
        assert_eq!(group.look(&facts, &answers(0), unknown, &RULES, later), []);
    }

    #[test]
    fn it_is_back_when_it_has_answered_what_it_owed() {
        let mut group = group(&[of(1, 3, 9), of(2, 3, 9)]);
        look(&mut group, |n| vec![of(1, 9, 9), of(2, 3, 9 + n)], 0, 9).unwrap();
        let parked = |owed, given| is(Standing::Parked, of(1, owed, given));
        // Its victims time out, which is no answer.
        assert_eq!(look(&mut group, |n| vec![parked(0, 9), of(2, 3, 20 + n)], 0, 20), None);
        assert_eq!(look(&mut group, |n| vec![parked(3, 10), of(2, 3, 60 + n)], 0, 20), None);
        let (looks, news) =
            look(&mut group, |n| vec![parked(0, 18), of(2, 3, 90 + n)], 0, 20).unwrap();
        assert_eq!((looks, news), (1, vec![(BackendId(1), News::Answers)]));
    }

    #[test]
    fn a_trial_that_hangs_has_failed_whatever_is_owed_from_before() {
        let mut group = group(&[of(1, 3, 9), of(2, 3, 9)]);
        look(&mut group, |n| vec![of(1, 9, 9), of(2, 3, 9 + n)], 0, 9).unwrap();
        let parked = is(Standing::Parked, of(1, 9, 9));
        look(&mut group, |n| vec![parked, of(2, 3, 20 + n)], 0, 3);
        let trial = |owed| is(Standing::OnTrial, of(1, owed, 9));
        assert_eq!(look(&mut group, |n| vec![trial(9), of(2, 3, 30 + n)], 0, 20), None);
        // Of those from before two have given up, and the trial is under way.
        assert_eq!(look(&mut group, |n| vec![trial(7), of(2, 3, 60 + n)], 0, 1), None);
        let trial = Facts { asked: 19, ..trial(8) };
        let (looks, news) = look(&mut group, |n| vec![trial, of(2, 3, 70 + n)], 0, 20).unwrap();
        assert_eq!(looks, 4);
        assert!(matches!(news[..], [(BackendId(1), News::TrialHangs(Silence { owed: 1, .. }))]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(6), ..ProptestConfig::default() })]
        #[test]
        fn of_any_course_of_events_at_most_half_are_out_and_somebody_answers(
            course in prop::collection::vec(prop::collection::vec((0_u64..9, 0_u64..2), 5), 1..80),
        ) {
            let mut all: Vec<Facts> = (0..5).map(|id| of(id, 0, 0)).collect();
            let (mut group, mut now) = group(&all);
            for step in course {
                now = now.after(STEP);
                let answered = step.iter().any(|(_, gave)| *gave > 0);
                for (one, (owed, gave)) in all.iter_mut().zip(step) {
                    one.asked += gave + owed.saturating_sub(one.owed);
                    one.in_vain += STEP * one.owed.saturating_sub(owed) as u32 / 4;
                    (one.owed, one.given) = (owed, one.given + gave);
                }
                for (id, news) in group.look(&all, &answers(0), unknown, &RULES, now) {
                    let one = &mut all[id.0 as usize];
                    match news {
                        News::Hangs(silence) => {
                            prop_assert_eq!(one.standing, Standing::InService);
                            prop_assert!(silence.time >= RULES.least && silence.owed >= 3);
                            one.standing = Standing::Parked;
                        }
                        News::Answers => {
                            prop_assert!(one.standing == Standing::Parked && one.owed < 3);
                            one.standing = Standing::InService;
                        }
                        News::TrialHangs(_) => prop_assert!(false, "nobody is on trial"),
                    }
                }
                let out = all.iter().filter(|one| one.standing == Standing::Parked).count();
                prop_assert!(out <= 2 && (answered || out < 5));
            }
        }
    }
}
