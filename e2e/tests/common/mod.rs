//! The real program as tests run it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it; a failure is a failed test"
)]

pub mod killed;
pub mod rig;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// A file of `examples/`.
pub fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

/// The program, built from this checkout in the profile of the test. `PARIPASSU` names another.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(given) = std::env::var_os("PARIPASSU") {
            return given.into();
        }
        // TARGET/PROFILE/deps/test-binary
        let deps = std::env::current_exe().unwrap();
        let profile = deps.parent().and_then(Path::parent).unwrap().to_owned();
        let target = profile.parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args([
            "build",
            "--quiet",
            "--locked",
            "-p",
            "paripassu-cli",
            "--target-dir",
        ]);
        build.arg(target).current_dir(root());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(
            build.status().unwrap().success(),
            "the program cannot be built"
        );
        profile.join("paripassu")
    })
}

/// The program, with nothing of the caller's surroundings that would change what it says.
pub fn paripassu() -> Command {
    let mut command = Command::new(program());
    for name in [
        "PARIPASSU_COORDINATOR",
        "PARIPASSU_COORDINATOR_ID",
        "PARIPASSU_IDENTITY",
        "PARIPASSU_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

/// What a command said and how it ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n{}\n{}", self.code, self.out, self.err)
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// Standard output as the one JSON object that it must be.
    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.out)
            .unwrap_or_else(|e| panic!("standard output is not one JSON object ({e}):\n{self:?}"));
        assert!(value.is_object(), "{self:?}");
        value
    }

    /// Checks the exit code, and that the error says each of these.
    #[track_caller]
    pub fn refuses(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            let said = self.err.contains(word) || self.out.contains(word);
            assert!(said, "nothing is said of `{word}`:\n{self:?}");
        }
    }
}

/// Runs the program to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Said {
    paripassu().args(args).output().unwrap().into()
}

/// Runs a sandbox with `--json`.
pub fn sandbox(job: &Path, bank: &Path, partner: &Path, out: &Path, more: &[&str]) -> Said {
    let mut command = paripassu();
    command.args(["sandbox", "run", "--json"]).arg(job);
    command
        .arg("--party")
        .arg(format!("bank={}", bank.display()));
    command
        .arg("--party")
        .arg(format!("partner={}", partner.display()));
    command.arg("--out").arg(out).args(more);
    command.output().unwrap().into()
}

/// A number of a JSON object, by its path such as `joint.auc`.
#[track_caller]
pub fn number(value: &Value, path: &str) -> f64 {
    let mut at = value;
    for key in path.split('.') {
        at = &at[key];
    }
    at.as_f64()
        .unwrap_or_else(|| panic!("{path} is no number in {value:#}"))
}

/// That joint and pooled are the same model, within the stated limits.
#[track_caller]
pub fn assert_lands(metrics: &Value) {
    let coefficients = number(metrics, "coef_max_abs_diff");
    assert!(
        coefficients <= 1e-3,
        "coefficients differ by {coefficients}"
    );
    let auc = number(metrics, "joint.auc") - number(metrics, "pooled.auc");
    assert!(auc.abs() <= 5e-4, "AUC differs by {auc}");
    let ks = number(metrics, "joint.ks") - number(metrics, "pooled.ks");
    assert!(ks.abs() <= 2e-3, "KS differs by {ks}");
}

/// Waits until `done`, for a while.
#[track_caller]
pub fn wait_for(what: &str, at_most: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < at_most,
            "{what} did not happen in {at_most:?}"
        );
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Every file below a folder with its bytes.
pub fn files_below(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found
}

/// Whether `needle` stands in `bytes`.
pub fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Both verifiers find a bundle sound: this program's, and the one in Python where the checks have its Python at hand.
#[track_caller]
pub fn both_verify(bundle: &Path) {
    let loaded = paripassu_audit::bundle::Bundle::load(bundle).unwrap();
    let options = paripassu_audit::verify::Options::default();
    let verdict = paripassu_audit::verify::verify(&loaded, &options);
    assert_eq!(verdict.exit_code, 0, "{verdict}");
    let Some(python) = std::env::var_os("PARIPASSU_SPEC_PYTHON") else {
        let checks = std::env::var_os("CI").is_some();
        assert!(!checks, "set PARIPASSU_SPEC_PYTHON");
        eprintln!("SKIPPED: the second verifier, without PARIPASSU_SPEC_PYTHON");
        return;
    };
    let mut second = Command::new(python);
    second.arg(root().join("docs/spec/verify.py")).arg(bundle);
    let said = Said::from(second.output().unwrap());
    assert_eq!(said.code, 0, "{}: {said:?}", bundle.display());
}
