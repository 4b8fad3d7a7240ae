//! Long jobs, and jobs written through real logs on disk and real witnesses.

use super::*;

impl World {
    /// Adds steps until all logs together have about `events` events.
    pub(crate) fn lengthen(&mut self, events: usize) {
        let now: usize = self
            .scripts
            .iter()
            .map(|s| s.before.len() + s.after.len() + 2)
            .sum();
        let steps = events.saturating_sub(now).div_ceil(6);
        self.more_steps = (0..steps)
            .map(|number| format!("extra/pass-{number}"))
            .collect();
        let ids = ["bank", "partner", "coordinator"];
        for script in &mut self.scripts {
            let end = script.after.pop().unwrap();
            let id = script.person.id;
            for number in 0..steps {
                let step = format!("extra/pass-{number}");
                let peers = ids.iter().filter(|peer| **peer != id);
                let finished = StepFinished {
                    step: step.clone(),
                    wall_s: "0.5".into(),
                    cpu_s: "0.25".into(),
                    peers: peers
                        .map(|peer| PeerFlow {
                            peer: (*peer).into(),
                            sent: frames(&step, id, peer).flow(),
                            received: frames(&step, peer, id).flow(),
                        })
                        .collect(),
                };
                let started = StepStarted {
                    step,
                    randomness: "helper".into(),
                };
                for body in [Body::from(started), finished.into()] {
                    script
                        .after
                        .push(Draft::new(JOB, script.role, id, end.at, body));
                }
            }
            script.after.push(end);
            for draft in &mut script.after {
                if let Body::RunCompleted(done) = &mut draft.body {
                    done.steps += steps as u64;
                }
            }
        }
    }

    /// As [`World::bundle`], through real logs on disk and real witnesses.
    pub(crate) fn bundle_from_disk(&self, folder: &Path) -> Bundle {
        let signer = |script: &Script| Arc::new(script.person.signer());
        let logs: Vec<_> = self
            .scripts
            .iter()
            .map(|script| {
                let dir = folder.join(script.person.id).join("transcript");
                let opened = Log::open(&dir, &script.person.origin(), signer(script));
                opened.unwrap().0
            })
            .collect();
        let witnesses: Vec<_> = self
            .scripts
            .iter()
            .map(|script| {
                let dir = folder.join(script.person.id).join("witness");
                Witness::open(&dir, &script.person.origin(), signer(script)).unwrap()
            })
            .collect();
        let mut seen = vec![0; logs.len()];
        let mut witnessed = |time: i64| -> Vec<SignedCheckpoint> {
            let mut heads = Vec::new();
            for (place, log) in logs.iter().enumerate() {
                let mut head = log.checkpoint().unwrap();
                let size = head.checkpoint().size();
                let key = log.keys().unwrap().remove(0);
                let proof = match seen[place] {
                    0 => Vec::new(),
                    old => log.consistency(old, size).unwrap(),
                };
                for (_, witness) in witnesses.iter().enumerate().filter(|(w, _)| *w != place) {
                    let line = witness
                        .cosign(&head.to_string(), &proof, &key, time as u64)
                        .unwrap();
                    head.add(line, witness.key()).unwrap();
                }
                seen[place] = size;
                heads.push(head);
            }
            heads
        };
        let end = START + 600;
        let append = |draft: &Draft, log: &Log, script: &Script| {
            draft.append_unsynced(log, &script.person.signer()).unwrap();
        };
        for (script, log) in self.scripts.iter().zip(&logs) {
            for draft in script.started.iter().chain(&script.before) {
                append(draft, log, script);
            }
            log.sync().unwrap();
        }
        let mut earlier = vec![witnessed(START + 60)];
        // all go on together, and stop wherever one of them has opened something
        let longest = self.scripts.iter().map(|s| s.after.len()).max().unwrap();
        for number in 0..longest {
            let mut opened = false;
            for (script, log) in self.scripts.iter().zip(&logs) {
                let Some(draft) = script.after.get(number) else {
                    continue;
                };
                append(draft, log, script);
                opened |= matches!(draft.body, Body::Disclosure(_));
            }
            if opened {
                earlier.push(witnessed(end));
            }
        }
        logs.iter().for_each(|log| log.sync().unwrap());
        let last = witnessed(end);
        let parts = logs.iter().zip(&self.scripts).enumerate();
        let parts = parts.map(|(place, (log, script))| {
            let own = script.person.id == "bank";
            let certificates = [script.person.pem.clone()];
            let of_log: Vec<_> = earlier.iter().map(|heads| heads[place].clone()).collect();
            LogPart::of_log(log, JOB, &certificates, &last[place], &of_log, own).unwrap()
        });
        Bundle {
            logs: parts.collect(),
            ..self.frame()
        }
    }
}
