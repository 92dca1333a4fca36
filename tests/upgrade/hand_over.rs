//! What goes over to the next process, and what stays.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use rustix::process::{Pid, Signal, WaitOptions, getpid, set_child_subreaper, waitpid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};

use crate::family::Family;
use crate::support::{Client, Origin, at, config, get, metric, until};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// A request that its origin holds, on its way through a process that drains for as long as it takes.
async fn under_way() -> (Origin, Family, Client) {
    let a = Origin::start("a").await;
    let family = Family::start(&config("drain_timeout = \"1h\"", "", &[at(&a)])).await;
    a.hold();
    let mut client = Client::connect(family.addr("main")).await;
    client.send(GET).await;
    a.until_requests(1).await;
    (a, family, client)
}

#[tokio::test]
async fn request_under_way_is_finished_by_the_process_that_began_it() {
    let (a, family, mut client) = under_way().await;
    let old = family.pid();
    family.upgrade_well().await;
    // Who asks is answered by the new one before long: it alone is ready, and has served nothing yet.
    until("the old one leaves the admin listener to the new one", async || {
        get(family.admin(), "/readyz").await.status == 200
    })
    .await;
    let served = metric(&family.metrics().await, "plimsoll_requests_total");
    assert!(served.is_none_or(|served| served < 1.0), "{served:?}");
    a.release();
    let response = client.read_response().await;
    assert_eq!((response.text().as_str(), response.header("connection")), ("a", Some("close")));
    family.until_gone(old).await;
    assert_eq!(get(family.addr("main"), "/").await.text(), "a");
}

#[tokio::test]
async fn request_under_way_is_finished_when_the_service_stops_after_an_upgrade() {
    let (a, family, mut client) = under_way().await;
    let old = family.pid();
    let new = family.upgrade_well().await;
    // As systemd does it: every process of the service is told once.
    Family::signal(old, Signal::TERM);
    Family::signal(new, Signal::TERM);
    until("both were told", async || family.count("stopping") == 2).await;
    family.until_gone(new).await;
    a.release();
    assert_eq!(client.read_response().await.text(), "a");
    family.until_gone(old).await;
}

#[tokio::test]
async fn who_started_the_first_process_learns_how_the_next_one_ended_even_if_it_ended_first() {
    let (a, family, mut client) = under_way().await;
    // As systemd is to its services: what loses its parent is our child then.
    set_child_subreaper(Some(getpid())).unwrap();
    let (old, new) = (family.pid(), family.upgrade_well().await);
    Family::signal(new, Signal::KILL);
    family.until_gone(new).await;
    a.release();
    client.read_response().await;
    family.until_gone(old).await;
    let mut how = None;
    until("the end of the new one can be asked for", async || {
        how = waitpid(Pid::from_raw(new as i32), WaitOptions::NOHANG).ok().flatten();
        how.is_some()
    })
    .await;
    assert_eq!(how.unwrap().1.terminating_signal(), Some(Signal::KILL.as_raw()));
}

#[tokio::test]
async fn process_may_have_fewer_or_more_workers_than_the_one_before() {
    let a = Origin::start("a").await;
    let with = |workers: usize| {
        config("", "", &[at(&a)]).replace("workers = 2", &format!("workers = {workers}"))
    };
    let family = Family::start(&with(4)).await;
    for workers in [1, 3] {
        family.rewrite(&with(workers));
        let old = family.pid();
        family.upgrade_well().await;
        family.until_gone(old).await;
        // The kernel spreads connections over all sockets; each of them is accepted on.
        for _ in 0..30 {
            assert_eq!(get(family.addr("main"), "/").await.text(), "a");
        }
    }
}

