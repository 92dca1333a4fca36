//! The dashboard in a real browser: what it shows, and what its buttons do.

#![allow(clippy::unwrap_used, reason = "in a test, what goes wrong shall end the test")]

#[path = "../support/mod.rs"]
mod support;

mod browser;

use serde_json::Value;

use browser::Browser;
use support::{Answer, Lb, Origin, at, at_with, config, get, request, until};

/// Somebody who may change what backends do: whoever knows `secret`.
const TOKEN: &str = "
[admin.tokens.ops]
role = \"operator\"
sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"
";

/// Waits until the text of an element holds these words.
async fn until_it_says(browser: &Browser, selector: &str, words: &str) {
    until(&format!("{selector} says `{words}`"), async || {
        browser.text(selector).await.is_some_and(|text| text.contains(words))
    })
    .await;
}

/// The cell of a backend's row, by number.
fn cell(backend: &Origin, number: usize) -> String {
    format!("tr[data-key=\"{}\"] td:nth-child({number})", backend.address())
}

fn button(backend: &Origin, number: usize) -> String {
    format!("tr[data-key=\"{}\"] button:nth-child({number})", backend.address())
}

/// What the API says of a backend.
async fn backend(lb: &Lb, origin: &Origin) -> Value {
    let list = get(lb.admin_addr(), "/api/v1/ha/load-balancer/backends").await;
    let list: Value = serde_json::from_slice(&list.body).unwrap();
    let name = origin.address();
    let mut backends = list["backends"].as_array().unwrap().iter();
    backends.find(|one| one["backend"] == name.as_str()).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_what_goes_on_and_why() {
    let good = Origin::start("good").await;
    let sick = Origin::start("sick").await;
    sick.answer(Answer::Status(503));
    let lb = Lb::start(config(
        "",
        "health = { path = \"/\", interval = \"100ms\", rise = 1, fall = 1 }",
        &[at(&good), at(&sick)],
    ))
    .await;
    let browser = Browser::start(1200, 900).await;
    browser.open(&format!("http://{}/dashboard", lb.admin_addr())).await;

    until_it_says(&browser, "#state", "degraded").await;
    until_it_says(&browser, "#figures", "1 of 2").await;
    until_it_says(&browser, "#listeners", "main").await;
    until_it_says(&browser, "#listeners", "→ api").await;
    until_it_says(&browser, &cell(&good, 2), "up").await;
    until_it_says(&browser, &cell(&sick, 2), "down").await;
    until_it_says(&browser, &cell(&sick, 7), "503").await;
    until_it_says(&browser, "#events", "backend.down").await;

    let traffic = tokio::spawn({
        let main = lb.addr("main");
        async move {
            loop {
                get(main, "/").await;
            }
        }
    });
    until("the backend's rate is shown", async || {
        let rate = browser.text(&cell(&good, 3)).await;
        rate.is_some_and(|rate| rate.parse().is_ok_and(|rate: f64| rate > 0.0))
    })
    .await;
    until("the chart has a band", async || {
        browser.run("return document.querySelectorAll('#traffic polygon').length").await == 3
    })
    .await;
    traffic.abort();

    browser.write("#filter", "status 503").await;
    until("only the sick one is left", async || {
        browser.run("return document.querySelectorAll('#cards tbody tr').length").await == 1
    })
    .await;
    assert!(browser.text(&cell(&sick, 1)).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_which_configurations_were_in_force() {
    let origin = Origin::start("good").await;
    let text = config("", "", &[at(&origin)]);
    let lb = Lb::start(text.replace("[admin]\n", "[admin]\nanonymous = \"admin\"\n")).await;
    let browser = Browser::start(1200, 900).await;
    let admin = lb.admin_addr();
    browser.open(&format!("http://{admin}/dashboard")).await;
    until_it_says(&browser, "#revisions", "revision 1 by start").await;
    until_it_says(&browser, "#revisions li:first-child .pill", "in force").await;

    let next = std::fs::read_to_string(lb.config_path()).unwrap() + "# more\n";
    let head = format!(
        "POST /api/v1/ha/config/update?confirm_seconds=3600&reason=more%20to%20read HTTP/1.1\r\n\
         Host: {admin}\r\nIf-Match: *\r\nContent-Length: {}\r\n\r\n{next}",
        next.len()
    );
    let told = request(admin, head).await;
    assert_eq!(told.status, 200, "{}", told.text());
    until_it_says(&browser, "#revisions", "revision 2 by anonymous: more to read").await;
    until_it_says(&browser, "#revisions li:first-child .pill", "on probation").await;
    until_it_says(&browser, "#about", "revision 2,").await;
    let older =
        "return getComputedStyle(document.querySelector('#revisions li:last-child .pill')).display";
    assert_eq!(browser.run(older).await, "none", "only the one in force is marked");
    until_it_says(&browser, "#probation", "Revision 2 goes back to 1 unless it is confirmed").await;
    until_it_says(&browser, "#events", "config.applied: revision 2: more to read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_for_elsewhere_and_nothing_is_blocked() {
    let origin = Origin::start("good").await;
    let lb = Lb::start(config("", "", &[at(&origin)])).await;
    let browser = Browser::start(1200, 900).await;
    browser.open(&format!("http://{}/dashboard", lb.admin_addr())).await;
    until_it_says(&browser, "#state", "healthy").await;

    let asked =
        browser.run("return performance.getEntriesByType('resource').map((one) => one.name)").await;
    let own = format!("http://{}/", lb.admin_addr());
    for one in asked.as_array().unwrap() {
        let one = one.as_str().unwrap();
        assert!(one.starts_with(&own) || one.starts_with("data:"), "{one}");
    }
    let page = get(lb.admin_addr(), "/dashboard").await;
    assert_eq!(page.status, 200);
    let policy = page.headers.one("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_is_drained_and_weighed_by_hand_after_a_question() {
    let first = Origin::start("first").await;
    let second = Origin::start("second").await;
    let lb = Lb::start(config("", TOKEN, &[at(&first), at_with(&second, "weight = 3")])).await;
    let browser = Browser::start(1200, 900).await;
    browser.open(&format!("http://{}/dashboard", lb.admin_addr())).await;
    until_it_says(&browser, &cell(&first, 2), "in use").await;

    // What is not confirmed is not done.
    browser.click(&button(&first, 1)).await;
    until_it_says(&browser, "#change-title", "Drain").await;
    browser.click("#change button[value=no]").await;
    assert_eq!(backend(&lb, &first).await["admin_state"], "enabled");

    browser.click(&button(&first, 1)).await;
    until_it_says(&browser, "#change-title", &first.address()).await;
    browser.write("#change input[name=reason]", "a new disk").await;
    browser.click("#change button[value=yes]").await;
    // Anybody on this machine may look; who changes something shows a token.
    until_it_says(&browser, "#change-trouble", "this needs operator").await;
    browser.click("#change button[value=no]").await;
    browser.click("#sign-in").await;
    browser.write("#token input", "secret").await;
    browser.click("#token button[value=yes]").await;
    browser.click(&button(&first, 1)).await;
    browser.write("#change input[name=reason]", "a new disk").await;
    browser.click("#change button[value=yes]").await;
    until_it_says(&browser, &cell(&first, 2), "draining").await;
    until_it_says(&browser, "#events", "a new disk").await;
    let said = format!("api/{}: draining (ops: a new disk)", first.address());
    until_it_says(&browser, "#overrides", &said).await;
    assert_eq!(backend(&lb, &first).await["admin_state"], "draining");

    // By keyboard alone: to the button, into the dialogue, and out of it by Enter.
    browser.run(&format!("document.querySelector('{}').focus()", button(&first, 1))).await;
    browser.press(&["\u{E007}"]).await;
    until_it_says(&browser, "#change-title", "Enable").await;
    browser.press(&["\u{E007}"]).await;
    until_it_says(&browser, &cell(&first, 2), "in use").await;
    let focused = browser.run("return document.activeElement.textContent").await;
    assert_eq!(focused, "Drain", "the focus is where it was");

    browser.click(&button(&second, 2)).await;
    until_it_says(&browser, "#change-title", "Weight").await;
    browser.write("#change input[name=weight]", "7").await;
    browser.click("#change button[value=yes]").await;
    until_it_says(&browser, &cell(&second, 6), "7").await;
    assert_eq!(backend(&lb, &second).await["weight"], 7);

    // Who is removed has no row any more: here it is told, until it is taken back.
    let id = format!("api%2F{}", second.address());
    let delete = async |path: String| {
        let head = format!(
            "DELETE /api/v1/ha/{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer secret\r\n\r\n",
            lb.admin_addr()
        );
        let told = request(lb.admin_addr(), head).await;
        assert_eq!(told.status, 200, "{}", told.text());
    };
    delete(format!("load-balancer/backends/{id}")).await;
    let removed = format!("api/{}: removed (ops", second.address());
    until_it_says(&browser, "#overrides", &removed).await;
    delete(format!("overrides/{id}")).await;
    delete(format!("overrides/api%2F{}", first.address())).await;
    until("nothing is said by hand any more", async || {
        browser.run("return document.querySelector('#by-hand').hidden").await == true
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_phone_and_both_schemes_can_be_read() {
    let origin = Origin::start("good").await;
    let lb = Lb::start(config("", "", &[at(&origin)])).await;
    let browser = Browser::start(1200, 900).await;
    browser.open(&format!("http://{}/dashboard", lb.admin_addr())).await;
    for scheme in ["light", "dark"] {
        for (name, width, height) in [("phone", 360, 740), ("desk", 1200, 900)] {
            browser.be(scheme, width, height).await;
            until_it_says(&browser, &cell(&origin, 2), "in use").await;
            let wide = browser.run("return document.documentElement.scrollWidth").await;
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{name} scrolls sideways: {wide}");
            let faint = browser.run(include_str!("contrast.js")).await;
            assert_eq!(faint, Value::Array(Vec::new()), "{scheme}, {name}: too faint");
            // For people to look at, where they ask for it.
            if let Ok(folder) = std::env::var("DASHBOARD_PICTURES") {
                let picture = browser.picture().await;
                std::fs::write(format!("{folder}/{scheme}-{name}.base64"), picture).unwrap();
            }
        }
    }
    let unnamed = browser
        .run(
            "return [...document.querySelectorAll('button, input, select')]\
             .filter((one) => !one.hidden && !one.textContent.trim() && !one.labels?.length)\
             .map((one) => one.outerHTML)",
        )
        .await;
    assert_eq!(unnamed, Value::Array(Vec::new()), "without a name for those who cannot see");
}
