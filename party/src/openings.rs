//! The job's ledger behind the protocols' openings, and in the transcript.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paripassu_job::{Contract, DisclosureId, Ledger, LedgerSummary};
use paripassu_protocol::{
    abort::Abort,
    arith::{Opening, Openings, Receivers},
};
use serde_json::json;

use crate::transcript::Transcript;

/// The ledger and the transcript of a run, shared by all that open something.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    inner: Arc<Mutex<Inner>>,
    clock: paripassu_service::clock::Clock,
}

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    transcript: Transcript,
    parties: Vec<paripassu_job::NodeId>,
}

impl Book {
    pub(crate) fn new(
        contract: &Contract,
        transcript: Transcript,
        clock: paripassu_service::clock::Clock,
    ) -> Self {
        let parties = contract.parties().into_iter().cloned().collect();
        let inner = Inner {
            ledger: Ledger::new(contract),
            transcript,
            parties,
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the ledger for a disclosure of `values` values and writes it down.
    pub(crate) fn disclose(&self, id: &DisclosureId, values: u64) -> Result<(), Abort> {
        let mut inner = self.lock();
        let entry = inner
            .ledger
            .record(id, values)
            .map_err(|e| Abort::Input(e.to_string()))?;
        let at = self.clock.now();
        inner
            .transcript
            .add(at, "disclosure", &entry)
            .map_err(|e| Abort::Input(e.to_string()))
    }

    /// Writes an event down.
    pub(crate) fn event(&self, event: &str, body: serde_json::Value) -> Result<(), Abort> {
        let at = self.clock.now();
        self.lock()
            .transcript
            .add(at, event, body)
            .map_err(|e| Abort::Input(e.to_string()))
    }

    pub(crate) fn summary(&self) -> LedgerSummary {
        self.lock().ledger.summary()
    }

    pub(crate) fn text(&self) -> String {
        self.lock().transcript.text()
    }
}

impl Openings for Book {
    fn record(&mut self, opening: Opening, to: Receivers, values: usize) -> Result<(), Abort> {
        let id = match opening {
            Opening::Converged { .. } => DisclosureId::TrainConverged,
            Opening::RangeExceeded => DisclosureId::TrainRangeCheck,
            Opening::Scores => DisclosureId::ReleaseScores,
            Opening::Coefficients { party } => {
                let inner = self.lock();
                let Some(id) = inner.parties.get(usize::from(party)) else {
                    return Err(Abort::Input(format!("no party-{party} in this job")));
                };
                DisclosureId::ReleaseCoefficients(id.clone())
            }
            _ => {
                return Err(Abort::Input(
                    "an opening that no contract can declare".into(),
                ));
            }
        };
        let expected = match opening {
            Opening::Coefficients { party } => Receivers::One(party),
            Opening::Scores => Receivers::One(0),
            _ => Receivers::All,
        };
        if to != expected {
            self.event(
                "denied",
                json!({ "opening": id.to_string(), "to": to.to_string() }),
            )?;
            return Err(Abort::Input(format!("`{id}` may not be opened to {to}")));
        }
        self.disclose(&id, values as u64)
    }
}
