//! What stands out of what was collected: what to look at first.

use serde_json::Value;

/// Part of a limit from which on it stands out.
const NEAR: f64 = 0.8;
/// Seconds that a certificate has left when it stands out: two weeks.
const SOON: f64 = 14.0 * 86_400.0;

/// Looks through the collected files, the worst first.
pub(super) fn find(files: &[(String, String)]) -> Vec<String> {
    let file = |name: &str| files.iter().find(|file| file.0 == name).map(|file| file.1.as_str());
    let json = |name: &str| {
        file(name).and_then(|text| serde_json::from_str::<Value>(text).ok()).unwrap_or_default()
    };
    let metrics = file("metrics.txt").unwrap_or_default();
    let mut found = Vec::new();
    if json("api/status.json").is_null() {
        found.push("the process does not answer on its admin listener".to_owned());
    }
    let (status, check) = (json("api/status.json"), json("check.json"));
    let of_upstreams = list(&status["upstreams"]).iter().filter(|one| one["status"] != "healthy");
    found.extend(of_upstreams.map(|one| {
        let (name, status) = (text(one, "upstream"), text(one, "status"));
        format!("upstream {name} is {status}: {} of {} serve", one["eligible"], one["backends"])
    }));
    let backends = json("api/backends.json");
    let out = list(&backends["backends"]).iter().filter(|one| one["eligible"] == false);
    found.extend(out.map(|one| {
        format!(
            "{}/{} is not picked: {}",
            text(one, "upstream"),
            text(one, "backend"),
            text(one, "why")
        )
    }));
    if check["ok"] == false {
        found.push("the configuration would be refused: see check.json".to_owned());
    }
    if first(metrics, "plimsoll_config_last_reload_successful") == Some(0.0) {
        found.push("the last reload was refused: the process goes by an older file".to_owned());
    }
    found.extend(near(metrics));
    let found_by_check = list(&check["diagnostics"]).iter();
    let warnings = found_by_check.filter(|one| one["severity"] == "warning").count();
    if warnings > 0 {
        found.push(format!("the configuration has {warnings} warnings: see check.json"));
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// Limits that are nearly reached, and certificates that nearly end.
fn near(metrics: &str) -> Vec<String> {
    let mut found = Vec::new();
    let open = first(metrics, "process_open_fds").zip(first(metrics, "process_max_fds"));
    if let Some((open, most)) = open.filter(|(open, most)| *open > NEAR * most) {
        found.push(format!("{open} of {most} descriptors are open"));
    }
    let now = jiff::Timestamp::now().as_second() as f64;
    let ends = series(metrics, "plimsoll_certificate_expiry_timestamp_seconds");
    found.extend(ends.filter(|(_, until)| until - now < SOON).map(|(labels, until)| {
        format!("a certificate has {:.0} days left: {labels}", (until - now) / 86_400.0)
    }));
    let dropped = ["plimsoll_events_dropped_total", "plimsoll_access_log_dropped_lines_total"];
    found.extend(dropped.into_iter().filter_map(|name| {
        let count: f64 = series(metrics, name).map(|(_, count)| count).sum();
        (count > 0.0).then(|| format!("{name} is {count}"))
    }));
    found
}

fn first(metrics: &str, family: &str) -> Option<f64> {
    series(metrics, family).next().map(|(_, value)| value)
}

/// The labels and values of a family.
fn series<'m>(metrics: &'m str, family: &'m str) -> impl Iterator<Item = (&'m str, f64)> {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(family)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_it = labels.is_empty() || labels.starts_with('{');
        Some((labels, value.parse().ok()?)).filter(|_| is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named_and_what_is_well_is_not() {
        let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        let well = [
            file("api/status.json", r#"{"upstreams": [{"upstream": "api", "status": "healthy"}]}"#),
            file("api/backends.json", r#"{"backends": [{"eligible": true}]}"#),
            file("check.json", r#"{"ok": true, "diagnostics": []}"#),
            file("metrics.txt", "process_open_fds 10\nprocess_max_fds 100\n"),
        ];
        assert_eq!(find(&well), Vec::<String>::new());
        let ill = [
            file(
                "api/status.json",
                r#"{"upstreams": [{"upstream": "api", "status": "unhealthy", "eligible": 0, "backends": 2}]}"#,
            ),
            file(
                "api/backends.json",
                r#"{"backends": [{"upstream": "api", "backend": "a", "eligible": false, "why": "down"}]}"#,
            ),
            file("check.json", r#"{"ok": false, "diagnostics": [{"severity": "warning"}]}"#),
            file(
                "metrics.txt",
                "plimsoll_config_last_reload_successful 0\nprocess_open_fds 90\nprocess_max_fds 100\n\
                 plimsoll_certificate_expiry_timestamp_seconds{certificate=\"a\"} 1000\n\
                 plimsoll_events_dropped_total 3\n",
            ),
        ];
        let found = find(&ill).join("\n");
        for said in [
            "upstream api is unhealthy: 0 of 2 serve",
            "api/a is not picked: down",
            "would be refused",
            "the last reload was refused",
            "90 of 100 descriptors",
            "{certificate=\"a\"}",
            "plimsoll_events_dropped_total is 3",
            "1 warnings",
        ] {
            assert!(found.contains(said), "{said}: {found}");
        }
        assert_eq!(find(&[]), ["the process does not answer on its admin listener"]);
    }
}
