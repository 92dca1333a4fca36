//! Clients that are bound to backends, by a cookie of ours or by what the request says.

use std::fmt::Write as _;

use crate::GET;
use crate::support::{Answer, Client, Lb, Origin, Response, request, until};

const COOKIE: &str = "sticky = { cookie = \"srv\", path = \"/\" }";

/// Three backends with routes `a`, `b` and `c`, and with more settings each.
struct Bed {
    origins: [Origin; 3],
    lb: Lb,
}

impl Bed {
    fn text(origins: &[Origin; 3], upstream: &str, each: [&str; 3]) -> String {
        let mut text = format!(
            "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
             [[route]]\nupstream = \"app\"\n[upstream.app]\n{upstream}\nnginx = {{ turns = true }}\n"
        );
        for ((origin, more), route) in origins.iter().zip(each).zip(["a", "b", "c"]) {
            let address = origin.address();
            writeln!(
                text,
                "[[upstream.app.backend]]\naddress = \"{address}\"\nroute = \"{route}\"\n{more}"
            )
            .unwrap();
        }
        text
    }

    async fn start(upstream: &str, each: [&str; 3]) -> Self {
        let origins =
            [Origin::start("a").await, Origin::start("b").await, Origin::start("c").await];
        let lb = Lb::start(Self::text(&origins, upstream, each)).await;
        Self { origins, lb }
    }

    async fn get(&self, cookie: &str) -> Response {
        let head = format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n");
        request(self.lb.addr("web"), head).await
    }

    /// Who answers to a cookie, so many times.
    async fn who(&self, cookie: &str, times: usize) -> String {
        let mut names = String::new();
        for _ in 0..times {
            names += &self.get(cookie).await.text();
        }
        names
    }
}

#[tokio::test]
async fn a_client_stays_with_the_backend_of_its_cookie() {
    let bed = Bed::start(COOKIE, [""; 3]).await;
    let first = bed.get("other=1").await;
    assert_eq!(first.header("set-cookie"), Some("srv=a; path=/"));
    assert_eq!(bed.who("x=1; srv=b", 3).await, "bbb");
    assert_eq!(bed.get("srv=b").await.header("set-cookie"), Some("srv=b; path=/"));
    // The bound ones have had their turns; the next are those of the others.
    assert_eq!(bed.who("srv=nobody", 2).await, "ca");
}

#[tokio::test]
async fn without_a_route_the_cookie_is_the_md5_of_the_address() {
    let origins = [Origin::start("a").await, Origin::start("b").await, Origin::start("c").await];
    let text = Bed::text(&origins, COOKIE, [""; 3]).replace("route = \"a\"\n", "");
    let bed = Bed { lb: Lb::start(text).await, origins };
    let first = bed.get("").await;
    let cookie = first.header("set-cookie").unwrap().to_owned();
    let value = cookie.strip_prefix("srv=").and_then(|rest| rest.strip_suffix("; path=/")).unwrap();
    assert!(value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()), "{cookie}");
    assert_eq!(bed.who(&format!("srv={value}"), 3).await, "aaa");
}

#[tokio::test]
async fn a_client_whose_backend_fails_is_bound_to_another_one() {
    let mut bed = Bed::start(COOKIE, [""; 3]).await;
    bed.origins[1].stop().await;
    let response = bed.get("srv=b").await;
    let new = response.text();
    assert_ne!(new, "b");
    assert_eq!(response.header("set-cookie"), Some(&*format!("srv={new}; path=/")));
    for origin in &mut bed.origins {
        origin.answer(Answer::Close);
    }
    let response = bed.get("srv=a").await;
    assert_eq!((response.status, response.header("set-cookie")), (502, None));
}

#[tokio::test]
async fn draining_serves_those_who_are_bound_and_nobody_else() {
    let bed = Bed::start(COOKIE, ["", "", ""]).await;
    bed.lb.reload(Bed::text(&bed.origins, COOKIE, ["state = \"draining\"", "", ""]));
    bed.lb.until_generation(2).await;
    assert_eq!(bed.who("srv=a", 3).await, "aaa");
    assert!(!bed.who("", 6).await.contains('a'));
    bed.lb.reload(Bed::text(&bed.origins, COOKIE, ["state = \"disabled\"", "", ""]));
    bed.lb.until_generation(3).await;
    assert!(!bed.who("srv=a", 6).await.contains('a'));
}

