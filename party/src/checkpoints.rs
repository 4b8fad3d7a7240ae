//! States of horizontal jobs after their last rounds, of trainings on shares after their last [points], and finished parts of
//! matches, kept so that another job can go on if a node is lost.
//!
//! One file a round or part in `checkpoints/JOB` of the state folder, sealed under a key that follows from this node's own key and
//! a fresh salt: whoever has the disk and not the key reads nothing. What the banks know together and what this
//! bank keeps to itself are in it, and of a match which of its own rows were found; what rows say, keys, masks and random
//! numbers are not. Of a training on shares it is this party's shares, which say nothing without the others'. Files are gone when the job, or one that
//! went on with it, is released, and after [`KEPT_DAYS`].

pub(crate) mod points;

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use paripassu_crypto::masking::{derive, fresh, open_once, seal_once};
use paripassu_job::{Contract, JobId};
use paripassu_protocol::{align::Keep, horizontal::course::State};
use paripassu_service::identity::Identity;
use zeroize::Zeroizing;

use crate::store::Store;

/// Which rounds of a job are kept: of the multiples of each of these the last so many. Where a bank is lost, the others may
/// be many rounds on before the job ends.
const KEPT: [(u32, usize); 3] = [(1, 4), (8, 6), (64, 6)];

/// Days after which what is kept of a job is destroyed.
pub(crate) const KEPT_DAYS: u64 = 30;

/// Most jobs that went on with one another whose states are looked for.
const MOST_BEHIND: usize = 100;

/// Longest file: a network of some million numbers.
const LONGEST: u64 = 1 << 30;

/// What is kept of one round.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoint {
    /// The digest that first parameters and turns of banks follow from.
    pub(crate) start: [u8; 32],
    /// Digest of the joint design that the state belongs to.
    pub(crate) design: [u8; 32],
    pub(crate) state: State,
}

/// The folder of checkpoints.
#[derive(Clone)]
pub(crate) struct Checkpoints {
    folder: PathBuf,
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Checkpoints {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Checkpoints({})", self.folder.display())
    }
}

fn name(round: u32) -> String {
    format!("{round:010}.state")
}

impl Checkpoints {
    pub(crate) fn new(state: &Path, identity: &Identity) -> Self {
        Self {
            folder: state.join("checkpoints"),
            key: identity.storage_key("checkpoints"),
        }
    }

    fn key_of(&self, salt: &[u8; 32], header: &[u8]) -> Zeroizing<[u8; 32]> {
        derive(&self.key, salt, &[header])
    }

    /// Keeps the state after a round, all or nothing, and lets go of rounds long past.
    ///
    /// # Errors
    /// Those of the disk; no randomness.
    pub(crate) fn keep(&self, job: &str, checkpoint: &Checkpoint) -> io::Result<()> {
        let (folder, round) = (self.folder.join(job), checkpoint.state.round);
        let mut text = Zeroizing::new(Vec::new());
        text.extend_from_slice(&checkpoint.start);
        text.extend_from_slice(&checkpoint.design);
        text.extend_from_slice(&(checkpoint.state.joint.len() as u64).to_le_bytes());
        text.extend_from_slice(&checkpoint.state.joint);
        text.extend_from_slice(&checkpoint.state.own);
        self.put(job, &name(round), &header(job, round), &text)?;
        for old in past(rounds(&folder)?) {
            fs::remove_file(folder.join(name(old)))?;
        }
        Ok(())
    }

    /// Keeps a file of a job, sealed, all or nothing.
    fn put(&self, job: &str, file: &str, header: &[u8], text: &[u8]) -> io::Result<()> {
        let folder = self.folder.join(job);
        fs::create_dir_all(&folder)?;
        let salt = fresh().map_err(io::Error::other)?;
        let sealed = seal_once(&self.key_of(&salt, header), header, text);
        let part = folder.join("part");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out = options.open(&part)?;
        out.write_all(&*salt)?;
        out.write_all(&sealed)?;
        out.sync_all()?;
        fs::rename(&part, folder.join(file))
    }

