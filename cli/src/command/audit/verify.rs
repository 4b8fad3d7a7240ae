//! `paripassu audit verify`.

use std::path::PathBuf;

use clap::Args;
use ed25519_dalek::{SigningKey, pkcs8::DecodePrivateKey};
use paripassu_audit::{
    note::Ed25519Signer,
    verify::{Outcome as Result14, Verdict},
    vsa,
};

use super::files::{Judged, Judgement, UNREADABLE};
use crate::{
    command::write_whole,
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::{Screen, count},
};

/// Verify a bundle offline: no network, no node, no secret.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit verify JOB.bundle --policy trust.toml
  paripassu audit verify JOB.bundle --policy trust.toml --model model.json --model report.json
  paripassu audit verify JOB.bundle --policy trust.toml --vsa vsa.json --vsa-key auditor.key
  paripassu audit verify JOB.bundle --authority ca.crt
  paripassu audit verify JOB.bundle                   only that the bundle agrees with itself

Without --policy the authority inside the bundle is used. That shows that the bundle agrees
with itself, not whose it is: verify with a trust file before you rely on it (`paripassu
audit trust` prints a sample), or at least with the authority's certificate from your records.

All fourteen checks are run; the exit code is that of the first that failed:
  0 verified       2 wrong usage     3 a file cannot be read, or is no bundle or trust file
  10 signature     11 chain          12 Merkle tree    13 witnesses      14 symmetry
  15 approvals     16 policy         17 disclosure     18 thresholds     19 programs
  20 report        21 model          22 personal data  23 clocks

`paripassu-verify` is the same verifier as a small program of its own.")]
pub(crate) struct Verify {
    /// The bundle that `audit export` wrote
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    #[command(flatten)]
    judgement: Judgement,
    /// Also write the result as an in-toto verification summary, for someone who need not see the bundle
    #[arg(long, value_name = "FILE", requires = "policy")]
    vsa: Option<PathBuf>,
    /// Sign the summary with this Ed25519 key (PKCS #8 PEM); unsigned without
    #[arg(long, value_name = "KEY.pem", requires = "vsa")]
    vsa_key: Option<PathBuf>,
    /// Who says so in the summary, a URI
    #[arg(
        long,
        value_name = "URI",
        requires = "vsa",
        default_value = "urn:paripassu:audit-verify"
    )]
    vsa_verifier: String,
}

impl Verify {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let judged = self.judgement.judge(&self.bundle)?;
        self.summary(&judged)?;
        let verdict = &judged.verdict;
        let outcome = Outcome::new(verdict, text(&judged, screen))?;
        Ok(outcome.exit_with(exit(verdict)))
    }

    fn summary(&self, judged: &Judged) -> Result<(), Failure> {
        let (Some(path), Some((policy, policy_sha256))) = (&self.vsa, &judged.subject.trust) else {
            return Ok(());
        };
        let said = vsa::statement(
            &judged.verdict,
            &vsa::Judged {
                file: &judged.subject.file,
                sha256: &judged.subject.sha256,
                policy,
                policy_sha256,
                verifier: &self.vsa_verifier,
                at: judged.at,
            },
        );
        let said = match &self.vsa_key {
            None => said,
            Some(key) => {
                let text = super::files::read(key)?;
                let pem = String::from_utf8_lossy(&text);
                let signing = SigningKey::from_pkcs8_pem(&pem).map_err(|_| {
                    Failure::own(
                        UNREADABLE,
                        format!("{} is no Ed25519 key in PKCS #8 PEM", key.display()),
                    )
                    .hint("make one: openssl genpkey -algorithm ed25519 -out auditor.key")
                })?;
                vsa::signed(&said, &Ed25519Signer::new(signing)).map_err(Failure::ours)?
            }
        };
        let text = serde_json::to_string_pretty(&said).map_err(Failure::ours)?;
        write_whole(path, format!("{text}\n").as_bytes())
    }
}

/// The exit code of a verdict.
pub(super) fn exit(verdict: &Verdict) -> Exit {
    match verdict.exit_code {
        0 => Exit::Ok,
        code => Exit::Own(code),
    }
}

/// Control characters of an untrusted file never reach a terminal.
fn plain(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}

fn text(judged: &Judged, screen: &Screen) -> String {
    let verdict = &judged.verdict;
    let paint = screen.out();
    let mut out = format!(
        "{}  made by {}\n{}  sha256 {}\n",
        paint.name(format_args!("{:<8}", plain(&verdict.job))),
        plain(&verdict.maker),
        paint.name("contract"),
        verdict.contract
    );
    let mut logs = screen.table(&["log", "events", "log size", "countersigned by"]);
    for log in &verdict.logs {
        let by = match log.cosigned_by.as_slice() {
            [] => "nobody".to_owned(),
            by => by.join(", "),
        };
        logs.row([
            plain(&log.origin),
            count(log.events),
            count(log.size),
            plain(&by),
        ]);
    }
    out.push_str(&format!("{logs}\n"));
    for check in &verdict.checks {
        let (word, detail) = match check.outcome {
            Result14::Passed => (
                paint.good("✓ ok    "),
                format!("{} examined", count(check.examined)),
            ),
            Result14::Failed => (
                paint.bad("✗ FAILED"),
                paint.bad(format_args!(
                    "{} found, exit code {}",
                    count(check.findings),
                    check.exit_code
                )),
            ),
            Result14::NothingToCheck => (paint.faint("–       "), paint.faint("nothing to check")),
        };
        out.push_str(&format!(
            "{:>2}  {word}  {:<56}  {detail}\n",
            check.check, check.title
        ));
    }
    for finding in &verdict.findings {
        out.push_str(&format!(
            "\n{}\n  {}\n  {}\n",
            paint.bad(format_args!(
                "check {}: {}",
                finding.check,
                plain(&finding.place.to_string())
            )),
            plain(&finding.what),
            finding.means
        ));
    }
    out.push('\n');
    for note in &verdict.notes {
        out.push_str(&format!("{} {}\n", paint.warn("note:"), plain(note)));
    }
    out.push_str(&if verdict.ok && judged.subject.trust.is_some() {
        paint.good("VERIFIED: every check passed.")
    } else if verdict.ok {
        paint.warn(
            "CONSISTENT: every check passed, by the authority in the bundle itself. Give --policy to verify whose it is.",
        )
    } else {
        paint.bad(format_args!(
            "NOT VERIFIED: exit code {}.",
            verdict.exit_code
        ))
    });
    out
}
