//! A shop's web site on loopback, vendors' scripts that only write down what they are told, and a
//! real browser that looks at it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::patience::eventually;

/// The nonce of every page.
pub const NONCE: &str = "c29tZXRoaW5nIHJhbmRvbQ==";

/// What stands on every page beside the snippet.
pub const TEXT: &str = "Thank you for your order.";

/// How long a browser may take, which starts slowly on a busy machine.
const PATIENCE: u64 = 90;

/// Takes over each vendor's queue as the vendor's own script does, and writes down the calls.
const VENDOR: &str = r#"
window.recorded = window.recorded || [];
(function () {
    const list = a => Array.prototype.slice.call(a);
    const put = name => function () { recorded.push([name].concat(list(arguments))); };
    const drain = (queue, take) => { list(queue).forEach(a => take.apply(null, list(a))); };
    if (window.fbq && !fbq.callMethod) { fbq.callMethod = put('fbq'); drain(fbq.queue, fbq.callMethod); }
    if (window.snaptr && !snaptr.handleRequest) { snaptr.handleRequest = put('snaptr'); drain(snaptr.queue, snaptr.handleRequest); }
    if (window.rdt && !rdt.sendEvent) { rdt.sendEvent = put('rdt'); drain(rdt.callQueue, rdt.sendEvent); }
    if (window.pintrk) { drain(pintrk.queue, put('pintrk')); }
    if (window.lintrk) { drain(lintrk.q, put('lintrk')); recorded.push(['partner', _linkedin_data_partner_ids]); }
    if (window.dataLayer) { drain(dataLayer, put('gtag')); }
    if (window.ttq) {
        const calls = (queue, prefix) => list(queue).forEach(a => recorded.push([prefix + a[0]].concat(list(a).slice(1))));
        calls(ttq, 'ttq.');
        Object.keys(ttq._i).forEach(id => calls(ttq._i[id], 'ttq.instance(' + id + ').'));
    }
    recorded.push(['loaded', document.currentScript.src]);
})();
"#;

/// Before the snippet: what a hostile value would call, and errors.
const BEFORE: &str = "window.called=[];window.errors=[];\
    ['alert','prompt','confirm'].forEach(function(n){window[n]=function(x){called.push([n,String(x)])}});\
    window.addEventListener('error',function(e){errors.push(e.message||'load')},true);\
    document.addEventListener('securitypolicyviolation',function(e){errors.push(e.violatedDirective)});";

/// After everything has loaded: what the page has become.
const AFTER: &str = "window.addEventListener('load',function(){fetch('/done/'+location.pathname.split('/').pop(),\
    {method:'POST',body:JSON.stringify({calls:window.recorded||[],called:called,errors:errors,\
    scripts:document.scripts.length,elements:document.body.children.length,\
    text:document.getElementById('text').innerText})})});";

#[derive(Default)]
struct Shared {
    pages: BTreeMap<String, (String, bool)>,
    done: BTreeMap<String, Value>,
    beacons: Vec<String>,
    strangers: Vec<String>,
}

type Store = Arc<Mutex<Shared>>;

/// The web site.
pub struct Site {
    store: Store,
    address: String,
    server: JoinHandle<()>,
}

/// A running browser. Dropping it ends it.
pub struct Browser {
    child: Child,
    folder: PathBuf,
}

