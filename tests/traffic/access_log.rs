//! One line per request, as nginx writes it or as JSON.

use crate::support::{Answer, Client, Lb, Origin, request};
use crate::{GET, plain};

async fn with_log(origin: &Origin, log: &str) -> Lb {
    let config = format!(
        "workers = 1\n[admin]\naddress = \"127.0.0.1:0\"\n[access_log]\nformat = \"{log}\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         [[upstream.app.backend]]\naddress = \"{}\"",
        origin.address()
    );
    Lb::start(config).await
}

/// The line without its time.
fn timeless(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    format!("{before}[]{after}")
}

#[tokio::test]
async fn combined_lines_are_those_of_nginx() {
    let origin = Origin::start("name").await;
    let lb = with_log(&origin, "combined").await;
    for (head, line) in [
        (
            "GET /one?x=\"y\" HTTP/1.1\r\nHost: test\r\nUser-Agent: a \"b\"\r\nReferer: http://r/\r\n\
             Authorization: Basic bWU6c2VjcmV0\r\n\r\n",
            "127.0.0.1 - me [] \"GET /one?x=\\x22y\\x22 HTTP/1.1\" 200 4 \"http://r/\" \"a \\x22b\\x22\"",
        ),
        ("HEAD /two HTTP/1.0\r\n\r\n", "127.0.0.1 - - [] \"HEAD /two HTTP/1.0\" 200 0 \"-\" \"-\""),
        ("OH three\r\nHost: x\r\n\r\n", "127.0.0.1 - - [] \"OH three\" 400 16 \"-\" \"-\""),
        (
            "GET /four HTTP/1.1\r\nHost: a b\r\n\r\n",
            "127.0.0.1 - - [] \"GET /four HTTP/1.1\" 400 16 \"-\" \"-\"",
        ),
    ] {
        let mut client = Client::connect(lb.addr("web")).await;
        client.send(head).await;
        client.read_response_to_head().await;
        let word = head.split([' ', '?', '\r']).nth(1).unwrap();
        assert_eq!(timeless(&lb.until_out(word).await), line);
    }
}

#[tokio::test]
async fn json_lines_tell_all_of_a_request() {
    let origin = Origin::start("name").await;
    let lb = plain(&origin).await;
    let head = "POST /json?a=b HTTP/1.1\r\nHost: test\r\nX-Request-Id: my-id\r\n\
                Content-Length: 3\r\n\r\nabc";
    assert_eq!(request(lb.addr("web"), head).await.status, 200);
    let line = crate::logged(&lb, "my-id").await;
    for (key, value) in [
        ("client", "127.0.0.1"),
        ("method", "POST"),
        ("target", "/json?a=b"),
        ("version", "HTTP/1.1"),
        ("host", "test"),
        ("request_id", "my-id"),
        ("listener", "web"),
        ("route", "all"),
        ("upstream", "app"),
    ] {
        assert_eq!(line[key], value, "{line}");
    }
    for (key, value) in [("status", 200), ("request_bytes", 3), ("response_bytes", 4)] {
        assert_eq!(line[key], value, "{line}");
    }
    assert!(line["failure"].is_null());
    let attempt = &line["attempts"][0];
    assert_eq!(attempt["backend"], origin.address());
    assert_eq!((attempt["reused"].as_bool(), attempt["status"].as_u64()), (Some(false), Some(200)));
    assert!(attempt["connect_seconds"].is_number() && attempt["first_byte_seconds"].is_number());
}

#[tokio::test]
async fn a_log_that_is_off_stays_empty() {
    let origin = Origin::start("name").await;
    let mut lb = with_log(&origin, "off").await;
    for _ in 0..10 {
        assert_eq!(request(lb.addr("web"), GET).await.status, 200);
    }
    lb.signal(rustix::process::Signal::TERM);
    assert!(lb.exit().await.success());
    assert_eq!(lb.out(), Vec::<String>::new());
}

#[tokio::test]
async fn a_line_tells_the_trailer_fields_of_the_backend() {
    let origin = Origin::start("name").await;
    let config = format!(
        "workers = 1\n[access_log]\nformat = \"template\"\n\
         template = \"${{arg.n}} <${{upstream.trailer.x-sum}}>\"\n\
         [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n\
         response_trailers = {{ pass = false }}\n[[upstream.app.backend]]\naddress = \"{}\"",
        origin.address()
    );
    let lb = Lb::start(config).await;
    origin.answer(Answer::Chunked(vec![b"body".to_vec()], vec![("X-Sum", "1"), ("x-sum", "2")]));
    for version in ["1.1", "1.0"] {
        let head = format!("GET /?n=with-{version} HTTP/{version}\r\nHost: test\r\n\r\n");
        assert_eq!(request(lb.addr("web"), head).await.status, 200);
        let line = lb.until_out(&format!("with-{version}")).await;
        assert_eq!(line, format!("with-{version} <1, 2>"));
    }
    origin.answer(Answer::Ok(b"body".to_vec()));
    assert_eq!(request(lb.addr("web"), crate::ask("/?n=none")).await.status, 200);
    assert_eq!(lb.until_out("none").await, "none <->");
}
