//! Whether an answer that takes many backends away at once is taken at its word.
//!
//! A name server that restarts, a registry that lost its leader, a zone that is written anew: each may say
//! for some seconds that hardly anybody is there. An answer with far fewer addresses than before is
//! therefore held, and what was known stays, until answers have said so for a while. How many addresses
//! counts, not which: a name that moves elsewhere is followed at once.

use std::time::Duration;

use crate::model::Tick;

/// When an answer is held, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// The part of the addresses, in percent, that an answer may take away at once.
    pub most: u32,
    /// For how long answers have to say the same before they are believed.
    pub confirm: Duration,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// It is taken.
    Taken,
    /// It is taken, for answers have said so for long enough.
    Confirmed,
    /// It is taken, and those before it, which were held, are forgotten.
    Recovered,
    /// It is held: the first one that is.
    HeldFirst,
    /// It is held, as those before it.
    Held,
}

/// Whether answers are held, and for how long they have said the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removal(Option<Held>);

/// Answers that are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    /// For how long they have said so, until the last of them.
    said: Duration,
    /// When that came; `None`: a question was not answered since.
    last: Option<Tick>,
}

impl Removal {
    /// A question was not answered: the time until the next answer is no time in which answers say so.
    pub fn interrupted(&mut self) {
        if let Some(held) = &mut self.0 {
            held.last = None;
        }
    }

    /// An answer of `found` addresses came where `known` are in use.
    pub fn judge(&mut self, known: usize, found: usize, guard: &Guard, now: Tick) -> Ruling {
        let removed = known.saturating_sub(found) as u64;
        let many = removed * 100 > known as u64 * u64::from(guard.most);
        match (many, self.0) {
            (false, None) => Ruling::Taken,
            (false, Some(_)) => {
                self.0 = None;
                Ruling::Recovered
            }
            (true, None) => {
                self.0 = Some(Held { said: Duration::ZERO, last: Some(now) });
                Ruling::HeldFirst
            }
            (true, Some(held)) => {
                let said = held.said + held.last.map_or(Duration::ZERO, |last| now.since(last));
                let is_confirmed = said >= guard.confirm;
                self.0 = (!is_confirmed).then_some(Held { said, last: Some(now) });
                if is_confirmed { Ruling::Confirmed } else { Ruling::Held }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GUARD: Guard = Guard { most: 50, confirm: Duration::from_secs(30) };

    fn at(seconds: u64) -> Tick {
        Tick(0).after(Duration::from_secs(seconds))
    }

    #[test]
    fn few_may_go_at_once_and_many_have_to_be_confirmed() {
        let mut removal = Removal::default();
        assert_eq!(removal.judge(10, 5, &GUARD, at(0)), Ruling::Taken);
        assert_eq!(removal.judge(10, 4, &GUARD, at(1)), Ruling::HeldFirst);
        assert_eq!(removal.judge(10, 1, &GUARD, at(30)), Ruling::Held);
        assert_eq!(removal.judge(10, 4, &GUARD, at(31)), Ruling::Confirmed);
        assert_eq!(removal.judge(4, 4, &GUARD, at(32)), Ruling::Taken);
    }

    #[test]
    fn an_answer_with_enough_ends_the_matter() {
        let mut removal = Removal::default();
        assert_eq!(removal.judge(3, 1, &GUARD, at(0)), Ruling::HeldFirst);
        assert_eq!(removal.judge(3, 3, &GUARD, at(20)), Ruling::Recovered);
        // The time begins anew.
        assert_eq!(removal.judge(3, 1, &GUARD, at(40)), Ruling::HeldFirst);
        assert_eq!(removal.judge(3, 1, &GUARD, at(60)), Ruling::Held);
    }

    #[test]
    fn silence_confirms_nothing() {
        let mut removal = Removal::default();
        assert_eq!(removal.judge(3, 1, &GUARD, at(0)), Ruling::HeldFirst);
        assert_eq!(removal.judge(3, 1, &GUARD, at(10)), Ruling::Held);
        removal.interrupted();
        assert_eq!(removal.judge(3, 1, &GUARD, at(90)), Ruling::Held);
        assert_eq!(removal.judge(3, 1, &GUARD, at(109)), Ruling::Held);
        assert_eq!(removal.judge(3, 1, &GUARD, at(110)), Ruling::Confirmed);
    }

    #[test]
    fn one_of_two_and_whoever_is_replaced_go_at_once() {
        let mut removal = Removal::default();
        assert_eq!(removal.judge(2, 1, &GUARD, at(0)), Ruling::Taken);
        assert_eq!(removal.judge(1, 1, &GUARD, at(0)), Ruling::Taken);
        assert_eq!(removal.judge(0, 0, &GUARD, at(0)), Ruling::Taken);
        assert_eq!(removal.judge(0, 9, &GUARD, at(0)), Ruling::Taken);
    }

    proptest! {
        #[test]
        fn nothing_is_held_for_longer_than_it_takes_to_confirm(
            known in 1_usize..100,
            found in prop::collection::vec(0_usize..100, 40),
            most in 1_u32..=100,
        ) {
            let guard = Guard { most, confirm: Duration::from_secs(10) };
            let mut removal = Removal::default();
            let mut held = 0;
            for (second, found) in (0..).zip(found) {
                match removal.judge(known, found, &guard, at(second)) {
                    Ruling::Held | Ruling::HeldFirst => {
                        prop_assert!(found * 100 < known * (100 - most as usize));
                        held += 1;
                    }
                    _ => held = 0,
                }
                prop_assert!(held <= 10, "an answer each second, and 10 s to confirm");
            }
        }
    }
}
