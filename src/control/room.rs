//! Whether those that serve an upstream can carry what is asked: what is too much is refused, and told.
//!
//! `policy::room` decides; what it says is put where requests come by, in their upstream's
//! [`Line`](crate::limit::Line), each second and whenever the backends that serve are others.

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::AHashMap;
use tracing::{info, warn};

use crate::control::history::Told;
use crate::control::writer::{Control, Due};
use crate::model::{Tick, UpstreamId, UpstreamIx};
use crate::policy::room::{self, Demand, STEP};
use crate::snapshot::Upstream;

/// What is asked of upstreams that are known to be good for so much.
#[derive(Debug, Default)]
pub(super) struct Rooms(AHashMap<UpstreamId, Asked>);

#[derive(Debug, Default)]
struct Asked {
    demand: Demand,
    /// It was told that there is too little room.
    short: bool,
}

impl Rooms {
    /// Requests that come in a second; 0 where nobody counts.
    pub(super) fn demand(&self, id: UpstreamId) -> f64 {
        self.0.get(&id).map_or(0.0, |asked| asked.demand.rate())
    }
}

impl Control {
    /// Begins to count what is asked where it is said what backends are good for, and ends it elsewhere.
    pub(super) fn watch_rooms(&mut self, now: Tick) {
        let snapshot = Arc::clone(&self.snapshot);
        for upstream in &snapshot.upstreams {
            if upstream.room().is_none() {
                if self.rooms.0.remove(&upstream.id).is_some() {
                    upstream.series.policy().set_room(None);
                    self.timers.clear(&Due::Room(upstream.id));
                }
            } else if !self.rooms.0.contains_key(&upstream.id) {
                let mut asked = Asked::default();
                asked.demand.mark(upstream.series.asked(), now);
                self.rooms.0.insert(upstream.id, asked);
                self.timers.set(Due::Room(upstream.id), now.after(STEP));
            }
        }
        let known = |id: &UpstreamId| snapshot.upstreams.iter().any(|one| one.id == *id);
        self.rooms.0.retain(|id, _| known(id));
    }

    /// A second is over.
    pub(super) fn count_asked(&mut self, id: UpstreamId, now: Tick) {
        let Some(place) = self.place_of(id) else { return };
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let Some(asked) = self.rooms.0.get_mut(&id) else { return };
        asked.demand.mark(upstream.series.asked(), now);
        self.timers.set(Due::Room(id), now.after(STEP));
        // Whether another tier could take over depends on it.
        self.steer(place, now);
        self.look_at_room(place);
    }

    /// The backends that serve these upstreams are others now.
    pub(super) fn look_at_rooms(&mut self, places: &BTreeSet<UpstreamIx>) {
        if !self.rooms.0.is_empty() {
            for place in places {
                self.look_at_room(*place);
            }
        }
    }

    fn look_at_room(&mut self, place: UpstreamIx) {
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let (Some(asked), Some(line)) = (self.rooms.0.get_mut(&upstream.id), &upstream.line) else {
            return;
        };
        let Some((shares, rooms)) = served(&upstream) else { return };
        let (demand, room) = (asked.demand.rate(), rooms.iter().sum::<f64>());
        // Who of them works is what is to be found: nobody knows what they are good for.
        let much = if upstream.fail_open { 0 } else { room::too_much(demand, &shares, &rooms) };
        line.set_beyond(much);
        upstream.series.policy().set_room(Some((room, demand)));
        let short = room::is_short(much, asked.short);
        if std::mem::replace(&mut asked.short, short) == short {
            return;
        }
        let cause = format!("{demand:.0} requests a second, and who serves is good for {room:.0}");
        let name = &upstream.name;
        let (kind, next) = if short {
            let part = f64::from(much) / 100.0;
            let next = format!("{part:.1} % get 503 until there are less, or more who serve");
            warn!(upstream = name, cause, next, "there is too little room");
            ("failover.short_of_room", next)
        } else {
            info!(upstream = name, cause, "there is room again");
            ("failover.room", String::new())
        };
        upstream.series.policy().event(kind);
        self.note_now((place, None), Told { kind, actor: "policy".into(), cause, next });
    }
}

/// What each tier gets of the requests, in percent, and what those of it that serve are good for.
fn served(upstream: &Upstream) -> Option<(Vec<u32>, Vec<f64>)> {
    let rooms = upstream.room()?;
    let shares = if let Some(shares) = &upstream.course.shares {
        shares.clone()
    } else {
        // The first that has anybody serves.
        let first = rooms.iter().position(|room| *room > 0.0);
        (0..rooms.len()).map(|tier| if Some(tier) == first { 100 } else { 0 }).collect()
    };
    let own = |(share, room): (&u32, f64)| if *share > 0 { room } else { 0.0 };
    let rooms = shares.iter().zip(rooms).map(own).collect();
    Some((shares, rooms))
}