#[tokio::test]
async fn a_full_backend_is_passed_over() {
    let bed = Bed::start(COOKIE, ["", "max_connections = 1", ""]).await;
    bed.origins[1].hold();
    let mut waiting = Client::connect(bed.lb.addr("web")).await;
    waiting.send("GET / HTTP/1.1\r\nHost: test\r\nCookie: srv=b\r\n\r\n").await;
    bed.origins[1].until_requests(1).await;
    assert!(!bed.who("srv=b", 2).await.contains('b'));
    bed.origins[1].release();
    assert_eq!(waiting.read_response().await.text(), "b");
    assert_eq!(bed.who("srv=b", 1).await, "b");
}

#[tokio::test]
async fn the_first_route_that_is_not_empty_decides() {
    let route = "sticky = { route = [\"${cookie.r}\", \"${header.x-route}\"] }";
    let bed = Bed::start(route, ["", "", "backup = true"]).await;
    assert_eq!(bed.who("r=b", 3).await, "bbb");
    assert_eq!(bed.get("r=b").await.header("set-cookie"), None);
    let head = |cookie| {
        format!("GET / HTTP/1.1\r\nHost: test\r\nX-Route: a\r\nCookie: r={cookie}\r\n\r\n")
    };
    for (cookie, expected) in [("", "a"), ("b", "b")] {
        let response = request(bed.lb.addr("web"), head(cookie)).await;
        assert_eq!(response.text(), expected);
    }
    // A backup is nobody's as long as a primary is there.
    assert!(!bed.who("r=c", 4).await.contains('c'));
    let gone = ["state = \"disabled\"", "state = \"disabled\"", "backup = true"];
    bed.lb.reload(Bed::text(&bed.origins, route, gone));
    bed.lb.until_generation(2).await;
    assert_eq!(bed.who("r=c", 2).await, "cc");
}

const LEARN: &str =
    "sticky = { learn = [\"${upstream.cookie.sid}\"], lookup = [\"${cookie.sid}\"] }";

/// The backend opens a session of this name.
fn opens(name: &str, session: &str) -> Answer {
    let head = format!("HTTP/1.1 200 OK\r\nSet-Cookie: sid={session}; path=/\r\n");
    Answer::Raw(format!("{head}Content-Length: {}\r\n\r\n{name}", name.len()).into_bytes())
}

#[tokio::test]
async fn a_session_stays_with_the_backend_that_opened_it() {
    let bed = Bed::start(LEARN, [""; 3]).await;
    bed.origins[1].answer(opens("b", "s1"));
    assert_eq!(bed.who("", 2).await, "ab");
    bed.origins[1].answer(Answer::Ok(b"b".to_vec()));
    assert_eq!(bed.who("sid=s1", 4).await, "bbbb");
    // A session that nobody has opened binds nobody.
    assert_eq!(bed.who("sid=s2", 3).await.len(), 3);
    assert!(bed.who("sid=s2", 3).await.contains('a'));
    assert_eq!(bed.get("sid=s1").await.header("set-cookie"), None);
}

#[tokio::test]
async fn sessions_are_known_to_all_workers_and_over_reloads() {
    let origins = [Origin::start("a").await, Origin::start("b").await, Origin::start("c").await];
    let text = Bed::text(&origins, LEARN, [""; 3]).replace("workers = 1", "workers = 3");
    let bed = Bed { lb: Lb::start(&text).await, origins };
    for (origin, session) in bed.origins.iter().zip(["s0", "s1", "s2"]) {
        origin.answer(opens(session, session));
    }
    let opened = bed.get("").await.text();
    assert_eq!(bed.who(&format!("sid={opened}"), 12).await, opened.repeat(12));
    bed.lb.reload(text + "weight = 2\n");
    bed.lb.until_generation(2).await;
    assert_eq!(bed.who(&format!("sid={opened}"), 12).await, opened.repeat(12));
}

