//! `paripassu doctor`.

use std::{net::TcpListener, path::PathBuf};

use clap::Args;
use paripassu_party::config::PartyConfig;
use paripassu_proto::NodeId;
use paripassu_service::{clock::Clock, identity::Identity};
use serde::Serialize;

use super::{helper::HelperConfig, pki::validity};
use crate::{
    client::{Client, Connect},
    failure::{Exit, Failure},
    outcome::Outcome,
    screen::Screen,
    view::moment,
};

/// A certificate with less than this left is worth a warning.
const RENEW_SOON_S: i64 = 30 * 86_400;
/// Files a node may need open at once.
const FILES: u64 = 1_024;
/// 2025-01-01: a clock before that is not set.
const PLAUSIBLE: i64 = 1_735_689_600;

/// Check this machine, an identity, configurations and the way to the coordinator.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 nothing stands in the way, 3 something does.

Examples:
  paripassu doctor
  paripassu doctor --party bank.toml
  paripassu doctor --identity bank --coordinator 127.0.0.1:7443 --json")]
pub(crate) struct Doctor {
    /// Folder with node.crt, node.key and ca.crt
    #[arg(long, value_name = "DIR", env = "PARIPASSU_IDENTITY")]
    identity: Option<PathBuf>,
    /// Address of the coordinator, to reach with that identity
    #[arg(long, value_name = "HOST:PORT", env = "PARIPASSU_COORDINATOR")]
    coordinator: Option<String>,
    /// Accept the coordinator of this id only
    #[arg(long, value_name = "ID", env = "PARIPASSU_COORDINATOR_ID")]
    coordinator_id: Option<NodeId>,
    /// Configuration of a party node
    #[arg(long = "party", value_name = "FILE")]
    party_config: Option<PathBuf>,
    /// Configuration of a coordinator
    #[arg(long = "coordinator-config", value_name = "FILE")]
    coordinator_config: Option<PathBuf>,
    /// Configuration of a helper node
    #[arg(long = "helper", value_name = "FILE")]
    helper_config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Good,
    Warning,
    Bad,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    grade: Grade,
    detail: String,
}

impl Check {
    fn new(name: &'static str, grade: Grade, detail: impl Into<String>) -> Self {
        Self {
            name,
            grade,
            detail: detail.into(),
        }
    }

    fn of<T>(
        name: &'static str,
        result: Result<T, impl std::fmt::Display>,
        good: impl FnOnce(T) -> String,
    ) -> Self {
        match result {
            Ok(value) => Self::new(name, Grade::Good, good(value)),
            Err(error) => Self::new(name, Grade::Bad, error.to_string()),
        }
    }
}

impl Doctor {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let mut checks = vec![cpu(), cores(), clock(), files(), bind()];
        let mut identity = self.identity.clone();
        let mut coordinator = self.coordinator.clone();
        if let Some(path) = &self.party_config {
            let loaded = PartyConfig::load(path);
            if let Ok(config) = &loaded {
                identity.get_or_insert_with(|| config.identity.clone());
                coordinator.get_or_insert_with(|| config.coordinator.clone());
                checks.extend(datasets(config));
            }
            checks.push(Check::of("party configuration", loaded, |config| {
                format!("{}: {} data set(s)", path.display(), config.datasets.len())
            }));
        }
        if let Some(path) = &self.helper_config {
            let loaded = HelperConfig::load(path);
            if let Ok(config) = &loaded {
                identity.get_or_insert_with(|| config.identity.clone());
                coordinator.get_or_insert_with(|| config.coordinator.clone());
            }
            checks.push(Check::of("helper configuration", loaded, |_| {
                path.display().to_string()
            }));
        }
        if let Some(path) = &self.coordinator_config {
            let loaded = paripassu_coordinator::Config::load(path);
            if let Ok(config) = &loaded {
                identity.get_or_insert_with(|| config.identity.clone());
            }
            checks.push(Check::of("coordinator configuration", loaded, |config| {
                format!("{}: listens on {}", path.display(), config.listen)
            }));
        }
        if let Some(dir) = &identity {
            checks.push(certificate(dir));
        }
        if let (Some(address), Some(identity)) = (coordinator, identity) {
            let connect = Connect {
                coordinator: address,
                identity,
                coordinator_id: self.coordinator_id,
            };
            checks.push(reach(&connect).await);
        }
        let sound = checks.iter().all(|check| check.grade != Grade::Bad);
        let json = serde_json::json!({ "ok": sound, "checks": checks });
        let exit = if sound { Exit::Ok } else { Exit::Failed };
        Ok(Outcome::new(&json, text(&checks, screen))?.exit_with(exit))
    }
}

