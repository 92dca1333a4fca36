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
    let (looks, news) = look(&mut group, |n| vec![of(1, 3 + n, 9), of(2, 3, 9 + n)], 0, 9).unwrap();
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
    assert_eq!(look_of(&mut known, facts, (0, few(2)), 99), None, "it takes for ever as a rule");
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
    let (looks, news) = look(&mut group, |n| vec![parked(0, 18), of(2, 3, 90 + n)], 0, 20).unwrap();
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
