//! `paripassu sandbox`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use paripassu_job::NodeId;
use paripassu_party::config::FallbackKey;

use super::{job::read_spec, read_text};
use crate::{
    failure::{Exit, Failure},
    outcome::Outcome,
    sandbox::{self, Finished, Input, Metrics},
    screen::{Screen, bytes, count, seconds},
};

/// Try a job on this machine with every node as a local process.
#[derive(Debug, Subcommand)]
pub(crate) enum Sandbox {
    /// Run a job from certificates to reports: real nodes, real TLS, on loopback
    Run(Run),
}

/// Arguments of `sandbox run`.
#[derive(Debug, Args)]
#[command(after_help = "\
For a first try, for tests, and for experiments on public data: whoever runs a sandbox sees
every party's file, which is what a real job prevents.

Leaves in DIR: metrics.json; PARTY/ with model.json, report.html, report.json and tables/;
NODE/JOB.bundle, the job's transcript as each node can prove it; logs/; nodes/ with throw-away
certificates and configurations.

Examples:
  paripassu sandbox run examples/german_credit.toml --out try \\
      --party bank=examples/data/german_credit/bank.csv \\
      --party partner=examples/data/german_credit/partner.csv
  paripassu sandbox run job.toml --party bank=a.csv --party bureau=b.csv --out try \\
      --separate-helper --keep-nodes")]
pub(crate) struct Run {
    /// Job file
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    /// A party's CSV file; once for each party of the job
    #[arg(long = "party", value_name = "ID=FILE", value_parser = party_file, required = true)]
    parties: Vec<(NodeId, PathBuf)>,
    /// Folder for everything; must not exist or be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace an earlier sandbox in that folder
    #[arg(long)]
    force: bool,
    /// Deal randomness in a process of its own instead of in the coordinator
    #[arg(long)]
    separate_helper: bool,
    /// Leave the nodes running after the job, until Ctrl-C
    #[arg(long)]
    keep_nodes: bool,
    /// Column with the unique customer id, in every file
    #[arg(long, value_name = "COLUMN", default_value = "id")]
    id: String,
    /// Further columns of the id, where one alone does not tell customers apart, in every file
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',')]
    id_more: Vec<String>,
    /// A further key by which the job matches, and its columns in every file; may be repeated
    #[arg(long, value_name = "KEY=COLUMN,..", value_parser = super::data::keys::parse)]
    fallback: Vec<FallbackKey>,
    /// Column with the outcome (1 = bad) in the label party's file
    #[arg(long, value_name = "COLUMN", default_value = "y")]
    label: String,
    /// Text that means missing, besides the empty cell; may be repeated
    #[arg(long, value_name = "TEXT")]
    missing: Vec<String>,
}

/// Reads `party=file`.
pub(crate) fn party_file(text: &str) -> Result<(NodeId, PathBuf), String> {
    let (party, file) = text
        .split_once('=')
        .filter(|(_, file)| !file.is_empty())
        .ok_or_else(|| format!("`{text}` is not of the form party=file.csv"))?;
    let party = party.parse::<NodeId>().map_err(|e| e.to_string())?;
    Ok((party, file.into()))
}

impl Sandbox {
    pub(crate) async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let Self::Run(run) = self;
        run.run(screen).await
    }
}

impl Run {
    async fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let inputs = self.parties.into_iter();
        let sandbox = sandbox::Sandbox {
            spec: read_spec(&self.job)?,
            job: read_text(&self.job)?,
            inputs: inputs.map(|(id, file)| (id, Input::File(file))).collect(),
            out: self.out,
            force: self.force,
            separate_helper: self.separate_helper,
            keep_nodes: self.keep_nodes,
            id: self.id,
            id_more: self.id_more,
            fallback: self.fallback,
            label: self.label,
            missing: self.missing,
        };
        sandbox
            .run(screen, |finished, root| outcome(finished, root, screen))
            .await
    }
}

/// The result of a sandbox, printed.
pub(crate) fn outcome(
    finished: &Finished,
    root: &Path,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    match finished {
        Finished::Released(metrics) => Outcome::new(metrics, text(metrics, screen)),
        Finished::Matched(matched) => matched.outcome(screen),
        Finished::Unreleased(watched) => {
            let logs = root.join("logs");
            let text = format!(
                "{}\n  logs  {}",
                screen.out().bad(format_args!("✗ {}", watched.sentence())),
                logs.display()
            );
            let mut json = serde_json::to_value(watched).map_err(Failure::ours)?;
            if let Some(object) = json.as_object_mut() {
                object.insert("error".into(), watched.sentence().into());
                object.insert("out_dir".into(), serde_json::json!(root));
                object.insert("logs".into(), serde_json::json!(logs));
            }
            Ok(Outcome::new(&json, text)?.exit_with(Exit::Failed))
        }
    }
}