fn text(checks: &[Check], screen: &Screen) -> String {
    let paint = screen.out();
    let lines = checks.iter().map(|check| {
        let mark = match check.grade {
            Grade::Good => paint.good("✓"),
            Grade::Warning => paint.warn("!"),
            Grade::Bad => paint.bad("✗"),
        };
        format!(
            "{mark} {:<26} {}",
            check.name,
            check.detail.replace('\n', "\n  ")
        )
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn cpu() -> Check {
    #[cfg(target_arch = "x86_64")]
    {
        let has = [
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("aes", std::arch::is_x86_feature_detected!("aes")),
        ];
        let names: Vec<_> = has
            .iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| *name)
            .collect();
        let fast = ["avx2", "aes"].iter().all(|name| names.contains(name));
        let grade = if fast { Grade::Good } else { Grade::Warning };
        let detail = if fast {
            names.join(", ")
        } else {
            format!("{}: slower without avx2 and aes", names.join(", "))
        };
        Check::new("processor", grade, detail)
    }
    #[cfg(not(target_arch = "x86_64"))]
    Check::new("processor", Grade::Good, std::env::consts::ARCH)
}

fn cores() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let grade = if cores > 1 {
        Grade::Good
    } else {
        Grade::Warning
    };
    Check::new("cores", grade, cores.to_string())
}

fn clock() -> Check {
    let now = Clock::system().now();
    let detail = moment(now).unwrap_or_else(|| now.to_string());
    if now < PLAUSIBLE {
        let detail = format!("{detail}: not set; certificates will be refused");
        return Check::new("clock", Grade::Bad, detail);
    }
    Check::new("clock", Grade::Good, detail)
}

fn files() -> Check {
    const NAME: &str = "open files";
    let limit = std::fs::read_to_string("/proc/self/limits")
        .ok()
        .and_then(|text| {
            let line = text
                .lines()
                .find(|line| line.starts_with("Max open files"))?;
            line.split_whitespace().nth(3).map(str::to_owned)
        });
    match limit {
        None => Check::new(NAME, Grade::Good, "the limit cannot be read here"),
        Some(limit) => match limit.parse::<u64>() {
            Ok(files) if files < FILES => Check::new(
                NAME,
                Grade::Warning,
                format!("{files} at most: a coordinator may need more (`ulimit -n {FILES}`)"),
            ),
            _ => Check::new(NAME, Grade::Good, format!("{limit} at most")),
        },
    }
}

fn bind() -> Check {
    Check::of("loopback", TcpListener::bind(("127.0.0.1", 0)), |_| {
        "a port can be opened".to_owned()
    })
}

fn datasets(config: &PartyConfig) -> Vec<Check> {
    let readable = config.datasets.iter().map(|set| {
        let header = paripassu_model::table::CsvReader::open(&set.path, &set.columns);
        Check::of("data set", header, |_| {
            format!("{}: {} has every column", set.name, set.path.display())
        })
    });
    readable.collect()
}

fn certificate(dir: &std::path::Path) -> Check {
    const NAME: &str = "identity";
    let identity = match Identity::load(dir) {
        Ok(identity) => identity,
        Err(error) => return Check::new(NAME, Grade::Bad, error.to_string()),
    };
    let peer = identity.peer();
    let expiry = identity.chain().first().and_then(|leaf| {
        let (_, certificate) = x509_parser::parse_x509_certificate(leaf).ok()?;
        Some(certificate.validity().not_after.timestamp())
    });
    let until = validity(&identity).ok().and_then(|(_, until)| until);
    let until = until.unwrap_or_else(|| "?".to_owned());
    if expiry.is_some_and(|expiry| expiry - Clock::system().now() < RENEW_SOON_S) {
        let detail = format!("{peer}: valid only until {until}; request a new certificate");
        return Check::new(NAME, Grade::Warning, detail);
    }
    Check::new(NAME, Grade::Good, format!("{peer}, valid until {until}"))
}

async fn reach(connect: &Connect) -> Check {
    let nodes = async {
        let mut client = Client::connect(connect).await?;
        client.nodes().await
    };
    Check::of("coordinator", nodes.await, |nodes| {
        let connected: Vec<_> = nodes
            .iter()
            .filter(|node| node.connected)
            .map(|node| format!("{}/{}", node.kind, node.node))
            .collect();
        let who = if connected.is_empty() {
            "no node is connected".to_owned()
        } else {
            format!("connected: {}", connected.join(", "))
        };
        format!("{} answers; {who}", connect.coordinator)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::ColorWhen;

    fn doctor() -> Doctor {
        Doctor {
            identity: None,
            coordinator: None,
            coordinator_id: None,
            party_config: None,
            coordinator_config: None,
            helper_config: None,
        }
    }

    #[tokio::test]
    async fn a_missing_identity_and_configuration_are_red() {
        let screen = Screen::new(false, ColorWhen::Never);
        let bare = doctor().run(&screen).await.unwrap();
        assert_eq!(bare.exit(), Exit::Ok, "{}", bare.text());
        let dir = tempfile::tempdir().unwrap();
        let sick = Doctor {
            identity: Some(dir.path().to_owned()),
            party_config: Some(dir.path().join("party.toml")),
            ..doctor()
        };
        let out = sick.run(&screen).await.unwrap();
        assert_eq!(out.exit(), Exit::Failed);
        let red = out
            .text()
            .lines()
            .filter(|line| line.starts_with('✗'))
            .count();
        assert_eq!(red, 2, "{}", out.text());
    }
}