impl Site {
    /// Starts one.
    pub async fn start() -> Self {
        let store = Store::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new()
            .route("/", get(index))
            .route("/page/{name}", get(page))
            .route(
                "/vendor/{name}",
                get(async || ([(header::CONTENT_TYPE, "text/javascript")], VENDOR)),
            )
            .route("/done/{name}", post(done))
            .route("/beacon", post(beacon))
            .fallback(stranger)
            .with_state(Arc::clone(&store));
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the site is served");
        });
        Self { store, address, server }
    }

    /// Address of the script that stands in for a vendor's.
    pub fn vendor(&self, name: &str) -> String {
        format!("{}/vendor/{name}.js", self.address)
    }

    /// Puts a snippet on a page of this name. A strict page allows only scripts with the nonce.
    pub fn put(&self, name: &str, snippet: &str, strict: bool) {
        self.lock().pages.insert(name.to_owned(), (snippet.to_owned(), strict));
    }

    /// Lets a browser look at all pages; what each has become, by name.
    pub async fn seen(&self) -> BTreeMap<String, Value> {
        let browser = self.open();
        let names: Vec<String> = self.lock().pages.keys().cloned().collect();
        let seen = eventually("the browser has shown every page", PATIENCE, async || {
            let done = self.lock().done.clone();
            if names.iter().all(|name| done.contains_key(name)) {
                Ok(done)
            } else {
                Err(format!("{} of {}", done.len(), names.len()))
            }
        })
        .await;
        drop(browser);
        seen
    }

    /// Opens a browser on all pages.
    pub fn open(&self) -> Browser {
        Browser::start(&self.address)
    }

    /// Waits for what pages have posted to `/beacon`.
    pub async fn beacons(&self, wanted: usize) -> Vec<String> {
        eventually("beacons arrive", PATIENCE, async || {
            let beacons = self.lock().beacons.clone();
            if beacons.len() >= wanted { Ok(beacons) } else { Err(beacons.len().to_string()) }
        })
        .await
    }

    /// Addresses that were asked for and that no page should ask for.
    pub fn strangers(&self) -> Vec<String> {
        self.lock().strangers.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.store)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(store: &Store) -> MutexGuard<'_, Shared> {
    store.lock().expect("nobody panics with the lock")
}

async fn index(State(store): State<Store>) -> Html<String> {
    let store = lock(&store);
    let frames = store.pages.keys().map(|name| format!("<iframe src=\"/page/{name}\"></iframe>"));
    Html(format!("<!doctype html><title>pages</title>{}", frames.collect::<String>()))
}

async fn page(State(store): State<Store>, Path(name): Path<String>) -> Response {
    let Some((snippet, strict)) = lock(&store).pages.get(&name).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let policy = format!("default-src 'none'; script-src 'nonce-{NONCE}'; connect-src 'self'");
    let policy = if strict { policy } else { "default-src * 'unsafe-inline'".to_owned() };
    // No charset: a snippet must not depend on it.
    let headers =
        [(header::CONTENT_TYPE, "text/html".to_owned()), (header::CONTENT_SECURITY_POLICY, policy)];
    let body = format!(
        "<!doctype html><html><head><title>page</title><script nonce=\"{NONCE}\">{BEFORE}</script></head>\
        <body><p id=\"text\">{TEXT}</p>\n{snippet}\n<script nonce=\"{NONCE}\">{AFTER}</script></body></html>"
    );
    (headers, body).into_response()
}

async fn done(State(store): State<Store>, Path(name): Path<String>, body: String) {
    let seen = serde_json::from_str(&body).expect("JSON of the page");
    lock(&store).done.insert(name, seen);
}

async fn beacon(State(store): State<Store>, body: String) {
    lock(&store).beacons.push(body);
}

async fn stranger(State(store): State<Store>, uri: Uri) -> StatusCode {
    // The browser's own idea.
    if uri.path() != "/favicon.ico" {
        lock(&store).strangers.push(uri.to_string());
    }
    StatusCode::NOT_FOUND
}

impl Browser {
    fn start(address: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("capi-browser-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the browser");
        let mut profile = std::ffi::OsString::from("--user-data-dir=");
        profile.push(&folder);
        let mut command = Command::new(program());
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
            // It stays until it is ended, and no name is looked up: nothing leaves this machine.
            .arg("--remote-debugging-port=0")
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(profile)
            .arg(address)
            .env("HOME", &folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        Self { child: command.spawn().expect("a browser starts"), folder }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // With its helpers, which are in its process group.
        if let Some(pid) = self.child.id() {
            let group = format!("-{pid}");
            let _ = std::process::Command::new("kill").args(["-s", "KILL", "--", &group]).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let places =
        std::env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    places
        .into_iter()
        .find(|place| place.is_file())
        .expect("chromium: scripts/setup.sh installs it")
}
