//! Whose trace is gone on with, and which traces are sampled.

use crate::collector::{Collector, Reply};
use crate::support::{Lb, Origin, until};
use crate::{SPAN, Setup, TRACE, ask, parts, seen};

fn named(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{SPAN}-{flags}\r\ntracestate: vendor=1\r\n")
}

#[tokio::test]
async fn without_tracing_context_passes_as_it_came() {
    let origin = Origin::start("a").await;
    let lb = Lb::start(Setup::default().config(None, &[&origin.address()])).await;
    ask(&lb, "/", "TraceParent: what ever\r\nTracestate: =\r\ntraceparent: twice\r\n").await;
    let head = String::from_utf8(origin.last().head).unwrap();
    assert!(
        head.contains("TraceParent: what ever\r\nTracestate: =\r\ntraceparent: twice\r\n"),
        "{head}"
    );
    ask(&lb, "/", "").await;
    assert_eq!(origin.last().header("traceparent"), None);
    let line = lb.until_out("trace_id").await;
    assert!(line.contains("\"trace_id\":null"), "{line}");
    assert_eq!(lb.metric("plimsoll_spans_exported_total").await, None);
}

#[tokio::test]
async fn the_word_of_who_is_believed_holds_on_sampling_both_ways() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    // Nothing would be sampled, and everything would.
    for (sample, flags) in [("0.0", "01"), ("1.0", "00")] {
        for (tracing, listener) in
            [("parent = \"any\"", ""), ("", "trusted_proxies = [\"127.0.0.0/8\"]")]
        {
            let tracing = &format!("{tracing}\nsample = {sample}");
            let setup = Setup { tracing, listener, ..Setup::default() };
            let lb = setup.start(&collector, &[&origin]).await;
            let before = collector.spans().len();
            ask(&lb, "/", &named(flags)).await;
            let (trace, span, told) = seen(&origin);
            assert_eq!((&*trace, &*told), (TRACE, flags));
            assert_ne!(span, SPAN, "the backend's caller is us");
            assert_eq!(origin.last().header("tracestate").as_deref(), Some("vendor=1"));
            // What no caller has decided on goes by the ratio; it comes behind on the same way.
            ask(&lb, "/", "").await;
            let spans = collector.until_spans(before + 2).await.split_off(before);
            let is_named = spans.iter().all(|span| span.trace == TRACE);
            assert_eq!(is_named, flags == "01", "{spans:#?}");
        }
    }
}

#[tokio::test]
async fn who_is_not_believed_begins_a_trace_that_links_to_what_it_named() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let trusted = "trusted_proxies = [\"127.0.0.0/8\"]";
    let mut count = 0;
    for (tracing, listener) in [("", ""), ("parent = \"none\"", trusted)] {
        let lb =
            Setup { tracing, listener, ..Setup::default() }.start(&collector, &[&origin]).await;
        for flags in ["00", "01"] {
            ask(&lb, "/", &named(flags)).await;
            let (trace, _, told) = seen(&origin);
            assert_ne!(trace, TRACE);
            assert_eq!(told, "01");
            assert_eq!(origin.last().header("tracestate"), None);
            count += 2;
            let spans = collector.until_spans(count).await.split_off(count - 2);
            let server = spans.iter().find(|span| span.is_server).unwrap();
            assert_eq!((&*server.trace, &*server.parent), (&*trace, ""));
            let [link] = &server.raw.links[..] else { panic!("{server:#?}") };
            let trace = u128::from_str_radix(TRACE, 16).unwrap();
            assert_eq!(link.trace_id, trace.to_be_bytes());
            assert_eq!(link.span_id, u64::from_str_radix(SPAN, 16).unwrap().to_be_bytes());
        }
    }
}

#[tokio::test]
async fn what_is_no_context_begins_a_trace() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let setup = Setup { tracing: "parent = \"any\"", ..Setup::default() };
    let lb = setup.start(&collector, &[&origin]).await;
    let zeros = "0".repeat(32);
    let bad = [
        format!("traceparent: 00-{}-{SPAN}-01\r\n", TRACE.to_uppercase()),
        format!("traceparent: 00-{zeros}-{SPAN}-01\r\n"),
        format!("traceparent: 00-{TRACE}-{}-01\r\n", &zeros[..16]),
        format!("traceparent: ff-{TRACE}-{SPAN}-01\r\n"),
        format!("traceparent: 00-{TRACE}-{SPAN}-01-more\r\n"),
        format!("traceparent: {TRACE}\r\n"),
        "traceparent: \r\n".to_owned(),
        // Two are no one's word.
        named("01") + &named("01"),
    ];
    for (place, fields) in bad.iter().enumerate() {
        ask(&lb, "/", &format!("{fields}tracestate: vendor=1\r\n")).await;
        let (trace, ..) = seen(&origin);
        assert_ne!(trace, TRACE, "{fields}");
        assert_eq!(origin.last().header("tracestate"), None, "{fields}");
        let spans = collector.until_spans(2 * (place + 1)).await;
        assert!(spans.iter().all(|span| span.trace != TRACE && span.raw.links.is_empty()));
    }
    // A version to come, of which ours is a part.
    ask(&lb, "/", &format!("traceparent: 01-{TRACE}-{SPAN}-01-more\r\n")).await;
    assert_eq!(seen(&origin).0, TRACE);
}

/// The id decides, so that every program with that ratio decides alike.
#[tokio::test]
async fn a_part_is_sampled_by_the_ids_of_traces() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let route = "[[route]]\nname = \"never\"\nupstream = \"app\"\npath = \"/never\"\ntrace_sample = 0.0\n\
                 [[route]]\nname = \"always\"\nupstream = \"app\"\npath = \"/always\"\ntrace_sample = 1.0";
    let setup = Setup { tracing: "sample = 0.5", route, ..Setup::default() };
    let lb = setup.start(&collector, &[&origin]).await;
    let mut expected = Vec::new();
    for n in 0..60 {
        let (path, part) = [("/half", 0.5), ("/never", 0.0), ("/always", 1.0)][n % 3];
        ask(&lb, path, "").await;
        let (trace, _, flags) = seen(&origin);
        let id = u128::from_str_radix(&trace, 16).unwrap() as u64 >> 1;
        let is_sampled = (id as f64) < part * 2_f64.powi(63);
        assert_eq!(flags, if is_sampled { "01" } else { "00" }, "{trace} {path}");
        if is_sampled {
            expected.push(trace);
        }
    }
    let mut got: Vec<_> = collector.until_spans(2 * expected.len()).await;
    got.retain(|span| span.is_server);
    let mut got: Vec<_> = got.into_iter().map(|span| span.trace).collect();
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_reload_turns_it_on_and_off() {
    let collector = Collector::start(Reply::Take).await;
    let origin = Origin::start("a").await;
    let setup = Setup::default();
    let address = origin.address();
    let (off, on) = (setup.config(None, &[&address]), setup.config(Some(&collector), &[&address]));
    let lb = Lb::start(&off).await;
    let generation = lb.generation().await;
    lb.reload(&on);
    lb.until_generation(generation + 1).await;
    until("requests are traced", async || {
        ask(&lb, "/", "").await;
        origin.last().header("traceparent").is_some()
    })
    .await;
    let (trace, ..) = parts(&origin.last().header("traceparent").unwrap());
    lb.reload(&off);
    until("requests are not traced", async || {
        ask(&lb, "/", "").await;
        origin.last().header("traceparent").is_none()
    })
    .await;
    // What was on its way arrives all the same.
    until("the span is there", async || collector.spans().iter().any(|one| one.trace == trace))
        .await;
}
