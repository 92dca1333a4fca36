use super::*;
use crate::config::{self, Loaded};

fn text(top: &str, upstream: &str, backends: &[&str]) -> String {
    let mut text = format!(
        "{top}\n[admin]\naddress = \"127.0.0.1:9901\"\n\
         [[listener]]\nname = \"main\"\naddress = \"127.0.0.1:8080\"\n\
         [[route]]\nname = \"a\"\npath = \"/a\"\nupstream = \"api\"\n\
         [[route]]\nname = \"b\"\npath = \"/b\"\nupstream = \"api\"\n\
         [upstream.api]\n{upstream}\n"
    );
    for backend in backends {
        text.extend(["[[upstream.api.backend]]\n", backend, "\n"]);
    }
    text
}

fn load(text: &str) -> Loaded {
    config::parse("plimsoll.toml", text, &|_| None).unwrap_or_else(|report| panic!("{report}"))
}

fn of(one: &str, two: &str) -> Effect {
    effect(&load(one).config, &load(two).config, &Snapshot::empty())
}

/// Each change in a line.
fn lines(of_it: &Effect) -> Vec<String> {
    let line = |one: &Change| {
        format!("{:?} {} {}: {}", one.how, one.what, one.name, one.details.join(", "))
    };
    of_it.changes.iter().map(line).collect()
}

const TWO: [&str; 2] = ["address = \"10.0.0.1:80\"", "address = \"10.0.0.2:80\""];

#[test]
fn another_way_to_write_it_is_no_change() {
    let one = text("workers = 2", "", &TWO);
    let two = format!("# comment\n{}", one.replace("workers = 2\n", "workers    =    0x2\n"));
    let same = of(&one, &two);
    assert_eq!(lines(&same), [""; 0]);
    assert_eq!(same.pools, Pools { kept: 2, ..Pools::default() });
}

#[test]
fn what_differs_is_named() {
    let one = text("workers = 2", "", &TWO);
    let two = text(
        "workers = 4\ndrain_timeout = \"7s\"",
        "strategy = \"least_connections\"\nmax_in_flight = 9",
        &["address = \"10.0.0.2:80\"\nweight = 5", "address = \"10.0.0.3:80\""],
    );
    let two = two.replace("path = \"/b\"", "path = \"/c\"").replace(":9901", ":9902");
    let two = two.replace("127.0.0.1:8080", "127.0.0.1:8081")
        + "[[route]]\nname = \"d\"\npath = \"/d\"\nupstream = \"other\"\n\
           [[upstream.other.backend]]\naddress = \"10.0.0.9:80\"\n";
    let of_it = of(&one, &two);
    assert_eq!(
        lines(&of_it),
        [
            "Changed process : workers, drain_timeout",
            "Changed admin : ",
            "Changed listener main: address 127.0.0.1:8080 → 127.0.0.1:8081",
            "Changed route b: path",
            "Added route d: ",
            "Changed upstream api: max_in_flight, strategy weighted_round_robin → least_connections",
            "Changed backend api/10.0.0.2:80: weight 1 → 5",
            "Added backend api/10.0.0.3:80: weight 1",
            "Removed backend api/10.0.0.1:80: ",
            "Added upstream other: 1 backend",
        ]
    );
    assert_eq!(of_it.restart, ["workers", "admin"]);
    assert_eq!(of_it.pools, Pools { kept: 1, renewed: 0, new: 2 });
    let back = of(&two, &one);
    assert_eq!(back.changes.len(), of_it.changes.len());
    assert!(lines(&back).contains(&"Removed upstream other: 1 backend".to_owned()));
}

#[test]
fn the_order_of_routes_is_a_change() {
    let one = text("", "", &TWO);
    let (head, tail) = one.split_once("[[route]]").unwrap();
    let (first, tail) = tail.split_once("[[route]]").unwrap();
    let (second, tail) = tail.split_once("[upstream.api]").unwrap();
    let two = format!("{head}[[route]]{second}[[route]]{first}[upstream.api]{tail}");
    assert_eq!(lines(&of(&one, &two)), ["Changed route : they stand in another order"]);
}

/// The part of the keys that moves.
fn keys(one: &str, two: &str) -> Option<f64> {
    let changes = of(one, two).changes;
    changes.into_iter().find(|change| change.what == "upstream")?.keys_moved
}

#[test]
fn of_a_ring_few_keys_move() {
    let backends: Vec<_> = (1..=10).map(|n| format!("address = \"10.0.0.{n}:80\"")).collect();
    let all: Vec<&str> = backends.iter().map(|one| &**one).collect();
    for strategy in ["consistent_hash", "maglev"] {
        let by = format!("strategy = \"{strategy}\"\nkey = \"${{uri}}\"");
        let moved = keys(&text("", &by, &all), &text("", &by, &all[..9])).unwrap();
        assert!((0.07..0.16).contains(&moved), "{strategy}: {moved}");
        assert_eq!(
            Some(moved),
            keys(&text("", &by, &all), &text("", &by, &all[..9])),
            "the same keys"
        );
        let other = by.replace("uri", "host");
        assert_eq!(keys(&text("", &by, &all), &text("", &other, &all)), Some(1.0));
    }
    let by = "strategy = \"url_hash\"\nkey = \"${uri}\"";
    let moved = keys(&text("", by, &all), &text("", by, &all[..9])).unwrap();
    assert!(moved > 0.8, "the modulus moves nearly all: {moved}");
    let none = keys(&text("", by, &all), &text("", "strategy = \"random\"", &all));
    assert_eq!(none, None);
}
