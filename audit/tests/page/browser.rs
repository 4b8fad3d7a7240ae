//! The page in a real browser: Chromium without a screen, as installed by the system.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::*;

/// The browser: `PARIPASSU_CHROMIUM`, or where systems put it.
fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("PARIPASSU_CHROMIUM").map(PathBuf::from);
    let usual = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
    ];
    named
        .into_iter()
        .chain(usual.into_iter().map(PathBuf::from))
        .find(|path| path.is_file())
}

/// Serves one page and writes down every plain request; every name resolves to it.
struct Site {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    fn new(page: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let (page, log) = (page.clone(), log.clone());
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                    let mut head = Vec::new();
                    let mut chunk = [0; 4096];
                    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
                        match stream.read(&mut chunk) {
                            Ok(n) if n > 0 => head.extend(&chunk[..n]),
                            _ => return,
                        }
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let line = head.lines().next().unwrap_or_default().to_owned();
                    // what is no plain request is the browser's own and never from a page without https
                    let Some(path) = line.strip_prefix("GET ") else {
                        return;
                    };
                    let path = path.split(' ').next().unwrap_or_default().to_owned();
                    // the browser asks its maker for the time and the like, whatever page it shows
                    let host = head.lines().find_map(|line| line.strip_prefix("Host: "));
                    let makers = |host: &str| {
                        host.ends_with(".google.com") || host.ends_with(".googleapis.com")
                    };
                    if host.is_some_and(makers) {
                        return;
                    }
                    log.lock().unwrap().push(path.clone());
                    let content = if path == "/page.html" {
                        page.as_str()
                    } else {
                        ""
                    };
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\
                         Content-Length: {}\r\nConnection: close\r\n\r\n{content}",
                        content.len()
                    );
                });
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The page's elements after the browser has read it.
fn render(browser: &Path, site: &Site) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=390,844",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!(
            "--host-resolver-rules=MAP * 127.0.0.1:{}",
            site.port
        ))
        .arg(format!("http://127.0.0.1:{}/page.html", site.port))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(dom.contains("</html>"), "{}\n{complaint}", output.status);
    dom
}

/// A picture of the page as the browser draws it, so many pixels wide and high.
fn picture(browser: &Path, html: &str, to: &Path, (width, height): (u32, u32)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    fs::write(&file, html).unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args([
            "--no-first-run",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
        ])
        .arg(format!("--window-size={width},{height}"))
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("--screenshot={}", to.display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let png = fs::read(to);
    png.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// What the browser draws is a page, in the size asked for: with far more to see than an empty one, and not the
/// same where a check failed.
#[test]
fn a_browser_draws_the_page() {
    let Some(browser) = chromium() else {
        eprintln!("skipped: no chromium on this machine; set PARIPASSU_CHROMIUM or install it");
        return;
    };
    let own = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("PARIPASSU_PAGES").map(PathBuf::from);
    let folder = kept.unwrap_or_else(|| own.path().to_owned());
    let size = (1_000, 2_400);
    let draw = |name: &str, html: &str| {
        let png = picture(&browser, html, &folder.join(format!("{name}.png")), size);
        assert_eq!(png.first_chunk::<8>(), Some(b"\x89PNG\r\n\x1a\n"));
        let number = |at: usize| {
            let bytes = png.get(at..).and_then(|rest| rest.first_chunk::<4>());
            u32::from_be_bytes(*bytes.unwrap())
        };
        assert_eq!((number(16), number(20)), size);
        png
    };
    let empty = draw("empty", "<!doctype html><html><body></body></html>");
    let (good, _) = page(&World::new().bundle(), Some(&trust()));
    let (bad, _) = page(&undeclared(), Some(&trust()));
    let (good, bad) = (draw("good", &good), draw("bad", &bad));
    assert!(
        good.len() > 10 * empty.len(),
        "{} {}",
        good.len(),
        empty.len()
    );
    assert!(bad.len() > 10 * empty.len() && bad != good);
}

/// Good, tampered, and one page that does fetch something, to show that this would be seen.
#[test]
fn a_browser_shows_the_words_and_fetches_nothing() {
    let Some(browser) = chromium() else {
        eprintln!("skipped: no chromium on this machine; set PARIPASSU_CHROMIUM or install it");
        return;
    };
    let fetching =
        "<!doctype html><html><body>x<img src=\"http://elsewhere.example/pixel\"></body></html>";
    let site = Site::new(fetching.to_owned());
    render(&browser, &site);
    assert!(
        site.asked().contains(&"/pixel".to_owned()),
        "{:?}",
        site.asked()
    );

    let (good, _) = page(&World::new().bundle(), Some(&trust()));
    let (bad, _) = page(&undeclared(), Some(&trust()));
    if let Some(folder) = std::env::var_os("PARIPASSU_PAGES") {
        let folder = PathBuf::from(folder);
        let (alone, _) = page(&World::new().bundle(), None);
        let (changed, _) = page(&altered(), Some(&trust()));
        for (name, html) in [
            ("good", &good),
            ("undeclared", &bad),
            ("untrusted", &alone),
            ("altered", &changed),
        ] {
            fs::write(folder.join(format!("{name}.html")), html).unwrap();
        }
    }
    // a page that was tampered with cannot fetch either: its own policy forbids it
    let poisoned = good.replacen(
        "<main>",
        "<main><img src=\"/stolen\"><script src=\"/run\"></script>",
        1,
    );
    for (html, wanted) in [
        (&good, GOOD),
        (
            &bad,
            &["NOT VERIFIED: do not rely on this record", "✗ NOT DECLARED"],
        ),
        (&poisoned, &["VERIFIED: the record is genuine and complete"]),
    ] {
        let site = Site::new(html.clone());
        let dom = render(&browser, &site);
        let dom = dom.replacen("<body ", "<body>", 1).replace('\u{a0}', " ");
        says(&dom, wanted);
        assert_eq!(site.asked(), ["/page.html"]);
    }
}
