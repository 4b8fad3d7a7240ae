//! `paripassu audit`: what a job did, as evidence, and the judgement on it.

mod check_proof;
mod diff;
mod export;
mod files;
mod page;
mod prove;
mod prune;
mod show;
mod trust;
mod verify;

use clap::Subcommand;

use crate::{
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::Screen,
};

/// Wrong usage of `audit`, as the transcript's specification says.
pub(crate) const MISUSE: Exit = Exit::Own(2);

/// Export, verify, read, compare and prove the transcript of a job; make the officer's page.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Write one job's transcript, with proofs and countersignatures, into one file
    Export(export::Export),
    /// Verify a bundle offline: no network, no node, no secret
    Verify(verify::Verify),
    /// Make one HTML page of a bundle for someone who is no engineer
    Page(page::Page),
    /// Print what happened, in order, with filters; nothing is verified
    Show(show::Show),
    /// Say where two members' bundles of one job part
    Diff(diff::Diff),
    /// Take one event out of a bundle, with the proof that it is in its log
    Prove(prove::Prove),
    /// Remove what old events say from a stopped node's log; proofs go on holding
    Prune(prune::Prune),
    /// Check a proof that `audit prove` made
    CheckProof(check_proof::CheckProof),
    /// Print a commented trust.toml: what a reader trusts, decided before reading
    Trust(trust::TrustSample),
}

impl Audit {
    pub(crate) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        match self {
            Self::Export(export) => export.run(screen),
            Self::Verify(verify) => verify.run(screen),
            Self::Page(page) => page.run(screen),
            Self::Show(show) => show.run(screen),
            Self::Diff(diff) => diff.run(screen),
            Self::Prove(prove) => prove.run(),
            Self::Prune(prune) => prune.run(screen),
            Self::CheckProof(check) => check.run(screen),
            Self::Trust(trust) => trust.run(),
        }
    }
}
