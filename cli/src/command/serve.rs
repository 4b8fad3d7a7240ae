//! What the three serving commands share: logging, signals, the ready file.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use paripassu_service::{
    shutdown::Shutdown,
    telemetry::{self, LogFormat},
};
use serde::Serialize;

use crate::{command::write_whole, failure::Failure};

/// How a node is run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Serving {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Write {"address": ..} to this file once the node is up
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Log lines on standard error: text for people, or one JSON object a line
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: Format,
    /// What is logged: error, warn, info, debug, or per module (PARIPASSU_LOG overrides)
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log: String,
    /// Stop when standard input closes, so that the node ends with the process that started it
    #[arg(long, hide = true)]
    pub(crate) until_stdin_closes: bool,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What a ready file holds.
#[derive(Debug, Serialize)]
pub(crate) struct Ready<'a> {
    /// Where the coordinator listens.
    pub(crate) address: &'a str,
    /// `kind/id` of the node.
    pub(crate) node: String,
    /// Process id.
    pub(crate) pid: u32,
}

impl Serving {
    /// Sets logging up and watches for what may end the node.
    pub(crate) fn begin(&self) -> Result<Shutdown, Failure> {
        let format = match self.log_format {
            Format::Text => LogFormat::Text,
            Format::Json => LogFormat::Json,
        };
        telemetry::init(&self.log, format)?;
        let shutdown = Shutdown::on_signals()
            .map_err(|e| Failure::ours(format!("cannot watch for signals: {e}")))?;
        if self.until_stdin_closes {
            let shutdown = shutdown.clone();
            // A thread of its own: a blocking read of standard input cannot be cancelled.
            std::thread::spawn(move || {
                let mut rest = Vec::new();
                if let Err(error) = std::io::stdin().read_to_end(&mut rest) {
                    tracing::debug!(%error, "standard input cannot be read");
                }
                shutdown.ask();
            });
        }
        if let Some(path) = &self.ready_file {
            clear(path)?;
        }
        Ok(shutdown)
    }

    /// The node is up.
    pub(crate) fn ready(&self, ready: &Ready<'_>) -> Result<(), Failure> {
        match &self.ready_file {
            Some(path) => write_whole(path, serde_json::json!(ready).to_string().as_bytes()),
            None => Ok(()),
        }
    }

    /// The node is down: nobody should find a ready file any more.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        self.ready_file.as_deref().map_or(Ok(()), clear)
    }
}

fn clear(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::file("remove", path, &e))
        }
        _ => Ok(()),
    }
}
