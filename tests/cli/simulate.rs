//! `plimsoll simulate`: figures by strategy, the same each time, and a picture of them.

use serde_json::Value;

use super::{err, out, plimsoll};

fn simulated(arguments: &[&str]) -> Value {
    let output = plimsoll(&[&["simulate", "--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn strategies_are_compared_and_chance_can_be_repeated() {
    let two = ["two-one-lost", "--strategy", "round_robin", "--strategy", "random"];
    let first = simulated(&two);
    let runs = first[0]["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 2);
    for run in runs {
        assert_eq!((&run["failed"], &run["parked"]), (&0.into(), &run["parked"]), "{run}");
        assert!(run["parked"].as_u64().unwrap() >= 1, "{run}");
        assert!(run["p50_ms"].as_f64().unwrap() > 5.0, "{run}");
    }
    assert_eq!(simulated(&two), first);
    assert_ne!(simulated(&[&two[..], &["--seed", "2"]].concat()), first);
}

#[test]
fn an_upstream_of_the_file_is_simulated_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, picture) = (at("plimsoll.toml"), at("picture.svg"));
    let config = "[[listener]]\naddress = \"127.0.0.1:8080\"\n[[route]]\nupstream = \"api\"\n\
        [upstream.api]\nretry.tries = 1\npassive.max_fails = 0\n\
        [[upstream.api.backend]]\naddress = \"a.internal:80\"\n\
        [[upstream.api.backend]]\naddress = \"b.internal:80\"\nweight = 3\n";
    std::fs::write(&file, config).unwrap();
    let of_file = ["--config", &file, "--upstream", "api", "--svg", &picture];
    let told = simulated(&[&["two-one-lost"], &of_file[..]].concat());
    let run = &told[0]["runs"][0];
    // A quarter of the requests of a third of the time, which nobody repeats.
    let lost = run["failed"].as_f64().unwrap() / run["requests"].as_f64().unwrap();
    assert!((0.07..0.10).contains(&lost), "{run}");
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("weighted_round_robin"), "{svg}");
}

#[test]
fn people_get_tables_and_the_names_of_all_scenarios() {
    let list = out(&plimsoll(&["simulate", "list"]));
    assert!(list.contains("zone-lost") && list.contains("cold-jvm"), "{list}");
    let table = out(&plimsoll(&["simulate", "one-sickly", "--strategy", "round_robin"]));
    assert!(table.contains("P99.9") && table.contains("round_robin"), "{table}");
}

#[test]
fn what_cannot_be_simulated_says_why() {
    for (arguments, words) in [
        (&["storm"][..], "there are: steady, slow-one"),
        (&["steady", "--strategy", "best"], "there are: round_robin"),
        (&["--svg", "/tmp/x.svg"], "name it"),
        (&["steady", "--log", "/nowhere"], "/nowhere: "),
        (&["steady", "--log", "Cargo.toml"], "no request in it"),
    ] {
        let output = plimsoll(&[&["simulate"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(err(&output).contains(words), "{words}: {}", err(&output));
    }
}
