//! `paripassu audit prove`.

use std::path::PathBuf;

use clap::Args;
use paripassu_audit::{
    bundle::Bundle,
    prove::{log_key, prove},
};

use super::files::{UNREADABLE, open};
use crate::{command::write_whole, failure::Failure, outcome::Outcome};

/// Take one event out of a bundle, with the proof that it is in its log.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu audit prove JOB.bundle bank#17 --out opened.tlog-proof
  paripassu audit prove JOB.bundle 17                     of the log of the bundle's maker
  paripassu audit check-proof opened.tlog-proof --certificate bank.crt

For someone who may see this event and nothing else. The file is a C2SP tlog-proof: the
signed event itself, its place, the hashes up to the root of the log, and the log's
checkpoint with all signatures.

EVENT is the node and the place that `audit show` prints: `bank#17`, or
`paripassu/party/bank#17`. Exit codes: 0 written; 2 wrong usage or no such event; 3 the
bundle cannot be read.")]
pub(crate) struct Prove {
    /// The bundle that `audit export` wrote
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Node and place, as `bank#17`
    #[arg(value_name = "EVENT")]
    event: String,
    /// Where to; standard output without
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Prove {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let opened = open(&self.bundle)?;
        let (origin, index) = find(&opened.bundle, &self.event)?;
        let proof = prove(&opened.bundle, &origin, index).map_err(|e| match e {
            paripassu_audit::prove::ProveError::Absent { .. } => Failure::own(2, e),
            _ => Failure::own(UNREADABLE, e).hint("verify the bundle: paripassu audit verify"),
        })?;
        let text = proof.to_string();
        let pem = opened
            .bundle
            .log(&origin)
            .and_then(|log| log.certificates.first());
        let key = pem
            .and_then(|pem| log_key(&origin, pem).ok())
            .map(|key| key.to_string());
        let json = serde_json::json!({
            "log": origin,
            "index": index,
            "log_key": key,
            "file": self.out,
            "proof": text,
        });
        let Some(out) = self.out else {
            return Outcome::new(&json, text);
        };
        write_whole(&out, text.as_bytes())?;
        let node = origin.rsplit('/').next().unwrap_or_default();
        let said = format!(
            "{}  event {index} of {origin}\n\n  check it: paripassu audit check-proof {} --certificate {node}.crt\n  log key as the bundle has it: {}",
            out.display(),
            out.display(),
            key.as_deref().unwrap_or("none that can be read")
        );
        Outcome::new(&json, said)
    }
}

/// The log and the place that `bank#17`, `paripassu/party/bank#17` or `17` mean.
fn find(bundle: &Bundle, text: &str) -> Result<(String, u64), Failure> {
    let wrong = || {
        Failure::own(2, format!("`{text}` names no event")).hint(
            "node and place, as `audit show` prints them: bank#17, or 17 for the bundle's maker",
        )
    };
    let (node, place) = text.rsplit_once(['#', ':']).unwrap_or(("", text));
    let index = place.parse().map_err(|_| wrong())?;
    let is = |origin: &&String| {
        let short = origin.strip_prefix("paripassu/");
        node == *origin || short == Some(node) || origin.rsplit('/').next() == Some(node)
    };
    if node.is_empty() {
        return Ok((bundle.node.clone(), index));
    }
    let mut origins = bundle.logs.iter().map(|log| &log.origin).filter(is);
    origins
        .next()
        .map(|origin| (origin.clone(), index))
        .ok_or_else(|| {
            let ids: Vec<_> = bundle
                .logs
                .iter()
                .filter_map(|log| log.origin.rsplit('/').next())
                .collect();
            Failure::own(2, format!("the bundle has no log of `{node}`"))
                .hint(format!("it has those of {}", ids.join(", ")))
        })
}