#[tokio::test]
async fn a_session_moves_with_the_backend_that_takes_it_over() {
    let mut bed = Bed::start(LEARN, [""; 3]).await;
    bed.origins[0].answer(opens("a", "s1"));
    assert_eq!(bed.who("", 1).await, "a");
    bed.origins[0].stop().await;
    let new = bed.who("sid=s1", 1).await;
    assert_ne!(new, "a");
    bed.origins[0].restart().await;
    bed.origins[0].answer(Answer::Ok(b"a".to_vec()));
    assert_eq!(bed.who("sid=s1", 6).await, new.repeat(6));
}

#[tokio::test]
async fn a_session_may_be_known_only_when_its_response_has_ended() {
    for (known, during) in [("head", true), ("end", false)] {
        let learn = LEARN.replace(" }", &format!(", known = \"{known}\" }}"));
        let bed = Bed::start(&learn, [""; 3]).await;
        let head = "HTTP/1.1 200 OK\r\nSet-Cookie: sid=s1\r\nContent-Length: 9\r\n\r\n";
        bed.origins[0].answer(Answer::Raw(head.into()));
        let mut client = Client::connect(bed.lb.addr("web")).await;
        client.send(GET).await;
        client.read_response_to_head().await;
        bed.origins[0].answer(Answer::Ok(b"a".to_vec()));
        let others = bed.who("sid=s1", 4).await;
        assert_eq!(others == "aaaa", during, "{known}: {others}");
        bed.origins[0].cut_connections().await;
        client.read_to_end().await;
        assert_eq!(bed.who("sid=s1", 4).await, "aaaa", "{known}");
    }
}

#[tokio::test]
async fn a_session_that_is_not_used_is_forgotten() {
    let learn = LEARN.replace(" }", ", timeout = \"1s\" }");
    let bed = Bed::start(&learn, [""; 3]).await;
    bed.origins[0].answer(opens("a", "s1"));
    assert_eq!(bed.who("", 1).await, "a");
    bed.origins[0].answer(Answer::Ok(b"a".to_vec()));
    assert_eq!(bed.who("sid=s1", 3).await, "aaa");
    // To ask is to use it: nobody may for longer than the time-out, which is counted in seconds.
    let begun = std::time::Instant::now();
    until("the time is over", async || begun.elapsed() > std::time::Duration::from_secs(3)).await;
    assert_ne!(bed.who("sid=s1", 3).await, "aaa");
}

#[tokio::test]
async fn a_signed_cookie_is_understood_by_whoever_has_the_secret_and_by_nobody_else() {
    let secret = |text: &str| format!("sticky = {{ cookie = \"srv\", secret = \"{text}\" }}");
    let ours = secret("of at least 16 bytes");
    let bed = Bed::start(&ours, [""; 3]).await;
    let cookie = bed.get("x=1").await.header("set-cookie").unwrap().to_owned();
    let name = bed.who(&cookie, 1).await;
    assert!(cookie.starts_with("srv=") && cookie.len() == 4 + 32, "{cookie}");
    assert_eq!(bed.who(&cookie, 3).await, name.repeat(3));
    // Without the secret nobody is bound: not by the route, and not by another secret.
    let other = Lb::start(Bed::text(&bed.origins, &secret("another of 16 bytes"), [""; 3])).await;
    let twin = Lb::start(Bed::text(&bed.origins, &ours, [""; 3])).await;
    let (mut by_other, mut by_twin, mut by_route) = (String::new(), String::new(), String::new());
    let head = |cookie: &str| format!("GET / HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n");
    for _ in 0..3 {
        by_other += &request(other.addr("web"), head(&cookie)).await.text();
        by_twin += &request(twin.addr("web"), head(&cookie)).await.text();
        by_route += &request(twin.addr("web"), head("srv=b")).await.text();
    }
    assert_eq!(by_twin, name.repeat(3));
    assert_ne!(by_other, name.repeat(3));
    assert_ne!(by_route, "bbb");
}