/// Asks at a Unix socket.
async fn ask(path: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = format!("GET {target} HTTP/1.0\r\nHost: test\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn unix_sockets_and_their_files_go_over() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let (app, admin) = (folder.path().join("app.sock"), folder.path().join("admin.sock"));
    let listener = format!("[[listener]]\nname = \"unix\"\naddress = \"unix:{}\"\n", app.display());
    let text = (config("", "", &[at(&a)]) + &listener).replace(
        "[admin]\naddress = \"127.0.0.1:0\"",
        &format!("[admin]\naddress = \"unix:{}\"", admin.display()),
    );
    let family = Family::start(&text).await;
    for _ in 0..2 {
        let old = family.pid();
        family.upgrade_well().await;
        family.until_gone(old).await;
        assert!(ask(&app, "/").await.ends_with('a'));
        assert!(ask(&admin, "/readyz").await.starts_with("HTTP/1.0 200"));
    }
    let is_socket = |path: &Path| std::fs::symlink_metadata(path).unwrap().file_type().is_socket();
    assert!(is_socket(&app) && is_socket(&admin));
    Family::signal(family.pid(), Signal::TERM);
    until("the last process removes them", async || !app.exists() && !admin.exists()).await;
}

#[tokio::test]
async fn new_configuration_is_that_of_the_new_process_alone() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    let family = Family::start(&config("", "", &[at(&a)])).await;
    let port = crate::support::free_port();
    let more = format!("[[listener]]\nname = \"more\"\naddress = \"127.0.0.1:{port}\"\n");
    family.rewrite(&(config("", "", &[at(&b)]) + &more));
    family.upgrade_well().await;
    // Until it has heard that the new one serves, the old one accepts as well.
    family.until_gone(family.first_pid()).await;
    assert_eq!(get(family.addr("main"), "/").await.text(), "b");
    assert_eq!(get(([127, 0, 0, 1], port).into(), "/").await.text(), "b");
}

#[tokio::test]
async fn what_was_learned_of_backends_goes_over() {
    let (a, b) = (Origin::start("a").await, Origin::start("b").await);
    // Nobody listens where this one was.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let upstream = "[upstream.api.health]\ntype = \"tcp\"\ninterval = \"1h\"\ndown_interval = \"1h\"\n\
         fast_interval = \"100ms\"\nstart_period = \"1ms\"\n[upstream.api.passive]\nfail_timeout = \"1h\"\n";
    let named = |name: &str, address: String| format!("{address}\nname = \"{name}\"");
    let gone = named("gone", format!("address = \"{gone}\""));
    let text = config("", "", &[at(&a), named("b", at(&b)), gone]) + upstream;
    let family = Family::start(&text).await;
    let down = "plimsoll_backend_state{backend=\"gone\"}";
    until("it is down, the others are up", async || {
        let text = family.metrics().await;
        metric(&text, down) == Some(0.0)
            && metric(&text, "plimsoll_upstream_backends{state=\"up\"}") == Some(2.0)
    })
    .await;
    let old = family.pid();
    family.upgrade_well().await;
    family.until_gone(old).await;
    // No probe of the new process can have changed it: it takes three good or bad ones.
    let text = family.metrics().await;
    assert_eq!(metric(&text, down), Some(0.0), "{text}");
    assert_eq!(metric(&text, "plimsoll_upstream_backends{state=\"up\"}"), Some(2.0), "{text}");
}

#[tokio::test]
async fn pid_file_tells_who_serves_and_goes_with_the_last() {
    let a = Origin::start("a").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plimsoll.pid");
    let family = Family::start(&config(&format!("pid_file = {file:?}"), "", &[at(&a)])).await;
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(read(), format!("{}\n", family.pid()));
    let asked = tokio::process::Command::new(crate::family::PROGRAM)
        .args(["upgrade", "--pid-file"])
        .arg(&file)
        .arg("--json")
        .output();
    let output = crate::support::in_time("the answer", asked).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["upgraded"], &told["pid"]), (&true.into(), &family.first_pid().into()));
    assert!(told["serves"].as_str().unwrap().starts_with("process "), "{told}");
    family.until_gone(family.first_pid()).await;
    until("the log tells of it", async || family.pid() != family.first_pid()).await;
    assert_eq!(read(), format!("{}\n", family.pid()));
    Family::signal(family.pid(), Signal::TERM);
    until("the file is gone", async || !file.exists()).await;
}

#[tokio::test]
async fn process_told_to_stop_as_the_next_one_gets_ready_leaves_its_place_to_that_one() {
    let a = Origin::start("a").await;
    let family = Family::start(&config("", "", &[at(&a)])).await;
    let (old, address) = (family.pid(), family.addr("main"));
    Family::signal(old, Signal::USR2);
    until("the next one listens", async || family.count("listening") == 2).await;
    Family::signal(old, Signal::STOP);
    until("the next one is ready", async || family.count("ready") == 2).await;
    // It hears of both at once.
    Family::signal(old, Signal::QUIT);
    Family::signal(old, Signal::CONT);
    family.until_gone(old).await;
    until("the other has its place", async || family.pid() != old).await;
    assert_eq!(get(address, "/").await.text(), "a");
}