    /// A file of a job as it was kept.
    fn get(&self, job: &str, file: &str, header: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let path = self.folder.join(job).join(file);
        let fits = fs::metadata(&path).is_ok_and(|of| of.len() <= LONGEST);
        let bytes = fits.then(|| fs::read(&path).ok())??;
        let (salt, sealed) = bytes.split_first_chunk::<32>()?;
        let opened = open_once(&self.key_of(salt, header), header, sealed);
        if opened.is_err() {
            tracing::warn!(
                job,
                file,
                "a checkpoint cannot be opened: was the node's key renewed?"
            );
        }
        Some(Zeroizing::new(opened.ok()?.to_vec()))
    }

    /// What is kept of a job, the latest round last. What cannot be read, as under another key of the node, is not there.
    pub(crate) fn held(&self, job: &str) -> Vec<Checkpoint> {
        let folder = self.folder.join(job);
        let mut rounds = rounds(&folder).unwrap_or_default();
        rounds.sort_unstable();
        let read = |round: &u32| self.read(job, *round);
        rounds.iter().filter_map(read).collect()
    }

    fn read(&self, job: &str, round: u32) -> Option<Checkpoint> {
        let text = self.get(job, &name(round), &header(job, round))?;
        let (start, rest) = text.split_first_chunk::<32>()?;
        let (design, rest) = rest.split_first_chunk::<32>()?;
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (joint, own) =
            rest.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        Some(Checkpoint {
            start: *start,
            design: *design,
            state: State {
                round,
                joint: joint.to_vec(),
                own: Zeroizing::new(own.to_vec()),
            },
        })
    }

    /// Destroys what is kept of a job; how many files that were.
    pub(crate) fn erase(&self, job: &str) -> u64 {
        let folder = self.folder.join(job);
        let held = fs::read_dir(&folder).map_or(0, |files| files.count() as u64);
        match fs::remove_dir_all(&folder) {
            Ok(()) => held,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                tracing::error!(job, %error, "checkpoints could not be destroyed");
                0
            }
        }
    }

    /// Destroys what is kept of jobs whose last round is long past.
    pub(crate) fn erase_old(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        let most = Duration::from_secs(KEPT_DAYS * 86_400);
        for entry in entries.flatten() {
            let written = entry.metadata().and_then(|of| of.modified());
            let age = written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if let (true, Some(job)) = (age.is_ok_and(|age| age > most), entry.file_name().to_str())
            {
                self.erase(job);
            }
        }
    }
}

/// Which of these rounds are of no use any more.
fn past(mut rounds: Vec<u32>) -> Vec<u32> {
    rounds.sort_unstable_by(|a, b| b.cmp(a));
    let last = |(every, many): (u32, usize)| -> Vec<u32> {
        let of = rounds.iter().copied().filter(|round| round % every == 0);
        of.take(many).collect()
    };
    let kept: Vec<u32> = KEPT.into_iter().flat_map(last).collect();
    rounds.retain(|round| !kept.contains(round));
    rounds
}

fn header(job: &str, round: u32) -> Vec<u8> {
    format!("paripassu/v1 checkpoint of {job} after {round}").into_bytes()
}

fn rounds(folder: &Path) -> io::Result<Vec<u32>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.file_name();
        let round = file.to_str().and_then(|name| name.strip_suffix(".state"));
        all.extend(round.and_then(|round| round.parse::<u32>().ok()));
    }
    Ok(all)
}

/// Whether this party could go on with the aborted job that a contract names.
///
/// # Errors
/// A sentence for the modeler.
pub(crate) fn goes_on(store: &Store, contract: &Contract) -> Result<(), String> {
    before(store, contract).map(drop)
}

/// The job that this one goes on with, if it names one and may go on with it.
fn before(store: &Store, contract: &Contract) -> Result<Option<(String, Contract)>, String> {
    let Some((key, job)) = contract.spec().resumed() else {
        return Ok(None);
    };
    let text = |e: crate::store::Failed| e.to_string();
    let kept = store.contract(&job.to_string()).map_err(text)?;
    let state = store.job(&job.to_string()).map_err(text)?;
    let (Some(kept), Some(row)) = (kept, state) else {
        return Err(format!("{key}: this party knows no job {job}"));
    };
    if row.state != "aborted" {
        return Err(format!(
            "{key}: job {job} is {}, and only an aborted one can be gone on with",
            row.state
        ));
    }
    let aborted = Contract::parse(&kept).map_err(|e| e.to_string())?;
    let same =
        contract.spec().goes_on_from(aborted.spec()) && contract.parties() == aborted.parties();
    match same {
        true => Ok(Some((job.to_string(), aborted))),
        false => Err(format!(
            "{key}: job {job} was of other parties, columns or model; only name, last day, limits, \
             solver.max_passes and the helper may differ (`paripassu job resume` makes such a job)"
        )),
    }
}

