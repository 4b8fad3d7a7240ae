//! The job's ledger behind the protocols' openings, and in the transcript.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paripassu_audit::event::{
    Body,
    bodies::{Denied, Disclosure, DisclosureAnnounced, MAX_ANNOUNCED},
};
use paripassu_job::{Contract, DisclosureId, Ledger, LedgerSummary, NodeId, Shape};
use paripassu_protocol::{
    abort::Abort,
    arith::{Opening, Openings, Receivers},
};
use paripassu_service::transcript::{Announced, Record};

use crate::config::Countersign;

mod named;
#[cfg(test)]
mod tests;

/// The ledger and the transcript of a run, shared by all that open something.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    inner: Arc<Mutex<Inner>>,
    record: Record,
    countersign: Countersign,
}

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    declared: Vec<paripassu_job::Disclosure>,
    parties: Vec<NodeId>,
    /// Openings that stand in ledger and transcript and are still to come.
    announced: Vec<(Ahead, Announced)>,
    /// Bits that may come: of each disclosure the last opening that is announced.
    foreseen: Vec<(DisclosureId, u64, Announced)>,
}

impl Inner {
    /// The announcement of the next opening of a disclosure.
    fn foreseen(&self, id: &DisclosureId) -> Option<Announced> {
        let next = u64::from(self.ledger.times(id)) + 1;
        let mut of_id = self.foreseen.iter().filter(|(of, ..)| of == id);
        of_id
            .find(|(_, last, _)| next <= *last)
            .map(|(.., announced)| announced.clone())
    }
}

/// An opening, its receivers and its number of values.
type Ahead = (Opening, Receivers, usize);

/// The event's name of a shape.
fn shape_name(shape: &Shape) -> Result<String, Abort> {
    let value = serde_json::to_value(shape).map_err(|e| Abort::Input(e.to_string()))?;
    let kind = value.get("kind").and_then(|kind| kind.as_str());
    kind.map(str::to_owned)
        .ok_or_else(|| Abort::Input("a shape without a name".into()))
}

