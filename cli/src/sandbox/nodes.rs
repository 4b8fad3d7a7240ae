//! The processes: started, waited for, and always ended.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use super::{layout::Layout, setup::Setup};
use crate::{failure::Failure, screen::Screen};

/// Longest wait for a process to be up.
const START: Duration = Duration::from_secs(30);
/// Longest wait for a process to end by itself.
const STOP: Duration = Duration::from_secs(5);
/// Lines of a log that are shown when its process fails.
const TAIL: usize = 8;

/// The processes of a sandbox. Dropping it kills what still runs.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    running: Vec<Process>,
    address: String,
}

#[derive(Debug)]
struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ready: PathBuf,
}

#[derive(Deserialize)]
struct Ready {
    address: String,
}

impl Nodes {
    /// The coordinator's address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Starts the coordinator, then all others, and waits until everyone is connected.
    pub(crate) async fn start_all(
        &mut self,
        setup: &Setup,
        layout: &Layout,
        screen: &Screen,
    ) -> Result<(), Failure> {
        let coordinator = setup.coordinator.as_str();
        let config = setup.coordinator_config(layout)?;
        self.spawn("coordinator", coordinator, &config, layout)?;
        self.address = self.wait_ready(0).await?;
        if setup.separate_helper {
            let config = setup.helper_config(layout, &self.address)?;
            self.spawn("helper", setup.spec.helper.id.as_str(), &config, layout)?;
        }
        for source in &setup.parties {
            let config = setup.party_config(layout, source, &self.address)?;
            self.spawn("party", source.party.id.as_str(), &config, layout)?;
        }
        for at in 1..self.running.len() {
            self.wait_ready(at).await?;
        }
        let names: Vec<_> = self
            .running
            .iter()
            .map(|process| match process.child.id() {
                Some(id) => format!("{} {id}", process.name),
                None => process.name.clone(),
            })
            .collect();
        screen.say(format_args!(
            "{} processes on {}: {}",
            names.len(),
            self.address,
            names.join(", ")
        ));
        Ok(())
    }

    fn spawn(
        &mut self,
        kind: &str,
        name: &str,
        config: &Path,
        layout: &Layout,
    ) -> Result<(), Failure> {
        let program = std::env::current_exe()
            .map_err(|e| Failure::ours(format!("cannot find this program's file: {e}")))?;
        let log = layout.log(name);
        let ready = layout.node(name).join("ready.json");
        let file = std::fs::File::create(&log).map_err(|e| Failure::file("write", &log, &e))?;
        let again = file
            .try_clone()
            .map_err(|e| Failure::file("write", &log, &e))?;
        let child = Command::new(&program)
            .arg(kind)
            .arg("serve")
            .arg("--config")
            .arg(config)
            .arg("--ready-file")
            .arg(&ready)
            .arg("--until-stdin-closes")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(again)
            // A Ctrl-C at the terminal is for this process, which then ends the others in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| Failure::ours(format!("cannot start {}: {e}", program.display())))?;
        self.running.push(Process {
            name: name.to_owned(),
            child,
            log,
            ready,
        });
        Ok(())
    }

    /// Waits until the process has written its ready file; returns the address in it.
    async fn wait_ready(&mut self, at: usize) -> Result<String, Failure> {
        let deadline = Instant::now() + START;
        let process = self
            .running
            .get_mut(at)
            .ok_or_else(|| Failure::ours("no such process"))?;
        loop {
            let ready = std::fs::read(&process.ready)
                .ok()
                .and_then(|text| serde_json::from_slice::<Ready>(&text).ok());
            if let Some(ready) = ready {
                return Ok(ready.address);
            }
            let ended = process.child.try_wait().map_err(Failure::ours)?;
            let what = match ended {
                Some(status) => format!("ended at once ({status})"),
                None if Instant::now() > deadline => {
                    format!("is not up after {} s", START.as_secs())
                }
                None => {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            return Err(Failure::ours(format!(
                "node {} {what}; the end of {}:\n{}",
                process.name,
                process.log.display(),
                tail(&process.log)
            )));
        }
    }

    /// Ends all: asks first, parties before the coordinator, and kills what does not end.
    pub(crate) async fn stop(&mut self) {
        while let Some(mut process) = self.running.pop() {
            drop(process.child.stdin.take());
            if !matches!(timeout(STOP, process.child.wait()).await, Ok(Ok(_)))
                && let Err(error) = process.child.kill().await
            {
                tracing::warn!(node = process.name, %error, "cannot be stopped");
            }
        }
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL);
    let last = lines.get(from..).unwrap_or_default();
    last.iter().map(|line| format!("  {line}\n")).collect()
}
