//! Names that change, fail and come back, told by a small name server on loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use super::*;
use crate::model::Weight;
use crate::snapshot::build::Endpoint;

/// Answers every question for A records with these addresses, or with SERVFAIL when there are none; not as
/// long as it is held.
#[derive(Clone, Default)]
struct Zone(Arc<Mutex<Vec<Ipv4Addr>>>, watch::Sender<bool>);

impl Zone {
    fn set(&self, addresses: &[[u8; 4]]) {
        *self.0.lock().unwrap() = addresses.iter().copied().map(Ipv4Addr::from).collect();
    }

    /// RFC 1035 §4.1: the header, the question as it came, the answers.
    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let addresses = self.0.lock().unwrap().clone();
        let name_ends = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let asks_a = question[name_ends..name_ends + 2] == [0, 1];
        let (code, records) = match (addresses.is_empty(), asks_a) {
            (true, _) => (2, Vec::new()),
            (false, true) => (0, addresses),
            (false, false) => (0, Vec::new()),
        };
        let mut answer = question[..2].to_vec();
        answer.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        answer.extend(&question[12..name_ends + 4]);
        for address in records {
            // The name by reference, A, IN, TTL 0, four octets.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend(address.octets());
        }
        answer
    }
}

async fn serve(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut question = [0; 512];
        let mut held = zone.1.subscribe();
        loop {
            let (length, from) = socket.recv_from(&mut question).await.unwrap();
            held.wait_for(|held| !held).await.unwrap();
            socket.send_to(&zone.answer(&question[..length]), from).await.unwrap();
        }
    });
    address
}

async fn resolver(zone: &Zone) -> Dns {
    let server = serve(zone.clone()).await;
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let provider = TokioRuntimeProvider::default();
    Dns::new(TokioResolver::builder_with_config(config, provider))
}

fn labels(snapshot: &Snapshot) -> Vec<&str> {
    api(snapshot).backends.iter().map(|backend| backend.label.as_str()).collect()
}

#[tokio::test]
async fn new_answers_are_taken_up_and_the_last_good_one_is_kept() {
    let zone = Zone::default();
    zone.set(&[[10, 0, 0, 2], [10, 0, 0, 1]]);
    let dns = resolver(&zone).await;
    let loaded = load(&text(&["api.test:80", "10.9.9.9:80"], ""));
    let registry = Registry::new(1);
    let handle =
        start_with(loaded, None, Arc::clone(&registry), Box::new(NoStage), (dns, Vec::new())).await;
    let first = until(&handle, |_| true).await;
    assert_eq!(labels(&first), ["api.test:80/10.0.0.1", "api.test:80/10.0.0.2", "10.9.9.9:80"]);

    let none_failed = || {
        let text = registry.encode();
        let line = "plimsoll_discovery_updates_total{source=\"dns\",result=\"failed\"} ";
        let count = text.split(line).nth(1).expect("the series is there");
        count.starts_with("0\n")
    };
    assert!(none_failed());
    zone.set(&[]);
    let failed = async {
        while none_failed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), failed).await.expect("a question fails");
    assert!(Arc::ptr_eq(&first, &until(&handle, |_| true).await), "the last answer is kept");

    zone.set(&[[10, 0, 0, 3], [10, 0, 0, 2]]);
    let second = until(&handle, |now| now.generation > first.generation).await;
    assert_eq!(labels(&second), ["api.test:80/10.0.0.2", "api.test:80/10.0.0.3", "10.9.9.9:80"]);
    let told: Vec<_> = kinds(&registry).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(told, ["discovery.failed", "discovery.resolved"], "once each");
    assert_eq!(api(&first).backends[1].id, api(&second).backends[0].id);
    assert!(Arc::ptr_eq(&api(&first).live[1], &api(&second).live[0]));
    let last = handle.journal().pop().unwrap();
    assert_eq!((last.origin, &*last.cause), (Origin::Dns, "api.test has other addresses"));

    // A backend that moved to another place still hears its own news.
    let (id, live) = (api(&second).backends[0].id, &api(&second).live[0]);
    handle.events().send(crossed(id)).await.unwrap();
    let third = until(&handle, |now| now.generation > second.generation).await;
    assert!(is_parked(&third, id));
    assert_eq!(*api(&third).eligible, [false, true, true]);
    assert!(Arc::ptr_eq(live, &api(&third).live[0]));
}

#[tokio::test]
async fn a_name_without_an_answer_costs_only_its_own_backends() {
    let zone = Zone::default();
    let dns = resolver(&zone).await;
    let loaded = load(&text(&["api.test:80", "10.9.9.9:80"], ""));
    let registry = Registry::new(1);
    let handle =
        start_with(loaded, None, Arc::clone(&registry), Box::new(NoStage), (dns, Vec::new())).await;
    let first = until(&handle, |_| true).await;
    assert_eq!(labels(&first), ["10.9.9.9:80"]);
    assert_eq!(kinds(&registry)[0].0, "discovery.failed");
    zone.set(&[[10, 0, 0, 1]]);
    let second = until(&handle, |now| now.generation > first.generation).await;
    assert_eq!(labels(&second), ["api.test:80/10.0.0.1", "10.9.9.9:80"]);
}

