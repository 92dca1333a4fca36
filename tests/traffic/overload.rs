//! Limits that adapt themselves, and requests that are refused because others fail.

use crate::support::{Answer, Client, Lb, Load, Origin, until};
use crate::{GET, Setup, ask, logged};

fn shed(reason: &str) -> String {
    format!("plimsoll_upstream_shed_total{{upstream=\"app\",reason=\"{reason}\"}}")
}

const LIMIT: &str = "plimsoll_upstream_concurrency_limit{upstream=\"app\"}";

async fn one(upstream: &str) -> (Origin, Lb) {
    let origin = Origin::start("a").await;
    let lb = Setup { upstream, ..Setup::default() }.before(&[&origin]).await;
    (origin, lb)
}

async fn answer(lb: &Lb, target: &str) -> crate::support::Response {
    let mut client = Client::connect(lb.addr("web")).await;
    client.send(ask(target)).await;
    client.read_response().await
}

#[tokio::test]
async fn what_is_more_than_the_limit_is_told_to_come_again() {
    let (origin, lb) = one("adaptive = { initial = 1, min = 1, max = 1 }").await;
    lb.until_metric(LIMIT, 1.0).await;
    origin.hold();
    let mut first = Client::connect(lb.addr("web")).await;
    first.send(GET).await;
    origin.until_requests(1).await;
    let response = answer(&lb, "/more").await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert_eq!(logged(&lb, "/more").await["failure"], "shed");
    lb.until_metric(&shed("concurrency"), 1.0).await;
    origin.release();
    assert_eq!(first.read_response().await.status, 200);
    assert_eq!(answer(&lb, "/next").await.status, 200);
}

#[tokio::test]
async fn the_limit_rises_where_answers_stay_fast_and_who_waits_in_line_is_served() {
    let settings = "adaptive = { initial = 2, min = 1, max = 50 }\nqueue = { timeout = \"20s\" }";
    let (_origin, lb) = one(settings).await;
    let load = Load::start(lb.addr("web"), 12);
    until("the limit has risen", async || lb.metric(LIMIT).await.is_some_and(|now| now >= 4.0))
        .await;
    load.expect_all_good().await;
    lb.until_metric(&shed("concurrency"), 0.0).await;
}

#[tokio::test]
async fn when_most_requests_fail_a_part_of_them_is_refused_until_they_succeed() {
    let settings = "passive = { max_fails = 0, statuses = [500] }\n\
                    admission = { window = \"1s\", min_requests = 5 }";
    let origin = Origin::start("a").await;
    let lb = start(&origin, settings).await;
    origin.answer(Answer::Status(500));
    let mut refused = None;
    until("a request is refused", async || {
        let response = answer(&lb, "/").await;
        refused = (response.status == 503).then_some(response);
        refused.is_some()
    })
    .await;
    assert_eq!(refused.unwrap().header("retry-after"), Some("1"));
    assert!(lb.metric(&shed("admission")).await.unwrap() >= 1.0);
    lb.until_log("a part of the requests is refused").await;
    origin.answer(Answer::Status(200));
    until("nothing is refused any more", async || {
        answer(&lb, "/").await;
        lb.metric("plimsoll_upstream_refused_ratio{upstream=\"app\"}").await == Some(0.0)
    })
    .await;
    lb.until_log("requests are not refused any more").await;
    let events = lb.api("/api/v1/ha/events?kind=admission.").await;
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&"admission.refusing".into()), "{kinds:?}");
    assert!(kinds.contains(&&"admission.open".into()), "{kinds:?}");
}

async fn start(origin: &Origin, upstream: &str) -> Lb {
    Lb::start(format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"off\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         [upstream.app]\n{upstream}\n[[upstream.app.backend]]\naddress = \"{}\"\n",
        origin.address()
    ))
    .await
}