impl Book {
    pub(crate) fn new(contract: &Contract, record: Record, countersign: Countersign) -> Self {
        let inner = Inner {
            ledger: Ledger::new(contract),
            declared: contract.disclosures().to_vec(),
            parties: contract.parties().into_iter().cloned().collect(),
            announced: Vec::new(),
            foreseen: Vec::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            record,
            countersign,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the ledger for a disclosure of `values` values in this step and writes it down; what the
    /// ledger refuses is written down as denied. Nothing is sent before its witnesses have countersigned.
    pub(crate) fn disclose(&self, id: &DisclosureId, values: u64, step: &str) -> Result<(), Abort> {
        let opening = self.declared(id, values, step)?;
        self.record
            .disclose(opening)
            .map_err(|e| Abort::Input(e.to_string()))
    }

    /// The same for a disclosure that is to come: messages go on until [`Record::await_witnesses`].
    fn announce(&self, id: &DisclosureId, values: u64, step: &str) -> Result<Announced, Abort> {
        let opening = self.declared(id, values, step)?;
        self.record
            .announce(opening)
            .map_err(|e| Abort::Input(e.to_string()))
    }

    /// What is to be written down of a disclosure that the ledger allows.
    fn declared(&self, id: &DisclosureId, values: u64, step: &str) -> Result<Disclosure, Abort> {
        let mut inner = self.lock();
        let entry = match inner.ledger.record(id, values) {
            Ok(entry) => entry,
            Err(error) => {
                drop(inner);
                return Err(self.deny("not_declared", id, None, error.to_string()));
            }
        };
        let declared = inner.declared.iter().find(|declared| declared.id == *id);
        let Some(declared) = declared else {
            return Err(Abort::Input(format!("`{id}` is not declared")));
        };
        Ok(Disclosure {
            id: id.to_string(),
            ordinal: entry.ordinal.into(),
            shape: shape_name(&declared.shape)?,
            values,
            to: declared.to.iter().map(ToString::to_string).collect(),
            step: step.to_owned(),
        })
    }

    /// Writes an event down.
    pub(crate) fn event(&self, body: impl Into<Body>) -> Result<(), Abort> {
        self.record
            .event(body)
            .map_err(|e| Abort::Input(e.to_string()))
    }

    /// Writes a refusal down and makes it the run's end.
    fn deny(&self, code: &str, id: &DisclosureId, to: Option<String>, reason: String) -> Abort {
        let denied = Denied {
            code: code.to_owned(),
            subject: id.to_string(),
            to,
        };
        match self.event(denied) {
            Ok(()) => Abort::Input(reason),
            Err(error) => error,
        }
    }

    /// The transcript of the job.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// The party at this position.
    fn party(&self, position: u8) -> Result<NodeId, Abort> {
        let inner = self.lock();
        let id = inner.parties.get(usize::from(position));
        id.cloned()
            .ok_or_else(|| Abort::Input(format!("no party-{position} in this job")))
    }

    pub(crate) fn summary(&self) -> LedgerSummary {
        self.lock().ledger.summary()
    }
}

impl Openings for Book {
    fn record(&mut self, opening: Opening, to: Receivers, values: usize) -> Result<(), Abort> {
        let (id, step) = self.named(opening, to)?;
        if let Opening::Converged { pass } = opening {
            // all members are in this pass: nothing of those before it is under way
            let before = |step: &str| {
                let number = step.strip_prefix("train/pass-");
                number.is_some_and(|n| n.parse::<u32>().is_ok_and(|n| n < pass))
            };
            let written = self.record.overtaken(before);
            written.map_err(|e| Abort::Input(e.to_string()))?;
        }
        let same = |(what, _): &(Ahead, _)| *what == (opening, to, values);
        let place = self.lock().announced.iter().position(same);
        if let Some(place) = place {
            let (_, announced) = self.lock().announced.swap_remove(place);
            self.record.await_witnesses(announced);
            return Ok(());
        }
        let foreseen = self.lock().foreseen(&id);
        let Some(announced) = foreseen else {
            return self.disclose(&id, values as u64, &step);
        };
        let opening = self.declared(&id, values as u64, &step)?;
        self.event(opening)?;
        self.record.await_witnesses(announced);
        Ok(())
    }

    fn announce(&mut self, opening: Opening, to: Receivers, values: usize) -> Result<(), Abort> {
        let (id, step) = self.named(opening, to)?;
        if self.lock().foreseen(&id).is_some() {
            return Ok(());
        }
        let announced = Book::announce(self, &id, values as u64, &step)?;
        self.lock()
            .announced
            .push(((opening, to, values), announced));
        Ok(())
    }

    fn foresee(&mut self, next: &[Opening]) -> Result<(), Abort> {
        if self.countersign == Countersign::Each {
            // the first is sure to come
            let first = next.first();
            return first.map_or(Ok(()), |first| self.announce(*first, Receivers::All, 1));
        }
        let mut bits = Vec::new();
        for opening in next {
            let (id, _) = self.named(*opening, Receivers::All)?;
            let inner = self.lock();
            let declared = inner.declared.iter().find(|declared| declared.id == id);
            // what is not declared, or no more, is refused when it is about to be opened
            let Some(declared) = declared.filter(|d| d.shape == Shape::Bit) else {
                continue;
            };
            let before = u64::from(inner.ledger.times(&id));
            let last = u64::from(declared.at_most).min(before + MAX_ANNOUNCED);
            if before < last && inner.foreseen(&id).is_none() {
                let to = declared.to.iter().map(ToString::to_string).collect();
                let bit = DisclosureAnnounced {
                    id: id.to_string(),
                    first: before + 1,
                    last,
                    to,
                };
                bits.push((id, bit));
            }
        }
        if bits.is_empty() {
            return Ok(());
        }
        let (ids, bits): (Vec<_>, Vec<_>) = bits.into_iter().unzip();
        let lasts: Vec<_> = bits.iter().map(|bit| bit.last).collect();
        let announced = self.record.foresee(bits);
        let announced = announced.map_err(|e| Abort::Input(e.to_string()))?;
        let mut inner = self.lock();
        inner.foreseen.retain(|(id, ..)| !ids.contains(id));
        let news = ids.into_iter().zip(lasts);
        inner
            .foreseen
            .extend(news.map(|(id, last)| (id, last, announced.clone())));
        Ok(())
    }
}
