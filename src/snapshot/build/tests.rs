//! What is shared and what is new from one snapshot to the next.

use std::time::Duration;

use proptest::prelude::*;

use super::backends::state;
use super::*;
use crate::balance::{Key, Pick, Rng, Tried};
use crate::config::model::{Families, Query, Resolver};
use crate::config::{Loaded, parse};
use crate::model::{Address, AdminState, PassiveState, ProbedState, Share, Tick, WorkerIx};
use crate::snapshot::Action;

const TEXT: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:0"

[[listener]]
name = "other"
address = "127.0.0.1:1"

[[route]]
name = "all"
path = "/"
upstream = "api"

[[route]]
name = "shop"
path = "/shop"
listeners = ["web"]
upstream = "shop"
timeouts = { read = "7s", total = "9s" }
retry = { tries = 9 }

[upstream.api]
timeouts = { connect = "1s", total = "30s" }
[[upstream.api.backend]]
address = "10.0.0.1:80"
[[upstream.api.backend]]
address = "10.0.0.2:80"
[[upstream.api.backend]]
address = "10.0.0.9:80"
backup = true

[upstream.shop]
health = { interval = "10s" }
[[upstream.shop.backend]]
address = "shop.internal:81"
weight = 3
[[upstream.shop.backend]]
address = "unix:/run/shop.sock"
"#;

/// Everything that `build` is given, with what must live on between two builds.
struct World {
    identities: Identities,
    registry: Arc<Registry>,
    addresses: Addresses,
    states: BTreeMap<BackendId, BackendState>,
    generation: Generation,
}

impl World {
    fn new() -> Self {
        Self {
            identities: Identities::default(),
            registry: Registry::new(1),
            addresses: Addresses::new(),
            states: BTreeMap::new(),
            generation: Generation::default(),
        }
    }

    fn build(&mut self, text: &str, previous: Option<&Snapshot>) -> Snapshot {
        let Loaded { config, hash, .. } = load(text);
        self.generation = self.generation.next();
        build(Input {
            config: &config,
            hash,
            generation: self.generation,
            previous,
            known: Known {
                states: &|id| self.states.get(&id).copied(),
                orders: &BTreeMap::default(),
                courses: &|_| Course::default(),
                addresses: &self.addresses,
                identities: &mut self.identities,
                registry: &self.registry,
                challenges: &Arc::default(),
            },
        })
    }

    fn rebuild(&mut self, previous: &Snapshot, changed: &[u32]) -> Snapshot {
        self.generation = self.generation.next();
        let known = Known {
            states: &|id| self.states.get(&id).copied(),
            orders: &BTreeMap::default(),
            courses: &|_| Course::default(),
            addresses: &self.addresses,
            identities: &mut self.identities,
            registry: &self.registry,
            challenges: &Arc::default(),
        };
        let changed = changed.iter().copied().map(UpstreamIx).collect();
        rebuild(previous, &changed, self.generation, known)
    }

    fn resolve(&mut self, name: &str, addresses: &[&str]) {
        let endpoint = |ip: &&str| Endpoint::plain(ip.parse().unwrap());
        let resolver = Arc::new(Resolver {
            sentinels: None,
            servers: Vec::new(),
            timeout: Duration::from_secs(10),
            families: Families::Ipv4First,
        });
        let query = Query { name: name.to_owned(), service: None, resolver };
        self.addresses.insert(query, addresses.iter().map(endpoint).collect());
    }
}

fn load(text: &str) -> Loaded {
    parse("test.toml", text, &|_| None).unwrap_or_else(|report| panic!("{report}"))
}

fn labels(upstream: &Upstream) -> Vec<&str> {
    upstream.backends.iter().map(|backend| backend.label.as_str()).collect()
}

