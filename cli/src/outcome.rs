//! What a command has to say when it is done, and the one place that says it.

use std::io::Write;

use serde::Serialize;

use crate::{
    failure::{Exit, Failure},
    screen::Screen,
};

/// The result of a command: for people, for machines, and as an exit code.
#[derive(Debug)]
pub(crate) struct Outcome {
    text: String,
    json: serde_json::Value,
    exit: Exit,
    silent: bool,
}

impl Outcome {
    /// A result.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn new(json: &impl Serialize, text: impl Into<String>) -> Result<Self, Failure> {
        let json = serde_json::to_value(json)
            .map_err(|e| Failure::ours(format!("the result cannot be written as JSON: {e}")))?;
        Ok(Self {
            text: text.into(),
            json,
            exit: Exit::Ok,
            silent: false,
        })
    }

    /// Says nothing: all has been said.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self {
            text: String::new(),
            json: serde_json::Value::Null,
            exit,
            silent: true,
        }
    }

    /// The same with more text; the object stays as it is.
    #[must_use]
    pub(crate) fn followed_by(mut self, text: &str) -> Self {
        self.text.push_str(text);
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) fn exit_with(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    /// The object.
    #[cfg(test)]
    pub(crate) const fn json(&self) -> &serde_json::Value {
        &self.json
    }

    /// The text.
    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Prints it on standard output: the object with `--json`, the text without.
    pub(crate) fn print(&self, screen: &Screen) {
        let text = if screen.json {
            self.json.to_string()
        } else {
            self.text.trim_end().to_owned()
        };
        if !self.silent && !text.is_empty() {
            put(&text);
        }
    }
}

/// Prints a failure: as an object on standard output with `--json`, and always on standard error.
pub(crate) fn print_failure(failure: &Failure, screen: &Screen) {
    if screen.json {
        put(&failure.json().to_string());
    }
    let paint = screen.err();
    eprintln!("{} {}", paint.bad("error:"), failure.message());
    if let Some(hint) = failure.advice() {
        eprintln!("  {} {hint}", paint.name("hint:"));
    }
}

fn put(text: &str) {
    // A reader that has gone away (`| head`) is no error of ours.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
