//! A consortium of real processes: certificates and configurations made with the program itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{Said, paripassu, run, wait_for};

/// Longest wait for a node to be up.
const START: Duration = Duration::from_secs(20);

/// A consortium with a coordinator that is also the helper; killed when dropped.
pub struct Rig {
    dir: TempDir,
    nodes: Vec<(String, Child)>,
    address: String,
}

impl Drop for Rig {
    fn drop(&mut self) {
        for (_, node) in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
        // what the nodes said is gone with the folder
        if std::thread::panicking() {
            for (id, _) in &self.nodes {
                let log = fs::read_to_string(self.log_path(id)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let last = lines.len().saturating_sub(30);
                eprintln!("\nlast words of {id}:\n{}", lines[last..].join("\n"));
            }
        }
    }
}

impl Rig {
    /// An authority, a modeler, and a running coordinator.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut rig = Self {
            dir,
            nodes: Vec::new(),
            address: String::new(),
        };
        let ca = rig.path("ca");
        assert_eq!(
            run([
                "pki".as_ref(),
                "init".as_ref(),
                "--dir".as_ref(),
                ca.as_os_str()
            ])
            .code,
            0
        );
        rig.enrol("coordinator/hub");
        rig.enrol("user/modeler");
        let config = rig.write(
            "hub.toml",
            "listen = \"127.0.0.1:0\"\nidentity = \"hub\"\nstate = \"hub/state\"\nhelper = true\n\
             [deadlines]\nconnect_s = 60\ngrace_s = 2\n",
        );
        rig.start("coordinator", "hub", &config);
        rig
    }

    /// A file or folder of the rig.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file of the rig.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Where the coordinator listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes an identity in the folder of its id.
    pub fn enrol(&self, who: &str) -> PathBuf {
        let (_, id) = who.split_once('/').unwrap();
        let dir = self.path(id);
        self.sign(who, &dir, &self.path("ca"));
        dir
    }

    /// Makes an identity in `dir`, signed by the authority in `ca`.
    pub fn sign(&self, who: &str, dir: &Path, ca: &Path) {
        let said: Said = paripassu()
            .args(["pki", "request", "--as", who, "--dir"])
            .arg(dir)
            .output()
            .unwrap()
            .into();
        assert_eq!(said.code, 0, "{said:?}");
        let said: Said = paripassu()
            .args(["pki", "sign", "--as", who])
            .arg(dir.join("node.csr"))
            .arg("--ca")
            .arg(ca)
            .arg("--out")
            .arg(dir.join("node.crt"))
            .output()
            .unwrap()
            .into();
        assert_eq!(said.code, 0, "{said:?}");
        for file in ["ca.crt", "crl.pem"] {
            fs::copy(ca.join(file), dir.join(file)).unwrap();
        }
    }

    /// A party's configuration over one data set called `table`.
    pub fn party_config(&self, id: &str, csv: &Path, columns: &str) -> PathBuf {
        let text = format!(
            "coordinator = {:?}\ncoordinator_id = \"hub\"\nidentity = {id:?}\n\
             state = \"{id}/state\"\nresults = \"{id}/results\"\n\
             [[dataset]]\nname = \"table\"\npath = {:?}\n{columns}",
            self.address,
            csv.display().to_string()
        );
        self.write(&format!("{id}.toml"), &text)
    }

    /// Enrols and starts a party.
    pub fn party(&mut self, id: &str, csv: &Path, columns: &str) {
        self.enrol(&format!("party/{id}"));
        let config = self.party_config(id, csv, columns);
        self.start("party", id, &config);
    }

    /// Starts a node and waits until it is up.
    pub fn start(&mut self, kind: &str, id: &str, config: &Path) {
        let ready = self.ready_path(id);
        let mut command = paripassu();
        command
            .args([kind, "serve", "--config"])
            .arg(config)
            .arg("--ready-file")
            .arg(&ready);
        self.start_as(kind, id, command);
    }

    /// The file that a node writes when it is up.
    pub fn ready_path(&self, id: &str) -> PathBuf {
        self.path(&format!("{id}.ready.json"))
    }

    /// Starts a node by a command of one's own and waits until it has written its ready file.
    pub fn start_as(&mut self, kind: &str, id: &str, mut command: Command) {
        let ready = self.ready_path(id);
        // left by one that was killed
        let _ = fs::remove_file(&ready);
        let log = fs::File::create(self.log_path(id)).unwrap();
        let mut child = command
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let log = self.log_path(id);
        wait_for(&format!("start of {id}"), START, || {
            let ended = child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "{id}: {}",
                fs::read_to_string(&log).unwrap()
            );
            ready.exists()
        });
        if kind == "coordinator" {
            let told: Value = serde_json::from_slice(&fs::read(&ready).unwrap()).unwrap();
            self.address = told["address"].as_str().unwrap().to_owned();
        }
        // a node that was killed and comes back
        self.nodes.retain(|(name, _)| name != id);
        self.nodes.push((id.to_owned(), child));
    }

    fn log_path(&self, id: &str) -> PathBuf {
        self.path(&format!("{id}.log"))
    }

    /// What a node has logged.
    pub fn log(&self, id: &str) -> String {
        fs::read_to_string(self.log_path(id)).unwrap()
    }

    /// Ends a node as its operator would, and waits for it.
    pub fn stop(&mut self, id: &str) {
        let (_, node) = self.nodes.iter_mut().find(|(name, _)| name == id).unwrap();
        let told = Command::new("kill")
            .args(["-TERM", &node.id().to_string()])
            .status();
        assert!(told.unwrap().success());
        node.wait().unwrap();
    }

    /// Kills a node at once, as a power cut would.
    pub fn kill(&mut self, id: &str) {
        let (_, node) = self.nodes.iter_mut().find(|(name, _)| name == id).unwrap();
        node.kill().unwrap();
        node.wait().unwrap();
    }

    /// Sends a node a signal, such as `STOP` or `CONT`.
    pub fn signal(&self, id: &str, signal: &str) {
        let (_, node) = self.nodes.iter().find(|(name, _)| name == id).unwrap();
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(node.id().to_string());
        assert!(kill.status().unwrap().success());
    }

    /// `paripassu job ARGS`, as the owner of the identity in the folder `who`.
    pub fn job(&self, who: &str, args: &[&str]) -> Said {
        paripassu()
            .arg("job")
            .args(args)
            .args(["--coordinator", &self.address, "--identity"])
            .arg(self.path(who))
            .output()
            .unwrap()
            .into()
    }

    /// Proposes a job; returns its id.
    pub fn submit(&self, spec: &str) -> String {
        let file = self.write("job.toml", spec);
        let said = self.job("modeler", &["submit", file.to_str().unwrap()]);
        assert_eq!(said.code, 0, "{said:?}");
        said.out.trim().to_owned()
    }

    /// The digest of a job's contract as a party's officer reads it.
    pub fn digest(&self, party: &str, job: &str) -> String {
        let shown = self.job(party, &["show", job, "--json"]);
        assert_eq!(shown.code, 0, "{shown:?}");
        shown.json()["digest"].as_str().unwrap().to_owned()
    }

    /// Approves a job for a party, by its contract's digest.
    #[track_caller]
    pub fn approve(&self, party: &str, job: &str) {
        let digest = self.digest(party, job);
        let said = self.job(party, &["approve", job, "--contract", &digest]);
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Proposes a job, approves it for both parties, and watches it to its end.
    pub fn whole_job(&self, spec: &str) -> Said {
        let job = self.submit(spec);
        for party in ["bank", "partner"] {
            self.approve(party, &job);
        }
        self.job("modeler", &["watch", &job, "--json", "--timeout", "120"])
    }
}

/// A job of bank and partner over data sets called `table`, with `more` after it.
pub fn spec(more: &str) -> String {
    format!(
        "name = \"test\"\npurpose = \"test\"\nlegal_basis = \"test\"\n\
         [[party]]\nid = \"bank\"\nrole = \"label\"\ndataset = \"table\"\ncolumns = \"all\"\n\
         [[party]]\nid = \"partner\"\nrole = \"features\"\ndataset = \"table\"\ncolumns = \"all\"\n\
         [helper]\nid = \"hub\"\n\
         [outputs]\nscores = {{ to = \"bank\" }}\nmetrics_to = [\"bank\", \"partner\"]\n{more}"
    )
}
