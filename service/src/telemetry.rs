//! Logging to standard error: life cycle and sizes, never payloads.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For a person.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter cannot be read.
    #[error("`{filter}` is not a log filter; try `info` or `paripassu_service=debug`")]
    Filter {
        /// What was given.
        filter: String,
    },
    /// Another subscriber is set already.
    #[error("logging is set up twice in this process")]
    Twice,
}

/// Sets up logging for the process. `PARIPASSU_LOG` overrides `filter`.
///
/// # Errors
/// When the filter cannot be read or logging was set up before.
pub fn init(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let filter = std::env::var("PARIPASSU_LOG").unwrap_or_else(|_| filter.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|_| TelemetryError::Filter { filter })?;
    let layer = fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(parsed);
    let set = match format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json()).try_init(),
    };
    set.map_err(|_| TelemetryError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_named() {
        let error = init("a=b=c", LogFormat::Text).unwrap_err();
        assert!(error.to_string().contains("a=b=c"), "{error}");
    }
}