/// A job that this one goes on with, where there is one.
pub(crate) fn resumed(contract: &Contract) -> Option<&JobId> {
    contract.spec().resumed().map(|(_, job)| job)
}

/// The jobs that this one goes on with, directly or by way of one another, the last first: each as [`goes_on`] asks. A contract
/// that was stored and never begun may name any job.
pub(crate) fn behind(contract: &Contract, store: &Store) -> Vec<String> {
    let mut all = Vec::new();
    let mut next = before(store, contract);
    while let Ok(Some((job, aborted))) = next
        && all.len() < MOST_BEHIND
        && !all.contains(&job)
    {
        all.push(job);
        next = before(store, &aborted);
    }
    all
}

/// Parts of one job's match.
pub(crate) struct OfMatch {
    pub(crate) checkpoints: Checkpoints,
    pub(crate) job: String,
}

impl Keep for OfMatch {
    fn keep(&self, part: u32, text: &[u8]) -> io::Result<()> {
        let header = header_of_match(&self.job, part);
        self.checkpoints
            .put(&self.job, &name_of_match(part), &header, text)
    }

    fn kept(&self, part: u32) -> Option<Zeroizing<Vec<u8>>> {
        let header = header_of_match(&self.job, part);
        self.checkpoints
            .get(&self.job, &name_of_match(part), &header)
    }
}

fn name_of_match(part: u32) -> String {
    format!("{part:010}.match")
}

