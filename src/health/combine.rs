//! Several checks of one backend → what is known of it.
//!
//! A backend is as well as the worst of the checks that speak for themselves. Those that another check
//! names, as its parts or as what it depends on, speak through that one alone.

use crate::model::ProbedState;

/// How one check enters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Part {
    /// Made of others: their places, all before its own, and how many of them must be well.
    pub of: Option<(Vec<usize>, usize)>,
    /// The places of the checks, all before its own, without which it is degraded.
    pub depends_on: Vec<usize>,
    /// It speaks for itself.
    pub counts: bool,
}

/// What each check says with what it names, and what is so known of the backend. `own`: each check's own
/// verdict; of one made of others it is not looked at. Without checks: unprobed.
pub fn combine(parts: &[Part], own: &[ProbedState]) -> (Vec<ProbedState>, ProbedState) {
    let mut told: Vec<ProbedState> = Vec::with_capacity(parts.len());
    for (part, own) in parts.iter().zip(own) {
        let state = part.of.as_ref().map_or(*own, |(of, at_least)| tally(&told, of, *at_least));
        let lacks =
            |place: &usize| !matches!(told[*place], ProbedState::Up | ProbedState::Checking);
        let told_now = match state {
            ProbedState::Up if part.depends_on.iter().any(lacks) => ProbedState::Degraded,
            state => state,
        };
        told.push(told_now);
    }
    let speaking = parts.iter().zip(&told).filter(|(part, _)| part.counts).map(|(_, state)| *state);
    let worst = speaking.max_by_key(|state| gravity(*state)).unwrap_or(ProbedState::Unprobed);
    (told, worst)
}

/// The best that at least so many of these are.
fn tally(told: &[ProbedState], of: &[usize], at_least: usize) -> ProbedState {
    let mut states: Vec<_> = of.iter().map(|place| told[*place]).collect();
    states.sort_by_key(|state| gravity(*state));
    states.get(at_least.saturating_sub(1)).copied().unwrap_or(ProbedState::Down)
}

/// How much a verdict weighs against a backend.
fn gravity(state: ProbedState) -> u8 {
    match state {
        ProbedState::Unprobed => 0,
        ProbedState::Up => 1,
        ProbedState::Degraded => 2,
        ProbedState::Checking => 3,
        ProbedState::Draining => 4,
        ProbedState::Standby => 5,
        ProbedState::Down => 6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Part, gravity};
    use crate::model::ProbedState;
    use ProbedState::{Checking, Degraded, Down, Draining, Standby, Unprobed, Up};

    fn combine(parts: &[Part], own: &[ProbedState]) -> ProbedState {
        super::combine(parts, own).1
    }

    fn alone() -> Part {
        Part { counts: true, ..Part::default() }
    }

    fn hidden() -> Part {
        Part::default()
    }

    fn at_least(number: usize, of: &[usize]) -> Part {
        Part { of: Some((of.to_vec(), number)), ..alone() }
    }

    #[test]
    fn the_worst_of_those_that_speak_decides() {
        let all = [Up, Degraded, Checking, Draining, Standby, Down];
        for worst in 1..=all.len() {
            let parts = vec![alone(); worst];
            assert_eq!(combine(&parts, &all[..worst]), all[worst - 1]);
        }
        assert_eq!(combine(&[alone(), hidden()], &[Up, Down]), Up);
        assert_eq!(combine(&[], &[]), Unprobed);
    }

    #[test]
    fn enough_of_several_are_enough() {
        let two_of_three = [hidden(), hidden(), hidden(), at_least(2, &[0, 1, 2])];
        let judge =
            |own: [ProbedState; 3]| combine(&two_of_three, &[own[0], own[1], own[2], Checking]);
        assert_eq!(judge([Up, Down, Up]), Up);
        assert_eq!(judge([Up, Down, Degraded]), Degraded);
        assert_eq!(judge([Up, Down, Down]), Down);
        assert_eq!(judge([Up, Checking, Down]), Checking);
    }

    #[test]
    fn what_a_check_depends_on_degrades_it_and_no_more() {
        let parts = [hidden(), Part { depends_on: vec![0], ..alone() }];
        assert_eq!(combine(&parts, &[Down, Up]), Degraded);
        assert_eq!(combine(&parts, &[Degraded, Up]), Degraded);
        assert_eq!(combine(&parts, &[Checking, Up]), Up);
        assert_eq!(combine(&parts, &[Down, Down]), Down);
    }

    proptest! {
        #[test]
        fn all_is_the_worst_and_any_is_the_best(
            own in prop::collection::vec(prop::sample::select(vec![Up, Degraded, Checking, Down]), 1..6),
        ) {
            let of: Vec<_> = (0..own.len()).collect();
            let mut parts = vec![hidden(); own.len()];
            let mut states = own.clone();
            states.push(Checking);
            parts.push(at_least(own.len(), &of));
            let worst = combine(&vec![alone(); own.len()], &own);
            prop_assert_eq!(combine(&parts, &states), worst);
            parts[own.len()] = at_least(1, &of);
            let best = own.iter().min_by_key(|one| gravity(**one)).copied();
            prop_assert_eq!(Some(combine(&parts, &states)), best);
        }
    }
}