#[test]
fn routes_settings_go_before_the_upstreams() {
    let snapshot = World::new().build(TEXT, None);
    let [web, other] = &*snapshot.listeners else { panic!("two listeners") };
    let names = |listener: &crate::snapshot::Listener| -> Vec<_> {
        listener.routes.iter().map(|entry| entry.route.name.clone()).collect()
    };
    assert_eq!(names(web), ["all", "shop"]);
    assert_eq!(names(other), ["all"]);
    let all = &web.routes[0].route;
    assert!(Arc::ptr_eq(all, &other.routes[0].route), "a route is built once");
    let destination = |route: &crate::snapshot::Route| match &route.action {
        Action::Proxy { split, .. } => split.destinations()[0].clone(),
        action => panic!("{action:?}"),
    };
    let api = destination(all);
    assert_eq!(snapshot.upstream(api.upstream).name, "api");
    assert_eq!(api.timeouts.connect, Duration::from_secs(1));
    assert_eq!(api.timeouts.total, Some(Duration::from_secs(30)));
    let shop = destination(&web.routes[1].route);
    assert_eq!(snapshot.upstream(shop.upstream).name, "shop");
    assert_eq!(shop.timeouts.connect, Duration::from_secs(3), "the upstream's default");
    assert_eq!(shop.timeouts.read, Duration::from_secs(7));
    assert_eq!(shop.timeouts.total, Some(Duration::from_secs(9)));
    assert_eq!(shop.retry.tries, 9);
    assert_eq!(web.routes[1].route.prefix, "/shop");
}

#[test]
fn a_name_gives_a_backend_for_each_address_and_none_before_it_resolves() {
    let mut world = World::new();
    let first = world.build(TEXT, None);
    let shop = first.upstream_by_name("shop").unwrap();
    assert_eq!(labels(shop), ["unix:/run/shop.sock"]);
    world.resolve("shop.internal", &["10.1.0.1", "2001:db8::1"]);
    let second = world.rebuild(&first, &[1]);
    let shop = second.upstream_by_name("shop").unwrap();
    assert_eq!(
        labels(shop),
        ["shop.internal:81/10.1.0.1", "shop.internal:81/2001:db8::1", "unix:/run/shop.sock"],
    );
    assert_eq!(shop.backends[1].address, Address::Ip("[2001:db8::1]:81".parse().unwrap()));
    assert_eq!(shop.backends[1].authority, "shop.internal:81");
    assert_eq!(shop.backends[1].weight.value(), 3);
    assert_eq!(shop.backends[2].state.probed, ProbedState::Checking);
    // One address leaves, one comes; who stays is the same one, at another place.
    world.resolve("shop.internal", &["10.1.0.0", "2001:db8::1"]);
    let third = world.rebuild(&second, &[1]);
    let after = third.upstream_by_name("shop").unwrap();
    assert_eq!(after.backends[1].id, shop.backends[1].id);
    assert!(Arc::ptr_eq(&after.live[1], &shop.live[1]));
    assert_ne!(after.backends[0].id, shop.backends[0].id);
    // And it comes back as who it was.
    world.resolve("shop.internal", &["10.1.0.1"]);
    let fourth = world.rebuild(&third, &[1]);
    assert_eq!(fourth.upstream_by_name("shop").unwrap().backends[0].id, shop.backends[0].id);
}

#[test]
fn what_a_reload_does_not_touch_is_the_same_by_pointer() {
    let mut world = World::new();
    let first = world.build(TEXT, None);
    let unchanged = world.build(TEXT, Some(&first));
    for (old, new) in first.upstreams.iter().zip(&unchanged.upstreams) {
        assert!(Arc::ptr_eq(old, new), "{}", old.name);
    }
    // An upstream before it, so that its place moves; and another one is changed.
    let text = TEXT.replace("weight = 3", "weight = 4").replace("\"/run", "\"/srv")
        + "[[upstream.aaa.backend]]\naddress = \"10.9.9.9:80\"\n";
    let second = world.build(&text, Some(&unchanged));
    assert_eq!(second.upstreams[0].name, "aaa");
    let by_name =
        |name| (first.upstream_by_name(name).unwrap(), second.upstream_by_name(name).unwrap());
    let (old, new) = by_name("api");
    assert!(Arc::ptr_eq(old, new));
    let (old, new) = by_name("shop");
    assert!(!Arc::ptr_eq(old, new));
    assert!(Arc::ptr_eq(&old.live[0], &new.live[0]), "counters of a backend that stays live on");
    assert!(Arc::ptr_eq(&old.backends[0].series, &new.backends[0].series));
    assert!(Arc::ptr_eq(&old.series, &new.series));
    assert_eq!(old.id, new.id);
}