fn header_of_match(job: &str, part: u32) -> Vec<u8> {
    format!("paripassu/v1 part {part} of the match of {job}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(round: u32) -> Checkpoint {
        Checkpoint {
            start: [1; 32],
            design: [2; 32],
            state: State {
                round,
                joint: b"what all banks know".repeat(3),
                own: Zeroizing::new(b"what stays at home".to_vec()),
            },
        }
    }

    pub(super) fn checkpoints(folder: &Path, key: u8) -> Checkpoints {
        Checkpoints {
            folder: folder.to_owned(),
            key: Zeroizing::new([key; 32]),
        }
    }

    #[test]
    fn of_rounds_long_past_a_few_are_kept() {
        let mut all = Vec::new();
        for round in 1..=1000 {
            all.push(round);
            let gone = past(all.clone());
            all.retain(|r| !gone.contains(r));
            assert!(all.len() <= paripassu_protocol::horizontal::course::MOST_HELD);
            // a bank that stopped 40 rounds ago goes back by 8 at most
            let then = round.saturating_sub(40);
            assert!(
                then < 8 || all.iter().any(|r| *r <= then && r + 8 >= then),
                "{round}: {all:?}"
            );
        }
    }

    #[test]
    fn jobs_are_behind_one_another_where_each_could_be_gone_on_with() {
        use paripassu_job::{
            Spec, Submitter, Timestamp,
            spec::{TemplateKind, template},
        };
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let known = |number: u8, before: Option<u8>, l2: &str, state: &str| {
            let id = |number| JobId::from_bytes([number; 16]);
            let text = template(TemplateKind::VerticalLogistic);
            let mut spec = Spec::from_toml(&text.replace("l2 = 1.0", l2), "job.toml").unwrap();
            spec.resume(before.map(id));
            let user = Submitter::user("modeler".parse().unwrap());
            let at = Timestamp::from_unix(1_772_323_200).unwrap();
            let contract = Contract::new(spec, id(number), at, user).unwrap();
            let (job, text) = (id(number).to_string(), contract.canonical().as_bytes());
            let digest = contract.digest();
            let kept = store.proposed(&job, digest.as_bytes(), text, "modeler", 1);
            kept.unwrap();
            store.state(&job, state, "", "", 2).unwrap();
            contract
        };
        let jobs = |numbers: &[u8]| -> Vec<String> {
            let all = numbers.iter().map(|n| JobId::from_bytes([*n; 16]));
            all.map(|job| job.to_string()).collect()
        };
        known(1, None, "l2 = 1.0", "aborted");
        known(2, Some(1), "l2 = 1.0", "aborted");
        let third = known(3, Some(2), "l2 = 1.0", "proposed");
        assert_eq!(behind(&third, &store), jobs(&[2, 1]));
        // one that still runs, and one of another model, are nothing to go on with
        known(4, None, "l2 = 1.0", "training");
        known(5, Some(4), "l2 = 1.0", "aborted");
        let after = known(6, Some(5), "l2 = 1.0", "proposed");
        assert_eq!(behind(&after, &store), jobs(&[5]));
        known(7, None, "l2 = 2.0", "aborted");
        known(8, Some(7), "l2 = 1.0", "aborted");
        let after = known(9, Some(8), "l2 = 1.0", "proposed");
        assert_eq!(behind(&after, &store), jobs(&[8]));
        // nor do two that name each other make a circle
        known(10, Some(11), "l2 = 1.0", "aborted");
        let circle = known(11, Some(10), "l2 = 1.0", "aborted");
        assert_eq!(behind(&circle, &store), jobs(&[10, 11]));
    }

    #[test]
    fn parts_of_a_match_are_kept_sealed_and_belong_to_their_job_and_place() {
        let dir = tempfile::tempdir().unwrap();
        let of = |job: &str, key| OfMatch {
            checkpoints: checkpoints(dir.path(), key),
            job: job.to_owned(),
        };
        let own = of("job", 1);
        assert!(own.kept(0).is_none());
        for part in [0, 7, u32::MAX] {
            own.keep(part, format!("rows of part {part}").as_bytes())
                .unwrap();
        }
        assert_eq!(own.kept(7).unwrap()[..], b"rows of part 7"[..]);
        assert!(of("other", 1).kept(7).is_none() && of("job", 2).kept(7).is_none());
        let file = |part| dir.path().join("job").join(name_of_match(part));
        let bytes = fs::read(file(7)).unwrap();
        assert!(!bytes.windows(7).any(|w| w == b"rows of"));
        fs::copy(file(7), file(0)).unwrap();
        assert!(own.kept(0).is_none(), "another part's place");
        // rounds are something else
        assert!(own.checkpoints.held("job").is_empty());
        assert_eq!(own.checkpoints.erase("job"), 3);
        assert!(own.kept(7).is_none());
    }

    #[test]
    fn the_last_rounds_are_kept_sealed_and_are_gone_when_erased() {
        let dir = tempfile::tempdir().unwrap();
        let kept = checkpoints(dir.path(), 1);
        assert_eq!(
            format!("{kept:?}"),
            format!("Checkpoints({})", dir.path().display())
        );
        assert!(kept.held("job").is_empty());
        for round in 4..=9 {
            kept.keep("job", &at(round)).unwrap();
        }
        let held = kept.held("job");
        let rounds: Vec<u32> = held.iter().map(|c| c.state.round).collect();
        assert_eq!(rounds, [6, 7, 8, 9]);
        assert_eq!(
            (held[3].state.clone(), held[3].start),
            (at(9).state, [1; 32])
        );
        for entry in fs::read_dir(dir.path().join("job")).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            for plain in [&b"what all"[..], b"what stays"] {
                assert!(!bytes.windows(plain.len()).any(|w| w == plain));
            }
        }
        // another node's key, another job's or round's file, an altered one: not there
        assert!(checkpoints(dir.path(), 2).held("job").is_empty());
        let of = |job: &str, round| dir.path().join(job).join(name(round));
        fs::create_dir(dir.path().join("other")).unwrap();
        fs::copy(of("job", 9), of("other", 9)).unwrap();
        fs::copy(of("job", 9), of("job", 8)).unwrap();
        let mut bytes = fs::read(of("job", 7)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(of("job", 7), bytes).unwrap();
        fs::write(of("job", 6), b"short").unwrap();
        assert!(kept.held("other").is_empty());
        let rounds: Vec<u32> = kept.held("job").iter().map(|c| c.state.round).collect();
        assert_eq!(rounds, [9]);
        assert_eq!((kept.erase("job"), kept.erase("job")), (4, 0));
        kept.erase_old();
        assert!(!dir.path().join("job").exists() && dir.path().join("other").exists());
    }
}
