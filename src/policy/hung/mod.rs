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
mod tests;
