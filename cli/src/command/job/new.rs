//! `paripassu job new`.

use std::path::PathBuf;

use clap::Args;
use paripassu_job::spec::{TemplateKind, template};

use crate::{failure::Failure, outcome::Outcome};

/// Print a commented job file to start from.
#[derive(Debug, Args)]
#[command(after_help = "\
Run by: anyone, most often a modeler.
application, behaviour, collection, fraud-list and horizontal have safe defaults, and say in plain words
whom one has to trust; the others show every key.

Examples:
  paripassu job new --template application --out job.toml
  paripassu job new --template fraud-list > job.toml")]
pub(crate) struct New {
    /// Kind of job
    #[arg(long, value_name = "NAME", default_value = TemplateKind::VerticalLogistic.name(),
        value_parser = names())]
    template: String,
    /// Write it to this file, which must not exist, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn names() -> clap::builder::PossibleValuesParser {
    TemplateKind::ALL.map(TemplateKind::name).into()
}

impl New {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let kind = TemplateKind::named(&self.template)
            .ok_or_else(|| Failure::user(format!("there is no template `{}`", self.template)))?;
        let text = template(kind);
        let Some(path) = self.out else {
            let json = serde_json::json!({ "template": kind.name(), "toml": text });
            return Outcome::new(&json, text);
        };
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
        written.map_err(|e| Failure::file("write", &path, &e))?;
        let json = serde_json::json!({ "template": kind.name(), "file": path });
        let said = format!(
            "{} is written: adapt it, then `paripassu job plan {0}`.",
            path.display()
        );
        Outcome::new(&json, said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_and_no_file_is_overwritten() {
        let new = |out| New {
            template: "vertical-logistic".into(),
            out,
        };
        let printed = new(None).run().unwrap();
        paripassu_job::Spec::from_toml(printed.text(), "job.toml").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.toml");
        new(Some(path.clone())).run().unwrap();
        assert_eq!(new(Some(path)).run().unwrap_err().exit().code(), 1);
    }
}
