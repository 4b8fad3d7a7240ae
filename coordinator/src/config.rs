//! The coordinator's configuration file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use paripassu_service::{tls::Suite, transport::Settings};
use serde::{Deserialize, Serialize};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Parse {
        /// Which.
        path: PathBuf,
        /// The parser's words, with line and column.
        reason: String,
    },
}

/// The coordinator's configuration.
///
/// ```
/// let config = paripassu_coordinator::Config::parse(
///     r#"
///     listen = "0.0.0.0:7443"
///     identity = "pki/coordinator"
///     state = "state/coordinator"
///     helper = true
///
///     [deadlines]
///     connect_s = 600
///     "#,
/// )
/// .unwrap();
/// assert_eq!(config.deadlines.connect_s, 600);
/// assert_eq!(config.deadlines.grace_s, 20);
/// assert!(paripassu_coordinator::Config::parse("listen = '0.0.0.0:1'\nhelpr = true").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `host:port` to listen on; port 0 takes a free one.
    pub listen: String,
    /// Directory with `node.crt`, `node.key`, `ca.crt` and, if any, `crl.pem`.
    pub identity: PathBuf,
    /// Directory for the database.
    pub state: PathBuf,
    /// Whether this coordinator deals correlated randomness itself.
    #[serde(default)]
    pub helper: bool,
    /// Cipher suites of connections, the preferred one first.
    #[serde(default = "all_suites")]
    pub tls_suites: Vec<Suite>,
    /// How long to wait for what.
    #[serde(default)]
    pub deadlines: Deadlines,
}

fn all_suites() -> Vec<Suite> {
    Suite::ALL.to_vec()
}

/// How long the coordinator waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Deadlines {
    /// Seconds an approved job waits for all its nodes to be connected.
    pub connect_s: u64,
    /// Seconds a node's connection may be lost before its jobs are aborted.
    pub grace_s: u64,
    /// Seconds that a renewed key waits for a moment without jobs; then approved jobs wait until those under way have ended,
    /// and the key changes.
    pub key_patience_s: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect_s: 300,
            grace_s: 20,
            key_patience_s: paripassu_service::transport::KEY_PATIENCE.as_secs(),
        }
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The parser's words, with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        if config.tls_suites.is_empty() {
            return Err("`tls_suites` is empty: name at least one, or leave the key out".into());
        }
        Ok(config)
    }

    /// Reads a configuration file; relative paths in it are relative to the file.
    ///
    /// # Errors
    /// Names the file, line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut config = Self::parse(&text).map_err(|reason| ConfigError::Parse {
            path: path.to_owned(),
            reason,
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        for dir in [&mut config.identity, &mut config.state] {
            *dir = base.join(&*dir);
        }
        Ok(config)
    }

    /// The transport's settings.
    pub fn settings(&self) -> Settings {
        Settings {
            grace: Duration::from_secs(self.deadlines.grace_s),
            suites: self.tls_suites.clone(),
            ..Settings::default()
        }
    }
}
