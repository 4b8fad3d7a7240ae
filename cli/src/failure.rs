//! Why a command fails, and the exit code that says whose move it is.

use std::fmt;

use serde::Serialize;

/// Exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// The caller can put it right: arguments, files, data, certificates.
    User,
    /// Our own fault.
    Ours,
    /// A check failed, or a job ended without a result.
    Failed,
    /// Nothing is wrong, but it cannot be done now: nobody answers, or a job is still waiting.
    Later,
    /// As the command itself documents.
    Own(u8),
}

impl Exit {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::User => 1,
            Self::Ours => 2,
            Self::Failed => 3,
            Self::Later => 75,
            Self::Own(code) => code,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command stopped.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The caller can put it right.
    pub(crate) fn user(message: impl fmt::Display) -> Self {
        Self::new(Exit::User, message)
    }

    /// Our own fault.
    pub(crate) fn ours(message: impl fmt::Display) -> Self {
        Self::new(Exit::Ours, message)
    }

    /// A check failed or a job ended without a result.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Try again later.
    pub(crate) fn later(message: impl fmt::Display) -> Self {
        Self::new(Exit::Later, message)
    }

    /// With an exit code that the command documents.
    pub(crate) fn own(code: u8, message: impl fmt::Display) -> Self {
        Self::new(Exit::Own(code), message)
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// A file or folder that cannot be used.
    pub(crate) fn file(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let failure = Self::user(format!("cannot {what} {}: {error}", path.display()));
        match error.kind() {
            ErrorKind::NotFound => failure.hint("check the path; it is relative to this folder"),
            ErrorKind::StorageFull => failure.hint("make room on the disk and run it again"),
            _ => failure,
        }
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// As the object that `--json` prints.
    pub(crate) fn json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
            exit: u8,
        }
        serde_json::json!(Body {
            error: &self.message,
            hint: self.advice(),
            exit: self.exit.code(),
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

macro_rules! callers_fault {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::user(error)
            }
        })+
    };
}

callers_fault!(
    paripassu_job::SpecErrors,
    paripassu_job::contract::ContractError,
    paripassu_job::plan::PlanError,
    paripassu_proto::IdError,
    paripassu_service::identity::IdentityError,
    paripassu_service::pki::PkiError,
    paripassu_model::table::TableError,
    paripassu_model::design::DesignError,
    paripassu_model::report::ReportError,
);

impl From<paripassu_service::telemetry::TelemetryError> for Failure {
    fn from(error: paripassu_service::telemetry::TelemetryError) -> Self {
        match error {
            paripassu_service::telemetry::TelemetryError::Twice => Self::ours(error),
            _ => Self::user(error),
        }
    }
}

impl From<tonic::Status> for Failure {
    /// The coordinator's answer, or why there was none.
    fn from(status: tonic::Status) -> Self {
        use tonic::Code;
        if let Some(reason) = paripassu_service::tls::explain(&status) {
            return Self::user(reason);
        }
        let message = match status.message() {
            "" => status.code().description(),
            message => message,
        };
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
                Self::later(format!("the coordinator cannot answer now: {message}"))
            }
            Code::Internal | Code::DataLoss | Code::Unimplemented => {
                Self::ours(format!("the coordinator failed: {message}"))
            }
            Code::Unknown | Code::Cancelled => Self::later(format!(
                "the connection to the coordinator broke: {message}"
            )),
            _ => Self::user(message),
        }
    }
}

impl From<paripassu_service::transport::DialError> for Failure {
    fn from(error: paripassu_service::transport::DialError) -> Self {
        use paripassu_service::transport::DialError;
        match &error {
            // A certificate that is refused will be refused again.
            DialError::Connect { reason, .. } if !reason.contains("certificate") => Self::later(
                error,
            )
            .hint("is the coordinator running, and is the address right? start it with `paripassu coordinator serve`"),
            _ => Self::user(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_map_to_whose_move_it_is() {
        let exit = |status: tonic::Status| Failure::from(status).exit().code();
        assert_eq!(exit(tonic::Status::not_found("no job")), 1);
        assert_eq!(exit(tonic::Status::failed_precondition("ended")), 1);
        assert_eq!(exit(tonic::Status::internal("x")), 2);
        assert_eq!(exit(tonic::Status::unavailable("x")), 75);
    }

    #[test]
    fn an_error_is_one_json_object() {
        let value = Failure::failed("job aborted")
            .hint("look at the logs")
            .json();
        assert_eq!(value["exit"], 3);
        assert_eq!(value["error"], "job aborted");
        assert_eq!(value["hint"], "look at the logs");
    }
}
