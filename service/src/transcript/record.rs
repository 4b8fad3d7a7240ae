//! One job's part of the transcript, as whoever plays the job sees it.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use paripassu_audit::event::{
    Body,
    bodies::{BIT, Disclosure, DisclosureAnnounced, PeerFlow, StepFinished, StepStarted},
};
use paripassu_proto::{JobId, NodeId};
use paripassu_protocol::channel::Role;

use super::{Blame, Exchange, Transcript, TranscriptError, exchange::Shared, facts::cpu_seconds};
use crate::transport::{JobChannel, JobCore, Pass, StepWatcher, Unread, Witnesses};

/// An opening that stands in the transcript and that the others are asked to countersign.
#[derive(Debug, Clone)]
#[must_use = "nothing may be opened before the others have countersigned"]
pub struct Announced(Option<Pass>);

/// The transcript of one job at this node. Clones write to the same.
///
/// A node without a transcript, as in measurements, has an empty one that takes everything.
#[derive(Clone, Default)]
pub struct Record(Option<Inner>);

#[derive(Clone)]
struct Inner {
    transcript: Arc<Transcript>,
    job: JobId,
    wire: Option<Wire>,
}

/// The other members, and the channel that waits for them.
#[derive(Clone)]
struct Wire {
    exchange: Exchange,
    core: Arc<JobCore>,
}

/// Who countersigns an opening before it: of a single bit, the data parties; of anything else, all members.
fn witnesses(opening: &Disclosure) -> Witnesses {
    match opening.shape == BIT {
        true => Witnesses::Parties,
        false => Witnesses::Members,
    }
}

impl Inner {
    /// A bank that was away may send what nobody waits for any more: sums are over those that came in time.
    fn bears_late(&self, unread: &Unread) -> bool {
        let sums = unread.tag.starts_with("sums/") && matches!(unread.from, Role::Party(_));
        sums && unread.authentic && self.transcript.is_of_banks(self.job.as_str())
    }

    /// Writes an event down; a failure is this node's, and the job's end.
    fn write(&self, body: Body) -> Result<(), TranscriptError> {
        let written = self.transcript.write_soon(self.job.as_str(), body);
        written.inspect_err(|error| {
            if let Some(wire) = &self.wire {
                wire.exchange
                    .accuse(&self.job, failed(&self.transcript, error));
            }
        })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(inner) => write!(f, "Record({})", inner.job),
            None => f.write_str("Record(none)"),
        }
    }
}

impl Record {
    pub(crate) fn new(
        transcript: Arc<Transcript>,
        exchange: Exchange,
        core: Arc<JobCore>,
        job: JobId,
    ) -> Self {
        let inner = Inner {
            transcript,
            job,
            wire: None,
        };
        let wire = Some(Wire {
            exchange,
            core: Arc::clone(&core),
        });
        // no handle of the exchange: what the channel keeps must not keep its task alive
        let watcher = Watcher {
            inner: inner.clone(),
            shared: wire.as_ref().map(|wire| wire.exchange.shared()),
        };
        core.watch(Box::new(watcher));
        Self(Some(Inner { wire, ..inner }))
    }

    /// A record that nobody countersigns: of a node without a job that runs, and in tests.
    pub fn unwitnessed(transcript: Arc<Transcript>, job: JobId) -> Self {
        Self(Some(Inner {
            transcript,
            job,
            wire: None,
        }))
    }

