//! `/openapi.json` is so: schemathesis asks all that it allows, and what it does not, and holds the answers
//! against it.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::support::get;
use super::two_with;

/// What it may take; a few seconds of it are used.
const PATIENCE: Duration = Duration::from_mins(5);

/// A value that nobody can mean (422) is refused though its form is good: the document says so.
const SETTINGS: &str = "
[checks.positive_data_acceptance]
expected-statuses = [\"2xx\", 401, 403, 404, 409, 412, 422, 428]
";

#[tokio::test]
async fn schemathesis_finds_no_fault_with_the_api() {
    let (_a, _b, lb) = two_with("max_rate = 0").await;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let asking = Command::new("schemathesis")
        .arg("--config-file")
        .arg(&settings)
        .args(["--no-color", "run", &format!("http://{}/openapi.json", lb.admin_addr())])
        .args(["--seed", "1", "--max-examples", "10", "--no-shrink"])
        // A stream of events has no end to be waited for.
        .args(["--exclude-path-regex", "/events$"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, asking).await.expect("it ends within a minute");
    let output = output.expect("schemathesis is there; scripts/test installs it");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("Tested: "), "{told}");
    // Whatever it did, the process goes on.
    assert_eq!(lb.status().await["phase"], "ready");
}

#[tokio::test]
async fn what_has_several_names_answers_under_each() {
    let (_a, _b, lb) = two_with("").await;
    for names in [
        ["/healthz", "/api/v1/ha/health", "/api/ha/health"],
        ["/api/v1/ha/failover/status", "/api/v1/ha/failover-manager", "/api/ha/failover-manager"],
    ] {
        let [one, two, three] = names.map(|name| lb.api(name));
        let one = one.await;
        assert_eq!((&two.await, &three.await), (&one, &one), "{names:?}");
    }
    let text = get(lb.admin_addr(), "/api/ha/metrics").await.text();
    assert!(text.contains("plimsoll_config_revision 1\n"), "{text}");
}
