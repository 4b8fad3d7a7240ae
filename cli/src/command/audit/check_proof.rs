//! `paripassu audit check-proof`.

use std::path::PathBuf;

use clap::Args;
use paripassu_audit::{
    event::Envelope,
    note::{TlogProof, VerifierKey},
    prove::{ProveError, check, log_key},
};

use super::files::{UNREADABLE, read};
use crate::{failure::Failure, outcome::Outcome, screen::Screen};

/// The proof, or the log's signature below it, does not hold.
const MERKLE: u8 = 12;

/// Check a proof that `audit prove` made.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit check-proof opened.tlog-proof --certificate bank.crt
  paripassu audit check-proof opened.tlog-proof --key 'paripassu/party/bank+1a2b3c4d+AQ…'

Shows that the node whose key you give signed a log that holds this event at this place.
Take certificate or key from your own records, not from whoever gave you the proof. Prints
the event.

Exit codes: 0 it holds; 2 wrong usage; 3 a file cannot be read; 12 it does not hold.")]
pub(crate) struct CheckProof {
    /// The file that `audit prove` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The certificate of the log's node, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "key")]
    certificate: Option<PathBuf>,
    /// Instead of a certificate: the log's key, `name+id+base64`
    #[arg(long, value_name = "KEY", conflicts_with = "certificate")]
    key: Option<String>,
}

impl CheckProof {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let unreadable = |e: &dyn std::fmt::Display| {
            Failure::own(UNREADABLE, format!("{}: {e}", self.file.display()))
                .hint("a proof file begins with `c2sp.org/tlog-proof@v1`; `paripassu audit prove` writes it")
        };
        let content = read(&self.file)?;
        let text = String::from_utf8(content).map_err(|_| unreadable(&"it is no text"))?;
        let proof = TlogProof::parse(&text).map_err(|e| unreadable(&e))?;
        let origin = proof.checkpoint.checkpoint().origin().to_owned();
        let key: VerifierKey = match (&self.certificate, &self.key) {
            (Some(path), _) => {
                let pem = String::from_utf8_lossy(&read(path)?).into_owned();
                log_key(&origin, &pem)
                    .map_err(|e| Failure::own(MERKLE, format!("{}: {e}", path.display())))?
            }
            (None, Some(key)) => key.parse().map_err(|e| Failure::own(2, e))?,
            (None, None) => {
                return Err(Failure::own(2, "neither --certificate nor --key is given"));
            }
        };
        let does_not = |e: &dyn std::fmt::Display| {
            Failure::own(MERKLE, format!("the proof does not hold: {e}"))
                .hint("the event is not in the log that this key signed, or the file was changed")
        };
        let (envelope, _) = check(&proof, &key).map_err(|e| match e {
            ProveError::NoEvent => unreadable(&e),
            e => does_not(&e),
        })?;
        let event = Envelope::parse(envelope.as_bytes()).map_err(|e| does_not(&e))?;
        if event.origin != origin {
            return Err(does_not(&format!(
                "the event belongs to the log {}",
                event.origin
            )));
        }
        let size = proof.checkpoint.checkpoint().size();
        let json = serde_json::json!({
            "ok": true,
            "log": origin,
            "index": proof.index,
            "size": size,
            "event": event.event,
            "at": event.at,
            "envelope": envelope,
        });
        let said = format!(
            "{} {} ({}) is event {} of the log {origin}, which {origin} signed at {size} events\n\n{envelope}",
            screen.out().good("✓"),
            event.event,
            event.at,
            proof.index,
        );
        Outcome::new(&json, said)
    }
}