/// The table, the verdict, how exact it was, what it cost and where everything lies.
fn text(metrics: &Metrics, screen: &Screen) -> String {
    let paint = screen.out();
    let rows = &metrics.rows;
    let mut table = screen.table(&[
        "model",
        "AUC",
        "KS",
        "Gini",
        "log loss",
        "bads in worst 10 %",
    ]);
    let alone = format!("{} alone", metrics.label_party);
    for (name, figures) in [
        (alone.as_str(), metrics.bank),
        ("joint", metrics.joint),
        ("pooled plaintext", Some(metrics.pooled)),
    ] {
        let Some(figures) = figures else { continue };
        let cell = |value: f64| format!("{value:.4}");
        table.row([
            name.to_owned(),
            cell(figures.auc),
            cell(figures.ks),
            cell(figures.gini),
            cell(figures.log_loss),
            format!("{:.1} %", 100.0 * figures.capture_10),
        ]);
        if name == "joint" {
            table.strong();
        }
    }
    let mut out = format!(
        "\n{}: {} {}, {} to train, {} held out\n{table}\n",
        paint.strong(&metrics.name),
        count(rows.matched as u64),
        match metrics.horizontal {
            true => format!("customers of {} banks", metrics.parties.len()),
            false => "common customers".into(),
        },
        count(rows.train as u64),
        count(rows.test as u64),
    );
    if let Some(uplift) = &metrics.uplift {
        let line = format!(
            "AUC {:+.4} over {alone}, 95 % interval {:+.4} to {:+.4}",
            uplift.auc, uplift.ci95[0], uplift.ci95[1]
        );
        out.push_str(&match uplift.finding {
            "better" => paint.good(format_args!("✓ uplift: {line}")),
            "worse" => paint.bad(format_args!("✗ worse: {line}")),
            _ => paint.warn(format_args!("~ no uplift is shown: {line}, which holds 0")),
        });
        out.push('\n');
    }
    let apart = match metrics.coef_max_abs_diff {
        Some(apart) => format!("joint and pooled coefficients differ by {apart:.1e} at most"),
        None => "the pooled network is trained on all rows in one place".to_owned(),
    };
    let apart = match metrics.points_max_diff {
        Some(0) => format!("{apart}, no point of the scorecard"),
        Some(points) => format!("{apart}, points of the scorecard by {points}"),
        None => apart,
    };
    out.push_str(&format!(
        "{}{apart}; only a sandbox can pool\n\n",
        match metrics.horizontal {
            true => format!(
                "the table is over {}'s own held-out rows; ",
                metrics.label_party
            ),
            false => String::new(),
        },
    ));
    let passes = metrics
        .passes
        .map_or_else(String::new, |passes| format!(", {passes} passes"));
    let mut places = vec![
        (
            "took",
            format!(
                "{}{passes}, {} sealed",
                seconds(metrics.wall_s),
                bytes(metrics.bytes.total)
            ),
        ),
        ("report", metrics.report.display().to_string()),
    ];
    for (party, dir) in &metrics.parties {
        places.push((party, format!("{}/model.json", dir.display())));
    }
    for (node, bundle) in &metrics.bundles {
        if !metrics.parties.contains_key(node) {
            places.push((node, bundle.display().to_string()));
        }
    }
    let under = |name: &str| metrics.out_dir.join(name).display().to_string();
    places.push(("figures", under("metrics.json")));
    places.push(("logs", under("logs")));
    let width = places.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in places {
        let name = paint.faint(format_args!("{name:<width$}"));
        out.push_str(&format!("  {name} {value}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn party_files_are_read() {
        let (party, file) = party_file("bank=a=b.csv").unwrap();
        assert_eq!((party.as_str(), file.to_str()), ("bank", Some("a=b.csv")));
        for bad in ["bank", "bank=", "Bank=a.csv"] {
            assert!(party_file(bad).is_err(), "{bad}");
        }
    }
}