    /// Entries of this node's log now, and its root; none of a node without a transcript.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn head(&self) -> Result<Option<(u64, [u8; 32])>, TranscriptError> {
        let Some(inner) = &self.0 else {
            return Ok(None);
        };
        let log = inner.transcript.log();
        let size = log.size();
        Ok(Some((size, log.root_at(size)?)))
    }

    /// Writes an event down.
    ///
    /// # Errors
    /// When the log cannot be written: the job must not go on.
    pub fn event(&self, body: impl Into<Body>) -> Result<(), TranscriptError> {
        match &self.0 {
            Some(inner) => inner.write(body.into()),
            None => Ok(()),
        }
    }

    /// Writes an opening down before it happens. From here on this node sends nothing in the job until
    /// its witnesses (of a single bit the other data parties, else all other members) have countersigned a head that holds it.
    ///
    /// # Errors
    /// When the log cannot be written: nothing may be opened.
    pub fn disclose(&self, opening: Disclosure) -> Result<(), TranscriptError> {
        // shut first: no frame slips out between the event and the head that is to hold it
        if let Some(wire) = self.0.as_ref().and_then(|inner| inner.wire.as_ref()) {
            wire.core.gate().shut(witnesses(&opening));
        }
        let announced = self.announce(opening)?;
        self.await_witnesses(announced);
        Ok(())
    }

    /// Writes down an opening that is to come, and asks its witnesses to countersign while this node goes
    /// on. Nothing may be opened before [`Self::await_witnesses`].
    ///
    /// # Errors
    /// When the log cannot be written: nothing may be opened.
    pub fn announce(&self, opening: Disclosure) -> Result<Announced, TranscriptError> {
        self.ask_for(witnesses(&opening), [opening.into()])
    }

    /// The same for bits that may be opened, each of which is then written down as an event of its own.
    ///
    /// # Errors
    /// As [`Self::announce`].
    pub fn foresee(&self, bits: Vec<DisclosureAnnounced>) -> Result<Announced, TranscriptError> {
        self.ask_for(Witnesses::Parties, bits.into_iter().map(Body::from))
    }

    fn ask_for(
        &self,
        by: Witnesses,
        events: impl IntoIterator<Item = Body>,
    ) -> Result<Announced, TranscriptError> {
        let Some(inner) = &self.0 else {
            return Ok(Announced(None));
        };
        for event in events {
            inner.write(event)?;
        }
        Ok(Announced(inner.wire.as_ref().map(|wire| {
            // after the events: a head that is signed for this pass holds them
            let pass = wire.core.gate().promise(by);
            wire.exchange.ask(&inner.job);
            pass
        })))
    }

    /// From here on this node sends nothing in the job until the opening's witnesses have countersigned a head that
    /// holds the opening.
    pub fn await_witnesses(&self, Announced(pass): Announced) {
        let wire = self.0.as_ref().and_then(|inner| inner.wire.as_ref());
        if let (Some(wire), Some(pass)) = (wire, pass) {
            wire.core.gate().shut_until(pass);
        }
    }

    /// Asks all members to countersign; nothing is sent in the job until they have.
    pub(crate) fn countersign(&self) {
        let wire = self.0.as_ref().and_then(|inner| inner.wire.as_ref());
        if let (Some(inner), Some(wire)) = (&self.0, wire) {
            wire.core.gate().shut(Witnesses::Members);
            wire.exchange.ask(&inner.job);
        }
    }

    /// Writes down as finished those steps that `which` names and that are not yet. To be called when
    /// everything of them has been sent and received.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn steps_done(
        &self,
        channel: &JobChannel,
        which: impl Fn(&str) -> bool,
    ) -> Result<(), TranscriptError> {
        self.write_done(channel.core(), which)
    }

    /// The same while the job's channel is in use elsewhere, for steps that later ones have overtaken.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn overtaken(&self, which: impl Fn(&str) -> bool) -> Result<(), TranscriptError> {
        let wire = self.0.as_ref().and_then(|inner| inner.wire.as_ref());
        wire.map_or(Ok(()), |wire| self.write_done(&wire.core, which))
    }

    fn write_done(
        &self,
        core: &JobCore,
        which: impl Fn(&str) -> bool,
    ) -> Result<(), TranscriptError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let job = inner.job.as_str();
        let finished = inner.transcript.with(job, |facts| facts.finished.clone())?;
        let reports = core.steps(|step| which(step) && !finished.contains(step));
        let now = cpu_seconds();
        for report in reports {
            let cpu = inner
                .transcript
                .with(job, |facts| facts.cpu_of(&report.step, now))?;
            let peers = report.peers.iter().map(|flows| PeerFlow {
                peer: flows.peer.to_string(),
                sent: flows.sent.flow(),
                received: flows.received.flow(),
            });
            let body = StepFinished {
                step: report.step.clone(),
                wall_s: format!("{:.3}", report.seconds),
                cpu_s: format!("{cpu:.2}"),
                peers: peers.collect(),
            };
            inner.write(body.into())?;
        }
        Ok(())
    }

    /// Ends the job well: writes it down, exchanges events with the other members and writes the
    /// bundle.
    ///
    /// # Errors
    /// When the log cannot be written or a member does not countersign what it is shown.
    pub(crate) async fn complete(&self, channel: &JobChannel) -> Result<(), Blame> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let own = |error: TranscriptError| failed(&inner.transcript, &error);
        self.opened().await?;
        // what was sent and opened stands, whatever else came
        self.steps_done(channel, |_| true).map_err(own)?;
        if let Some(wire) = &inner.wire
            && let Some((unread, peer)) = wire.core.unread()
            && !inner.bears_late(&unread)
        {
            return Err(surplus(&unread, peer));
        }
        inner
            .transcript
            .completed(inner.job.as_str())
            .map_err(own)?;
        if let Some(wire) = &inner.wire {
            let seconds = wire.core.gate().total_wait().as_secs_f64();
            tracing::info!(job = %inner.job, seconds, "waited for countersignatures");
        }
        match &inner.wire {
            Some(wire) => wire.exchange.finish(&inner.job, true).await,
            None => Ok(()),
        }
    }

    /// Waits until the others have countersigned all openings, so that the job's end stands behind them.
    async fn opened(&self) -> Result<(), Blame> {
        let wire = self.0.as_ref().and_then(|inner| inner.wire.as_ref());
        let (Some(inner), Some(wire)) = (&self.0, wire) else {
            return Ok(());
        };
        let gate = wire.core.gate();
        let limit = wire.exchange.shared().times.finish;
        let opened = async {
            tokio::select! {
                () = gate.opened() => Ok(()),
                () = wire.core.lingered(Duration::ZERO) => Err(Blame {
                    culprit: None,
                    code: "job_over",
                    reason: wire.core.why().to_string(),
                }),
            }
        };
        if let Ok(opened) = tokio::time::timeout(limit, opened).await {
            return opened;
        }
        let slow = gate.waiting_for().and_then(|role| wire.core.node_of(role));
        let who = slow.as_ref().map_or("a member", NodeId::as_str);
        Err(Blame {
            code: "not_countersigned",
            reason: format!(
                "`{who}` did not countersign the openings of `{}` in time",
                inner.transcript.peer()
            ),
            culprit: slow,
        })
    }

    /// Ends the job badly, with `destroyed` if nothing of its outputs is left here; what can still be exchanged is, in the background.
    pub(crate) fn abort(&self, culprit: Option<&NodeId>, step: &str, code: &str, destroyed: bool) {
        let Some(inner) = &self.0 else { return };
        let job = inner.job.as_str();
        let culprit = culprit.map(NodeId::as_str);
        let written = inner
            .transcript
            .aborted(job, culprit, step, code, destroyed);
        if let Err(error) = written {
            tracing::error!(job, %error, "the end of a job is not in the transcript");
        }
        if let Some(wire) = &inner.wire {
            wire.exchange.finish_soon(&inner.job);
        }
    }

    /// Lays a copy of the job's bundle into a folder of results.
    pub(crate) async fn lay_bundle(&self, folder: &Path) {
        let Some(inner) = &self.0 else { return };
        let from = inner.transcript.bundle_path(inner.job.as_str());
        let to = folder.join(format!("{}.bundle", inner.job));
        let copied = tokio::task::spawn_blocking(move || std::fs::copy(&from, &to)).await;
        match copied {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(job = %inner.job, %error, "no bundle beside the results")
            }
            Err(error) => tracing::error!(%error, "copying the bundle failed"),
        }
    }

    /// How long messages have waited in this job until others had countersigned, all together.
    pub fn waited(&self) -> Duration {
        let wire = self.0.as_ref().and_then(|inner| inner.wire.as_ref());
        wire.map_or(Duration::ZERO, |wire| wire.core.gate().total_wait())
    }

    /// Who broke the rules of the transcript in this job, if anybody did.
    pub(crate) fn blame(&self) -> Option<Blame> {
        let inner = self.0.as_ref()?;
        inner.wire.as_ref()?.exchange.blame(&inner.job)
    }
}