#[test]
fn keys_stay_with_a_name_whatever_it_resolves_to() {
    let mut world = World::new();
    let text = TEXT.replace("unix:/run/shop.sock", "other.internal:81").replace(
        "[upstream.shop]\n",
        "[upstream.shop]\nstrategy = \"consistent_hash\"\nkey = \"${uri}\"\n",
    );
    let placed = |snapshot: &Snapshot| -> Vec<String> {
        let shop = snapshot.upstream_by_name("shop").unwrap();
        let mut cursors = shop.cursors(WorkerIx(0), 0);
        (0..200)
            .map(|n| {
                let key = format!("/item/{n}");
                let (tried, mut rng) = (Tried::new(), Rng::new(1));
                let mut pick = Pick {
                    key: Key::Bytes(key.as_bytes()),
                    live: &shop.live,
                    tried: &tried,
                    now: Tick(0),
                    rng: &mut rng,
                };
                let ix = shop.pick(&mut cursors, &mut pick).unwrap();
                shop.backends[ix.index()].authority.clone()
            })
            .collect()
    };
    world.resolve("shop.internal", &["10.1.0.1"]);
    world.resolve("other.internal", &["10.1.0.2"]);
    let first = world.build(&text, None);
    let before = placed(&first);
    world.resolve("shop.internal", &["10.7.0.3", "10.7.0.4"]);
    let second = world.rebuild(&first, &[1]);
    assert_eq!(second.upstream_by_name("shop").unwrap().backends.len(), 3);
    assert_eq!(placed(&second), before);
}

/// An upstream of a node whose one name has these addresses.
fn named(world: &mut World, (node, settings): (u32, &str), addresses: &[&str]) -> Snapshot {
    world.resolve("shop.internal", addresses);
    let text = format!(
        "node = \"lb-{node}\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"shop\"\n\
         [upstream.shop]\n{settings}\nbackend = [{{ address = \"shop.internal:81\" }}]\n"
    );
    world.build(&text, None)
}

const FIVE: [&str; 5] = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5"];

#[test]
fn of_the_addresses_of_a_name_each_has_its_own_slots() {
    let mut world = World::new();
    let mut placed = |addresses: &[&str]| -> Vec<Address> {
        let snapshot = named(&mut world, (0, "strategy = \"maglev\""), addresses);
        let shop = snapshot.upstream_by_name("shop").unwrap();
        let mut cursors = shop.cursors(WorkerIx(0), 0);
        let pick = |n: u32| {
            let key = format!("/item/{n}");
            let (tried, mut rng) = (Tried::new(), Rng::new(1));
            let (key, live) = (Key::Bytes(key.as_bytes()), &shop.live);
            let mut pick = Pick { key, live, tried: &tried, now: Tick(0), rng: &mut rng };
            let ix = shop.pick(&mut cursors, &mut pick).unwrap();
            shop.backends[ix.index()].address.clone()
        };
        (0..1_000).map(pick).collect()
    };
    let (before, after) = (placed(&FIVE), placed(&FIVE[1..]));
    let gone = Address::Ip("10.1.0.1:81".parse().unwrap());
    let others = before.iter().zip(&after).filter(|(before, _)| **before != gone);
    let moved = others.filter(|(before, after)| before != after).count();
    assert!(moved < 50, "of the keys of others {moved} of 1000 have moved");
}

#[test]
fn nodes_use_different_addresses_of_a_name() {
    let mut world = World::new();
    let mut used = BTreeSet::new();
    for node in 0..20 {
        let snapshot = named(&mut world, (node, "subset = 1"), &FIVE);
        let shop = snapshot.upstream_by_name("shop").unwrap();
        used.extend(shop.eligible.iter().position(|eligible| *eligible));
    }
    assert!(used.len() > 3, "{used:?}");
}

#[test]
fn no_node_is_left_with_degraded_backends_alone() {
    for node in 0..20 {
        let mut world = World::new();
        let first = named(&mut world, (node, "subset = 1\nhealth = {}"), &FIVE);
        let backends = &first.upstream_by_name("shop").unwrap().backends;
        for (backend, probed) in backends.iter().zip([ProbedState::Degraded; 3]) {
            world.states.insert(backend.id, BackendState { probed, ..BackendState::default() });
        }
        for backend in &backends[3..] {
            let probed = ProbedState::Up;
            world.states.insert(backend.id, BackendState { probed, ..BackendState::default() });
        }
        let second = named(&mut world, (node, "subset = 1\nhealth = {}"), &FIVE);
        let eligible = &second.upstream_by_name("shop").unwrap().eligible;
        let used = |of: std::ops::Range<usize>| eligible[of].iter().filter(|one| **one).count();
        assert_eq!((used(0..3), used(3..5)), (1, 1), "node {node}: {eligible:?}");
    }
}

