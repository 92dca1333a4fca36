//! What a request must have beside host and path.

use std::sync::Arc;

use super::{Facts, Request};
use crate::config::model::{Condition, HeaderMatch, HeaderValueMatch, Route};

/// A route under a path rule.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) route: usize,
    /// `None` for most routes, which are found without another look into memory.
    conditions: Option<Arc<Conditions>>,
}

#[derive(Debug)]
struct Conditions {
    methods: Vec<String>,
    headers: Vec<HeaderMatch>,
    when: Vec<Condition>,
}

/// How special a route is. A list of conditions counts once, so that several routes with such a list
/// are tried in the order in which they are written.
pub(super) fn count_conditions(route: &Route) -> usize {
    usize::from(!route.methods.is_empty())
        + usize::from(!route.when.is_empty())
        + route.headers.len()
}

impl Candidate {
    pub(super) fn of(place: usize, route: &Route) -> Self {
        let conditions = || Conditions {
            methods: route.methods.clone(),
            headers: route.headers.clone(),
            when: route.when.clone(),
        };
        let conditions = (count_conditions(route) > 0).then(|| Arc::new(conditions()));
        Self { route: place, conditions }
    }

    #[inline]
    pub(super) fn accepts<H: Facts>(&self, request: &Request<'_, H>) -> bool {
        self.conditions.as_ref().is_none_or(|conditions| conditions.hold(request))
    }
}

impl Conditions {
    fn hold<H: Facts>(&self, request: &Request<'_, H>) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|m| m.as_bytes() == request.method))
            && self.headers.iter().all(|rule| header_holds(rule, request.facts))
            && self.when.iter().all(|condition| request.facts.holds(condition))
    }
}

pub(super) fn header_holds<H: Facts>(rule: &HeaderMatch, facts: &H) -> bool {
    let mut values = facts.values(&rule.name);
    match &rule.value {
        HeaderValueMatch::Present => values.next().is_some(),
        HeaderValueMatch::Absent => values.next().is_none(),
        HeaderValueMatch::Exact(wanted) => values.any(|value| value == wanted.as_bytes()),
        HeaderValueMatch::Regex(regex) => values.any(|value| regex.is_match(value)),
    }
}