/// This node's own failure to write.
pub(super) fn failed(transcript: &Transcript, error: &TranscriptError) -> Blame {
    Blame {
        culprit: Some(transcript.peer().id.clone()),
        code: "transcript_failed",
        reason: error.to_string(),
    }
}

/// Frames that came and that nobody awaited: the accounts of both ends would differ.
fn surplus(unread: &Unread, peer: NodeId) -> Blame {
    let Unread {
        tag,
        seq,
        authentic,
        ..
    } = unread;
    match authentic {
        true => Blame {
            reason: format!("`{peer}` sent `{tag}` (frame {seq}), which this job does not ask for"),
            culprit: Some(peer),
            code: "surplus_frame",
        },
        false => Blame {
            culprit: None,
            code: "forged_frame",
            reason: format!(
                "frame {seq} came under the name of `{peer}`, which did not seal it: the coordinator, which \
                 relays frames, made or altered it"
            ),
        },
    }
}

struct Watcher {
    inner: Inner,
    shared: Option<Arc<Shared>>,
}

impl StepWatcher for Watcher {
    fn began(&self, step: &str) -> Result<(), String> {
        let Inner {
            transcript, job, ..
        } = &self.inner;
        let begun = transcript.with(job.as_str(), |facts| {
            facts.cpu.push((step.to_owned(), cpu_seconds()));
        });
        // what training and release compute on shares uses what the helper deals; vector-OLE makes its own by
        // oblivious transfer
        let dealt = step == "corr" || step.starts_with("train") || step.starts_with("release/");
        let randomness = match step.split('/').next() {
            _ if dealt => "helper",
            Some("align") if transcript.matches_by_transfer(job.as_str()) => "ot",
            _ => "none",
        };
        let body = StepStarted {
            step: step.to_owned(),
            randomness: randomness.into(),
        };
        let written = begun.and_then(|()| transcript.write_soon(job.as_str(), body));
        written.map_err(|error| {
            if let Some(shared) = &self.shared {
                shared.accuse(job, &failed(transcript, &error));
            }
            error.to_string()
        })
    }
}
