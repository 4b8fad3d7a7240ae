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
    horizontal::SumOf,
};
use paripassu_service::transcript::{Announced, Record};

/// The ledger and the transcript of a run, shared by all that open something.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    inner: Arc<Mutex<Inner>>,
    record: Record,
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
    pub(crate) fn new(contract: &Contract, record: Record) -> Self {
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
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the ledger for a disclosure of `values` values in this step and writes it down; what the
    /// ledger refuses is written down as denied. Nothing is sent before all members have countersigned.
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

/// The disclosure of a sum over all banks.
fn sum_id(of: SumOf) -> Result<DisclosureId, Abort> {
    Ok(match of {
        SumOf::Counts => DisclosureId::SumsCounts,
        SumOf::Ranges => DisclosureId::SumsRanges,
        SumOf::Quantiles => DisclosureId::SumsQuantiles,
        SumOf::Bins => DisclosureId::SumsBins,
        SumOf::Moments => DisclosureId::SumsMoments,
        SumOf::Start => DisclosureId::SumsStart,
        SumOf::Newton => DisclosureId::SumsNewton,
        SumOf::Updates => DisclosureId::SumsUpdates,
        SumOf::Gradients => DisclosureId::SumsGradients,
        SumOf::Votes => DisclosureId::SumsVotes,
        SumOf::Held => DisclosureId::SumsHeld,
        SumOf::Evaluation => DisclosureId::SumsEvaluation,
        _ => return Err(Abort::Input("a sum that no contract can declare".into())),
    })
}

impl Book {
    /// The disclosure that an opening is, and its step; a receiver that is not its own is written down as
    /// denied.
    fn named(&self, opening: Opening, to: Receivers) -> Result<(DisclosureId, String), Abort> {
        let (id, step) = match opening {
            Opening::Converged { pass } => {
                (DisclosureId::TrainConverged, format!("train/pass-{pass}"))
            }
            Opening::Improved { epoch } => {
                (DisclosureId::TrainImproved, format!("train/epoch-{epoch}"))
            }
            Opening::Correlations => {
                let step = "train/selection-table".to_owned();
                (DisclosureId::SelectionCorrelations, step)
            }
            Opening::Correlated => {
                let step = "train/selection-pairs".to_owned();
                (DisclosureId::SelectionPairs, step)
            }
            Opening::Inflated { round } => {
                let step = format!("train/selection-{round}");
                (DisclosureId::SelectionInflated, step)
            }
            Opening::Leaving { step } => {
                let step = format!("train/leaving-{step}");
                (DisclosureId::SelectionLeaving, step)
            }
            Opening::Entering { step } => {
                let step = format!("train/entering-{step}");
                (DisclosureId::SelectionEntering, step)
            }
            Opening::Inflation { party } => {
                let id = DisclosureId::SelectionInflation(self.party(party)?);
                (id, "release/inflation".to_owned())
            }
            Opening::InferredBads => {
                let step = "train/inferred-rate".to_owned();
                (DisclosureId::RejectRate, step)
            }
            Opening::KnownCoefficients { party } => {
                let id = DisclosureId::RejectCoefficients(self.party(party)?);
                (id, "release/known-coefficients".to_owned())
            }
            Opening::KnownScores => {
                let step = "evaluate/known-scores".to_owned();
                (DisclosureId::RejectScores, step)
            }
            Opening::BinGoods { party } => {
                let id = DisclosureId::BinningGoods(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::HeldEpochs => (DisclosureId::TrainHeld, "train/held".to_owned()),
            Opening::TrialLoss { trial } => {
                (DisclosureId::TrainTrials, format!("train/loss-{trial}"))
            }
            Opening::TrialColumns { trial } => {
                (DisclosureId::TrainColumns, format!("train/loss-{trial}"))
            }
            Opening::RangeExceeded => (DisclosureId::TrainRangeCheck, "train".to_owned()),
            Opening::WithinRange { epoch } => (
                DisclosureId::TrainRangeCheck,
                format!("train/epoch-{epoch}"),
            ),
            Opening::Sum(of) => (sum_id(of)?, "sums".to_owned()),
            Opening::Scores => (DisclosureId::ReleaseScores, "evaluate/scores".to_owned()),
            Opening::BinsEnough { party } => {
                let id = DisclosureId::BinningEnough(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::BinBads { party } => {
                let id = DisclosureId::BinningBads(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::Information { party } => {
                let id = DisclosureId::BinningInformation(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::Monotone { party } => {
                let id = DisclosureId::BinningMonotone(self.party(party)?);
                (id, format!("train/bins-{party}"))
            }
            Opening::Reasons => (DisclosureId::ReleaseReasons, "release/reasons".to_owned()),
            Opening::Coefficients { party } => {
                let id = DisclosureId::ReleaseCoefficients(self.party(party)?);
                (id, "release/coefficients".to_owned())
            }
            Opening::StandardErrors { party } => {
                let id = DisclosureId::ReleaseStandardErrors(self.party(party)?);
                (id, "release/standard-errors".to_owned())
            }
            _ => {
                return Err(Abort::Input(
                    "an opening that no contract can declare".into(),
                ));
            }
        };
        let expected = match opening {
            Opening::Coefficients { party }
            | Opening::KnownCoefficients { party }
            | Opening::StandardErrors { party }
            | Opening::Inflation { party } => Receivers::One(party),
            Opening::Scores
            | Opening::KnownScores
            | Opening::InferredBads
            | Opening::BinGoods { .. }
            | Opening::Reasons
            | Opening::BinBads { .. }
            | Opening::Information { .. }
            | Opening::Monotone { .. } => Receivers::One(0),
            _ => Receivers::All,
        };
        if to != expected {
            let reason = format!("`{id}` may not be opened to {to}");
            return Err(self.deny("other_receiver", &id, Some(to.to_string()), reason));
        }
        Ok((id, step))
    }
}

impl Openings for Book {
    fn record(&mut self, opening: Opening, to: Receivers, values: usize) -> Result<(), Abort> {
        let same = |(what, _): &(Ahead, _)| *what == (opening, to, values);
        let place = self.lock().announced.iter().position(same);
        if let Some(place) = place {
            let (_, announced) = self.lock().announced.swap_remove(place);
            self.record.await_witnesses(announced);
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use paripassu_audit::{event::Envelope, log::Entry};
    use paripassu_job::{JobId, Spec, Submitter, Timestamp};
    use paripassu_service::{clock::Clock, identity::files, pki, transcript::Transcript};

    use super::*;

    /// A job that releases neither scores nor metrics.
    const JOB: &str = r#"
name = "model-only"
purpose = "application_score"
legal_basis = "contract"
[[party]]
id = "bank"
role = "label"
dataset = "table"
columns = "all"
[[party]]
id = "partner"
role = "features"
dataset = "table"
columns = "all"
[helper]
id = "hub"
[outputs]
coefficients = "own"
"#;

    fn transcript(dir: &std::path::Path) -> Arc<Transcript> {
        let (ca, own) = (dir.join("ca"), dir.join("bank"));
        pki::init(&ca, "Test", 30).unwrap();
        let csr = pki::request(&own, &"party/bank".parse().unwrap()).unwrap();
        let crt = own.join("signed");
        pki::sign(&ca, &csr, None, &crt, 30).unwrap();
        let identity = pki::install(&own, &crt, &ca.join(files::AUTHORITY), None).unwrap();
        Transcript::open(&dir.join("state"), Arc::new(identity), Clock::system()).unwrap()
    }

    fn book(transcript: &Arc<Transcript>) -> (Book, JobId) {
        let spec = Spec::from_toml(JOB, "job.toml").unwrap();
        let id = JobId::random(&mut rand::rng());
        let user = Submitter::user("modeler".parse().unwrap());
        let now = Timestamp::from_unix(1_800_000_000).unwrap();
        let contract = Contract::new(spec, id, now, user).unwrap();
        let job: paripassu_service::JobId = id.to_string().parse().unwrap();
        let record = Record::unwitnessed(Arc::clone(transcript), job);
        (Book::new(&contract, record), id)
    }

    fn events(transcript: &Transcript, job: JobId) -> Vec<(String, String)> {
        let entries = transcript.log().job_entries(&job.to_string()).unwrap();
        let read = |e: Entry| {
            let event = Envelope::parse(&e.envelope).unwrap().event;
            (event, String::from_utf8(e.body.unwrap()).unwrap())
        };
        entries.into_iter().map(read).collect()
    }

    #[test]
    fn bits_are_announced_once_for_many_and_each_is_written_down() {
        let dir = tempfile::tempdir().unwrap();
        let transcript = transcript(dir.path());
        let (mut book, id) = book(&transcript);
        let openings: &mut dyn Openings = &mut book;
        let in_range = Opening::RangeExceeded;
        for pass in 1..=20 {
            let bit = Opening::Converged { pass };
            openings.foresee(&[bit, in_range]).unwrap();
            openings.record(bit, Receivers::All, 1).unwrap();
        }
        // announced already: written down when it happens
        openings.announce(in_range, Receivers::All, 1).unwrap();
        for _ in 0..3 {
            openings.record(in_range, Receivers::All, 1).unwrap();
        }
        // three are declared
        openings.foresee(&[in_range]).unwrap();
        assert!(openings.record(in_range, Receivers::All, 1).is_err());

        let events = events(&transcript, id);
        let short = |(event, body): &(String, String)| {
            let of = ["converged", "range-check"];
            let of = of.into_iter().find(|of| body.contains(of)).unwrap();
            format!("{event} {of}")
        };
        let mut want = vec![
            "disclosure.announced converged",
            "disclosure.announced range-check",
        ];
        want.extend(["disclosure converged"; 16]);
        want.push("disclosure.announced converged");
        want.extend(["disclosure converged"; 4]);
        want.extend(["disclosure range-check"; 3]);
        want.push("denied range-check");
        let got: Vec<_> = events.iter().map(short).collect();
        assert_eq!(got, want);
        for (place, first, last) in [(0, 1, 16), (1, 1, 3), (18, 17, 32)] {
            let (_, body) = &events[place];
            assert!(body.contains(&format!("\"first\":{first},")), "{body}");
            assert!(body.contains(&format!("\"last\":{last},")), "{body}");
        }
        assert!(events[17].1.contains("\"ordinal\":16,"), "{}", events[17].1);
    }

    #[test]
    fn what_is_not_declared_is_denied_and_what_is_declared_stands_before_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let transcript = transcript(dir.path());
        let (mut book, id) = book(&transcript);
        let openings: &mut dyn Openings = &mut book;
        let bit = Opening::Converged { pass: 1 };
        openings.record(bit, Receivers::All, 1).unwrap();
        // what is announced is written down then, and not again when it happens
        let next = Opening::Converged { pass: 2 };
        openings.announce(next, Receivers::All, 1).unwrap();
        openings.record(next, Receivers::All, 1).unwrap();
        assert!(openings.announce(bit, Receivers::One(1), 1).is_err());
        // more than one bit, to another receiver, and something that the contract does not release
        for (opening, to, values) in [
            (bit, Receivers::All, 2),
            (bit, Receivers::One(1), 1),
            (Opening::Scores, Receivers::One(0), 10),
            (Opening::Coefficients { party: 1 }, Receivers::One(0), 3),
        ] {
            assert!(openings.record(opening, to, values).is_err(), "{opening:?}");
        }
        let events = events(&transcript, id);
        let events: Vec<_> = events.into_iter().map(|(event, _)| event).collect();
        let denied = std::iter::repeat_n("denied", 5);
        let expected: Vec<_> = std::iter::repeat_n("disclosure", 2).chain(denied).collect();
        assert_eq!(events, expected);
    }
}
