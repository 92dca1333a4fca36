//! A pick allocates nothing, whatever the strategy, the number of backends and their condition. A
//! binary of its own, because its allocator counts.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use plimsoll::balance::{Candidate, Key, Lives, Need, Pick, Plan, Rng, Settings, Strategy, Tried};
use plimsoll::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

thread_local! {
    /// Allocations of this thread; tests run side by side.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait; this one only counts")]
// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract. The
// counter is a thread-local without a destructor and without lazy initialisation: it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`; `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` allocates.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn variants() -> impl Iterator<Item = Settings> {
    Strategy::ALL.into_iter().flat_map(|strategy| {
        [(1, None), (2, Some(1.25))].map(|(choices, bounded_load)| Settings {
            strategy,
            choices,
            bounded_load,
            ..Settings::default()
        })
    })
}

fn key(strategy: Strategy, n: u32, bytes: &mut [u8; 8]) -> Key<'_> {
    match strategy.needs() {
        Need::Nothing => Key::None,
        Need::ClientAddress => {
            Key::Address(std::net::Ipv4Addr::from(n.wrapping_mul(77_777)).into())
        }
        Need::Key => {
            *bytes = u64::from(n).to_le_bytes();
            Key::Bytes(bytes)
        }
    }
}

/// Every third backend is out, every fifth tried, every seventh full, and labels repeat.
fn picks_of(settings: &Settings, backends: u32) {
    let labels: Vec<String> = (0..backends).map(|n| format!("10.0.0.{}:80", n / 2)).collect();
    let candidates: Vec<Candidate<'_>> = (0..backends)
        .zip(&labels)
        .map(|(n, label)| Candidate {
            ix: BackendIx(n),
            id: BackendId(n.into()),
            label,
            weight: Weight::try_from(i64::from(n % 4 + 1)).unwrap(),
            eligible: n % 3 != 2,
            max_connections: 2,
            failures: None,
        })
        .collect();
    let plan = Plan::build(settings, &candidates);
    let live = Lives::new(backends as usize);
    let mut held = Vec::new();
    let mut tried = Tried::new();
    for n in 0..backends {
        if n % 5 == 4 {
            tried.insert(BackendIx(n));
        }
        if n % 7 == 6 {
            held.extend((0..2).map(|_| live[n as usize].enter()));
        }
    }
    let mut cursor = plan.cursor(WorkerIx(1), 7);
    let mut rng = Rng::new(7);
    let mut picked = 0;
    let allocated = allocations(|| {
        for n in 0..1_000 {
            let now = Tick(u64::from(n) * 1_000);
            let mut bytes = [0; 8];
            let key = key(settings.strategy, n, &mut bytes);
            let mut pick = Pick { key, live: &live, tried: &tried, now, rng: &mut rng };
            if let Some(ix) = plan.pick(&mut cursor, &mut pick) {
                picked += 1;
                let live = &live[ix.index()];
                let _in_flight = live.enter();
                live.observe(Duration::from_millis(u64::from(n % 9)), now);
            }
        }
    });
    assert_eq!((picked, allocated), (1_000, 0), "{settings:?}, {backends} backends");
}

#[test]
fn a_pick_allocates_nothing() {
    for settings in variants() {
        for backends in [1, 8, 64, 512] {
            picks_of(&settings, backends);
        }
    }
}

#[test]
fn an_allocation_would_have_been_seen() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}
