//! A real browser without a window, told what to do over `WebDriver` (W3C).

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::support::{Client, free_port, until};

/// For an answer of the driver, which may have to wait for the browser's whole start.
const ANSWER: Duration = Duration::from_mins(1);

/// What names an element in answers (`WebDriver` §12).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session of headless Chromium. Driver and browser end when this is dropped.
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts it with a window of this size.
    pub(crate) async fn start(width: u32, height: u32) -> Self {
        let (profile, port) = (TempDir::new().unwrap(), free_port());
        let child = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // The browser is its child: both are one group, which is ended as one.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let driver = SocketAddr::from(([127, 0, 0, 1], port));
        until("the driver listens", async || Client::try_connect(driver).await.is_some()).await;
        let arguments = [
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({ "args": arguments });
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": options });
        let asked = json!({ "capabilities": { "alwaysMatch": wanted } });
        let begun = ask(driver, "POST", "/session", Some(&asked)).await;
        let session = begun["sessionId"].as_str().unwrap().to_owned();
        Self { driver, session, child, _profile: profile }
    }

    async fn tell(&self, path: &str, words: &Value) -> Value {
        ask(self.driver, "POST", &format!("/session/{}{path}", self.session), Some(words)).await
    }

    /// Goes to a page, and waits until it is loaded.
    pub(crate) async fn open(&self, url: &str) {
        self.tell("/url", &json!({ "url": url })).await;
    }

    /// What a piece of script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.tell("/execute/sync", &json!({ "script": script, "args": [] })).await
    }

    /// The text of the first element that a selector finds; `None`: there is none, or it is not shown.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let script = format!(
            "const it = document.querySelector({}); \
             return it && it.checkVisibility() ? it.textContent : null",
            json!(selector)
        );
        self.run(&script).await.as_str().map(str::to_owned)
    }

    /// Clicks as a person does: on what is in view and not covered.
    pub(crate) async fn click(&self, selector: &str) {
        let element = self.find(selector).await;
        self.tell(&format!("/element/{element}/click"), &json!({})).await;
    }

    /// Types into a field.
    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.tell(&format!("/element/{element}/clear"), &json!({})).await;
        self.tell(&format!("/element/{element}/value"), &json!({ "text": text })).await;
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &[&str]) {
        let strokes: Vec<_> = keys
            .iter()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.tell("/actions", &json!({ "actions": [keyboard] })).await;
    }

    /// Shows the page as a device with these colours and this width would.
    pub(crate) async fn be(&self, scheme: &str, width: u32, height: u32) {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let colours = json!({ "features": features });
        self.devtools("Emulation.setEmulatedMedia", &colours).await;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).await;
    }

    async fn devtools(&self, command: &str, parameters: &Value) {
        let words = json!({ "cmd": command, "params": parameters });
        self.tell("/goog/cdp/execute", &words).await;
    }

    /// A picture of the window as PNG, in base64.
    pub(crate) async fn picture(&self) -> String {
        let path = format!("/session/{}/screenshot", self.session);
        ask(self.driver, "GET", &path, None).await.as_str().unwrap().to_owned()
    }

    async fn find(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        self.tell("/element", &wanted).await[ELEMENT].as_str().unwrap().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(pid) =
            self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid as i32))
        {
            // It has ended already, or ends now.
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn ask(driver: SocketAddr, method: &str, path: &str, words: Option<&Value>) -> Value {
    let body = words.map_or_else(String::new, Value::to_string);
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let mut client = Client::connect(driver).await;
    client.send(head + &body).await;
    client.until_begun(ANSWER).await;
    let answer = client.read_response().await;
    let mut said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(answer.status, 200, "{path}: {said}");
    said["value"].take()
}
