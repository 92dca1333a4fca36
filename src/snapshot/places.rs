//! Where the backends of an upstream stand: in which zone and region, as far as that is said.

use crate::balance::Tried;
use crate::config::model as config;
use crate::model::BackendIx;
use crate::snapshot::Upstream;

/// Whether it is said where any of these stands.
pub(super) fn are_told(source: &config::Upstream) -> bool {
    source.backends.iter().any(|one| one.zone.is_some() || one.region.is_some())
}

impl Upstream {
    /// Whether it is said in which zones or regions its backends stand.
    pub fn is_placed(&self) -> bool {
        self.placed
    }

    /// Everybody who was tried, or stands elsewhere than `from`: who is left is near it. `None`: it is not
    /// said who stands where.
    pub fn all_but_near(&self, from: BackendIx, tried: &Tried) -> Option<Tried> {
        if !self.placed {
            return None;
        }
        let mut others = tried.clone();
        let places = (0..self.backends.len() as u32).map(BackendIx);
        places.filter(|ix| !self.are_near(from, *ix)).for_each(|ix| others.insert(ix));
        Some(others)
    }

    fn are_near(&self, one: BackendIx, other: BackendIx) -> bool {
        let [one, other] = [one, other].map(|ix| self.declared(ix));
        (&one.zone, &one.region) == (&other.zone, &other.region)
    }
}
