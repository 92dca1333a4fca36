//! The files for Compose and Kubernetes: they are read, what they mount is there, and the configurations in
//! them are good.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::{PROGRAM, at_root, run, yaml};

#[test]
fn compose_mounts_what_there_is_and_depends_on_what_it_starts() {
    let document = yaml("docker/compose.yaml").remove(0);
    let services = document["services"].as_object().unwrap();
    assert_eq!(services.len(), 6, "{:?}", services.keys());
    for (name, service) in services {
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let from = mount.as_str().unwrap().split(':').next().unwrap();
            assert!(at_root("docker").join(from).exists(), "{name}: {from}");
        }
        for other in service["depends_on"].as_array().into_iter().flatten() {
            assert!(services.contains_key(other.as_str().unwrap()), "{name}: {other}");
        }
    }
    run(Command::new(PROGRAM).arg("check").arg(at_root("docker/plimsoll/plimsoll.toml")));
    let grafana = yaml("docker/grafana/datasources/prometheus.yaml").remove(0);
    assert_eq!(grafana["datasources"][0]["url"], "http://prometheus:9090");
    let boards = yaml("docker/grafana/dashboards/plimsoll.yaml").remove(0);
    let path = boards["providers"][0]["options"]["path"].as_str().unwrap();
    let mounts = services["grafana"]["volumes"].as_array().unwrap();
    assert!(mounts.iter().any(|mount| mount.as_str().unwrap().contains(&format!(":{path}:"))));
}

#[test]
fn images_are_found_by_every_engine_and_built_without_what_they_do_not_need() {
    // Without a registry in it a name is Docker's own affair: podman does not guess.
    let services = yaml("docker/compose.yaml").remove(0)["services"].take();
    let pulled = services.as_object().unwrap().values().filter(|one| one["build"].is_null());
    let pulled = pulled.map(|service| service["image"].as_str().unwrap().to_owned());
    let text = fs::read_to_string(at_root("docker/Dockerfile")).unwrap();
    let bases = text.lines().filter_map(|line| line.strip_prefix("FROM "));
    let all: Vec<_> = pulled.chain(bases.map(str::to_owned)).collect();
    assert!(all.len() >= 7, "{all:?}");
    for image in all {
        assert!(image.split_once('/').is_some_and(|(at, _)| at.contains('.')), "{image}");
    }
    // The one name that Docker, podman and buildah all look for.
    let left_out = fs::read_to_string(at_root(".dockerignore")).unwrap();
    assert!(left_out.lines().any(|line| line == "target"), "{left_out}");
}

#[test]
fn manifests_of_kubernetes_fit_together_and_hold_a_good_configuration() {
    let documents = yaml("docker/kubernetes/plimsoll.yaml");
    let one = |kind: &str| documents.iter().find(|one| one["kind"] == kind).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plimsoll.toml");
    let text = one("ConfigMap")["data"]["plimsoll.toml"].as_str().unwrap();
    fs::write(&file, text).unwrap();
    run(Command::new(PROGRAM).arg("check").arg(&file));

    let pod = &one("Deployment")["spec"]["template"];
    let labels = &pod["metadata"]["labels"];
    for selector in [
        &one("Deployment")["spec"]["selector"]["matchLabels"],
        &one("Service")["spec"]["selector"],
        &one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    let container = &pod["spec"]["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    for port in ports {
        let listens = format!("0.0.0.0:{}\"", port["containerPort"]);
        assert!(text.contains(&listens), "nobody listens on {port}");
    }
    let named = |name: &Value| ports.iter().any(|port| port["name"] == *name);
    assert!(named(&one("Service")["spec"]["ports"][0]["targetPort"]));
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert!(named(&container[probe]["httpGet"]["port"]), "{probe}");
    }
    // The configuration is mounted as a folder, from the map that is there.
    assert_eq!(
        pod["spec"]["volumes"][0]["configMap"]["name"],
        one("ConfigMap")["metadata"]["name"]
    );
    // Requests under way have their time: preStop, then drain_timeout, then the end.
    let waits = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().unwrap();
    assert!(text.contains("drain_timeout = \"30s\""));
    assert!(pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap() > waits + 30);
}