#[test]
fn a_health_event_makes_no_new_ring() {
    let mut world = World::new();
    let text = TEXT.replace("[upstream.api]\n", "[upstream.api]\nstrategy = \"consistent_hash\"\n");
    let first = world.build(&text, None);
    let api = first.upstream_by_name("api").unwrap();
    let parked = PassiveState::Parked { until: Tick(9) };
    let state = BackendState { passive: parked, ..BackendState::default() };
    world.states.insert(api.backends[1].id, state);
    let second = world.rebuild(&first, &[0]);
    let after = second.upstream_by_name("api").unwrap();
    assert_eq!(*after.eligible, [true, false, true]);
    let same = |one: &Upstream, tier| one.tiers.plan(tier).shares_ring(api.tiers.plan(tier));
    assert!(same(after, 0) && same(after, 1));
    let heavier = text.replacen("0.2:80\"", "0.2:80\"\nweight = 2", 1);
    let third = world.build(&heavier, Some(&second));
    let changed = third.upstream_by_name("api").unwrap();
    assert!(!same(changed, 0) && same(changed, 1));
}

#[test]
fn a_health_event_rebuilds_one_upstream() {
    let mut world = World::new();
    let first = world.build(TEXT, None);
    let down = first.upstream_by_name("api").unwrap().backends[1].id;
    let parked = PassiveState::Parked { until: Tick(9) };
    world.states.insert(down, BackendState { passive: parked, ..BackendState::default() });
    let second = world.rebuild(&first, &[0]);
    let [api, shop] = &*second.upstreams else { panic!("two upstreams") };
    assert_eq!(*api.eligible, [true, false, true]);
    assert_eq!(api.backends[1].state.passive, parked);
    assert!(Arc::ptr_eq(shop, &first.upstreams[1]));
    for (old, new) in first.listeners.iter().zip(&second.listeners) {
        assert!(Arc::ptr_eq(old, new));
    }
    assert_eq!(second.generation, Generation(2));
    assert_eq!(second.config_hash, first.config_hash);
}

#[test]
fn a_backend_that_leaves_lives_as_long_as_it_is_used() {
    let mut world = World::new();
    let first = world.build(TEXT, None);
    let used = Arc::clone(&first.upstream_by_name("api").unwrap().live[1]);
    let text = TEXT.replace("[[upstream.api.backend]]\naddress = \"10.0.0.2:80\"\n", "");
    let second = world.build(&text, Some(&first));
    drop(first);
    assert_eq!(labels(second.upstream_by_name("api").unwrap()), ["10.0.0.1:80", "10.0.0.9:80"]);
    let guard = used.enter();
    assert_eq!(used.in_flight(), 1);
    drop(guard);
    assert_eq!(Arc::strong_count(&used), 1, "only the request holds it");
    let text = world.registry.encode();
    assert!(!text.contains("10.0.0.2:80"), "its series left with it");
    assert!(text.contains("10.0.0.1:80"));
}

#[test]
fn the_configuration_has_the_word_on_admin_state_and_on_probing() {
    let known = BackendState {
        admin: AdminState::Disabled,
        probed: ProbedState::Down,
        passive: PassiveState::Trial,
        share: Share::percent(30),
    };
    let kept = state(Some(known), AdminState::Draining, true);
    assert_eq!(kept, BackendState { admin: AdminState::Draining, ..known });
    assert_eq!(state(Some(known), AdminState::Enabled, false).probed, ProbedState::Unprobed);
    assert_eq!(state(None, AdminState::Enabled, true).probed, ProbedState::Checking);
    let unprobed = BackendState::default();
    assert_eq!(state(Some(unprobed), AdminState::Enabled, true).probed, ProbedState::Checking);
}

