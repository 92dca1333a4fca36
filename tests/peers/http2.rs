//! Python's HTTP/2, which is strict about what it gets.

use crate::support::{Answer, Lb, Origin};
use crate::{Files, Peer, before, run_both_ways};

async fn site(origin: &Origin) -> (Files, Lb) {
    let files = Files::new();
    let rest = format!(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [[upstream.app.backend]]\naddress = \"{}\"\n",
        origin.address()
    );
    let lb = before(&files, &rest).await;
    (files, lb)
}

#[tokio::test]
async fn streams_share_a_connection() {
    let origin = Origin::start("a").await;
    origin.answer(Answer::Ok(vec![b'x'; 1000]));
    let (files, lb) = site(&origin).await;
    for what in ["much", "windows", "given_up"] {
        run_both_ways("h2_client.py", &[what], &lb, &files).await;
    }
    let crumbs = origin.seen().into_iter().find(|seen| seen.header("x-crumb").is_some()).unwrap();
    assert_eq!(crumbs.header("cookie").as_deref(), Some("a=1; b=2"));
}

#[tokio::test]
async fn bodies_arrive_whole() {
    let origin = Origin::start("a").await;
    let (files, lb) = site(&origin).await;
    run_both_ways("h2_client.py", &["upload"], &lb, &files).await;
    let seen = origin.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen[..2].iter().all(|one| one.body.len() == 700_000 && one.body == seen[0].body));
    assert!(seen[2..].iter().all(|one| one.body.len() == 700_000 && one.body == seen[2].body));
}

#[tokio::test]
async fn early_hints_and_trailers_are_frames_of_their_own() {
    let origin = Origin::start("a").await;
    let (files, lb) = site(&origin).await;
    origin.answer(Answer::Chunked(vec![b"abc".to_vec(), b"def".to_vec()], vec![("x-sum", "7")]));
    run_both_ways("h2_client.py", &["trailers"], &lb, &files).await;
    origin.answer(Answer::EarlyHints);
    run_both_ways("h2_client.py", &["hints"], &lb, &files).await;
}

#[tokio::test]
async fn a_websocket_is_a_stream_among_others() {
    let files = Files::new();
    let server = Peer::start("ws_server.py", &[]).await;
    let lb = before(&files, &crate::websocket::routes(&server)).await;
    run_both_ways("h2_client.py", &["websocket"], &lb, &files).await;
}