fn kinds(registry: &Registry) -> Vec<(&'static str, String)> {
    let events = registry.history().events(|event| event.kind.starts_with("discovery."));
    events.into_iter().map(|event| (event.kind, event.cause)).collect()
}

/// Waits until so many answers were held, and more.
async fn until_held(registry: &Registry, count: u64) {
    let held = || {
        let text = registry.encode();
        let line = "plimsoll_discovery_updates_total{source=\"dns\",result=\"held\"} ";
        let number = text.split(line).nth(1).and_then(|rest| rest.split('\n').next());
        number.and_then(|number| number.parse::<u64>().ok()).expect("the series is there")
    };
    let waiting = async {
        while held() < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("an answer is held");
}

#[tokio::test]
async fn an_answer_that_takes_most_away_is_held_until_it_is_confirmed() {
    let zone = Zone::default();
    zone.set(&[[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]]);
    let dns = resolver(&zone).await;
    let loaded = load(&text(&["api.test:80"], "[upstream.api.dns]\nconfirm = \"1s\"\n"));
    let registry = Registry::new(1);
    let handle =
        start_with(loaded, None, Arc::clone(&registry), Box::new(NoStage), (dns, Vec::new())).await;
    let first = until(&handle, |_| true).await;
    zone.set(&[[10, 0, 0, 1]]);
    let second = until(&handle, |now| now.generation > first.generation).await;
    assert_eq!(labels(&second), ["api.test:80/10.0.0.1"]);
    let words = "api.test has 1 addresses, 3 are in use".to_owned();
    let told = [("discovery.held", words.clone()), ("discovery.confirmed", words)];
    assert_eq!(kinds(&registry), told);
    // One of one is replaced at once: how many there are counts.
    zone.set(&[[10, 0, 0, 9]]);
    let third = until(&handle, |now| now.generation > second.generation).await;
    assert_eq!(labels(&third), ["api.test:80/10.0.0.9"]);
    assert_eq!(kinds(&registry).len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_held_is_forgotten_when_all_are_back() {
    let zone = Zone::default();
    let all = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]];
    zone.set(&all);
    let dns = resolver(&zone).await;
    let loaded = load(&text(&["api.test:80"], "[upstream.api.dns]\nconfirm = \"1h\"\n"));
    let registry = Registry::new(1);
    let handle =
        start_with(loaded, None, Arc::clone(&registry), Box::new(NoStage), (dns, Vec::new())).await;
    let first = until(&handle, |_| true).await;
    zone.set(&all[..1]);
    until_held(&registry, 2).await;
    assert!(Arc::ptr_eq(&first, &until(&handle, |_| true).await), "all are kept");
    zone.set(&all);
    let recovered = async {
        while kinds(&registry).len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), recovered).await.expect("they are back");
    assert_eq!(kinds(&registry)[1].0, "discovery.recovered");
    assert!(Arc::ptr_eq(&first, &until(&handle, |_| true).await));
}

#[tokio::test]
async fn localhost_is_known_without_a_name_server() {
    let dns = Dns::new(TokioResolver::builder_with_config(
        ResolverConfig::default(),
        TokioRuntimeProvider::default(),
    ));
    let loaded = load(&text(&["localhost:80"], ""));
    let query = names::names(&loaded.config).into_keys().next().unwrap();
    let (found, _) = dns.lookup(query).await.result.unwrap();
    assert_eq!(found, [Endpoint::plain(Ipv4Addr::LOCALHOST.into())]);
}

#[tokio::test]
async fn a_word_that_ends_while_a_backend_joins_does_not_come_back() {
    let zone = Zone::default();
    zone.set(&[[10, 0, 0, 9]]);
    zone.1.send_replace(true);
    let dns = resolver(&zone).await;
    let loaded = load(&text(&["10.0.0.1:80", "10.0.0.2:80"], ""));
    let registry = Registry::new(1);
    let handle =
        start_with(loaded, None, Arc::clone(&registry), Box::new(NoStage), (dns, Vec::new())).await;
    let wish = |backend: &str, what, lasts| Wish {
        upstream: "api".to_owned(),
        backend: backend.to_owned(),
        what,
        by: By::now("alice".to_owned(), String::new(), lasts),
        bypass: Vec::new(),
        dry_run: false,
    };
    let weight = Weight::try_from(5).unwrap();
    let heavier = What::Say(vec![Word::Weight(weight)], Vec::new());
    handle.wish(wish("10.0.0.1:80", heavier, Some(Duration::from_millis(300)))).await.unwrap();
    let joins = What::Join { weight: Weight::ONE, tier: 0, max_connections: 0 };
    let join = wish("new.test:80", joins, None);
    let joining = tokio::spawn({
        let handle = handle.clone();
        async move { handle.wish(join).await }
    });
    let weight = |snapshot: &Snapshot| api(snapshot).backends[0].weight.value();
    until(&handle, |now| weight(now) == 5).await;
    until(&handle, |now| weight(now) == 1).await;
    zone.1.send_replace(false);
    joining.await.unwrap().unwrap();
    let joined = until(&handle, |now| api(now).backends.len() == 3).await;
    assert_eq!((labels(&joined)[2], weight(&joined)), ("new.test:80/10.0.0.9", 1));
    assert_eq!(handle.said().overrides, []);
    let ended = registry.history().events(|event| event.kind == "override.expired");
    assert_eq!(ended.len(), 1);
}