#[test]
fn the_last_one_left_is_seen_through_the_states_of_now() {
    let mut world = World::new();
    let snapshot = world.build(TEXT, None);
    let api = snapshot.upstream_by_name("api").unwrap();
    let ids: Vec<_> = api.backends.iter().map(|backend| backend.id).collect();
    let parked =
        BackendState { passive: PassiveState::Parked { until: Tick(9) }, ..Default::default() };
    assert!(api.stands_without(ids[0], |_| None));
    assert!(
        api.stands_without(ids[0], |id| (id == ids[1]).then_some(parked)),
        "the backup is left"
    );
    assert!(!api.stands_without(ids[0], |id| (id != ids[0]).then_some(parked)));
}

proptest! {
    /// However backends come, go and change, an id never stands for two labels.
    #[test]
    fn an_id_stands_for_one_label_for_ever(
        lists in prop::collection::vec(prop::collection::btree_set(1_u8..12, 1..6), 1..12),
    ) {
        let mut world = World::new();
        let mut seen = BTreeMap::new();
        let mut previous = None::<Snapshot>;
        for list in lists {
            let head = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"api\"\n";
            let entry =
                |n| format!("[[upstream.api.backend]]\naddress = \"10.0.0.{n}:80\"\n");
            let backends: Vec<_> = list.into_iter().map(entry).collect();
            let text = head.to_owned() + &backends.concat();
            let next = world.build(&text, previous.as_ref());
            for backend in &next.upstreams[0].backends {
                let label = seen.entry(backend.id).or_insert_with(|| backend.label.clone());
                prop_assert_eq!(&*label, &backend.label);
            }
            let mut labels: Vec<_> = seen.values().collect();
            labels.sort();
            labels.dedup();
            prop_assert_eq!(labels.len(), seen.len());
            previous = Some(next);
        }
    }
}

proptest! {
    /// What is taken over from the upstream before is what would be built without it, and what is the
    /// same is shared.
    #[test]
    fn a_list_built_upon_another_is_the_one_built_from_nothing(
        lists in prop::collection::vec(prop::collection::vec((0_u8..9, 1_u8..3), 1..8), 2..5),
        addresses in prop::collection::vec(prop::collection::btree_set(1_u8..9, 0..4), 5),
        down in prop::collection::btree_set(0_u64..9, 0..3),
    ) {
        let mut world = World::new();
        let mut before = None::<Snapshot>;
        for (list, addresses) in lists.into_iter().zip(addresses) {
            let addresses: Vec<_> = addresses.iter().map(|n| format!("10.0.0.{n}")).collect();
            world.resolve("x", &addresses.iter().map(String::as_str).collect::<Vec<_>>());
            let mut text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"api\"\n\
                [upstream.api.health]\ntype = \"tcp\"\n".to_owned();
            let mut seen = BTreeSet::new();
            for (n, weight) in list.into_iter().filter(|(n, _)| seen.insert(*n)) {
                let address = match n {
                    0 => "x:80".to_owned(),
                    1 => "unix:/run/a".to_owned(),
                    n => format!("10.0.0.{n}:80"),
                };
                let entry = format!("address = \"{address}\"\nweight = {weight}\n");
                text.extend(["[[upstream.api.backend]]\n", entry.as_str()]);
            }
            let upon = world.build(&text, before.as_ref());
            let alone = world.build(&text, None);
            let [upon_it, alone] = [&upon, &alone].map(|snapshot| &snapshot.upstreams[0]);
            let told = |upstream: &Upstream| format!("{:?}", upstream.backends);
            prop_assert_eq!(told(upon_it), told(alone));
            prop_assert_eq!(&upon_it.entries, &alone.entries);
            let old = before.iter().flat_map(|snapshot| {
                let upstream = &snapshot.upstreams[0];
                upstream.backends.iter().zip(upstream.live.iter())
            });
            let old: BTreeMap<_, _> = old.map(|(backend, live)| (backend.id, (backend, live))).collect();
            for (backend, live) in upon_it.backends.iter().zip(upon_it.live.iter()) {
                if let Some((was, counters)) = old.get(&backend.id) {
                    prop_assert!(Arc::ptr_eq(live, counters));
                    let same = was.weight == backend.weight && was.state == backend.state;
                    prop_assert_eq!(Arc::ptr_eq(was, backend), same);
                }
            }
            // What is known changes between two configurations.
            for backend in &upon_it.backends {
                let probed = if down.contains(&backend.id.0) { ProbedState::Down } else { ProbedState::Up };
                world.states.insert(backend.id, BackendState { probed, ..backend.state });
            }
            before = Some(upon);
        }
    }
}
