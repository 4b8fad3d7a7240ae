//! `paripassu job report`.

use std::path::{Path, PathBuf};

use clap::Args;
use paripassu_model::report::{self, Planned, Report as Content};
use serde::{Deserialize, Serialize};

use crate::{
    command::read_text,
    failure::Failure,
    outcome::Outcome,
    sandbox::Size,
    screen::{Screen, bytes, count, seconds},
};

/// Print the results that a party's node has written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job report JOB --out results          a party's folder of results, one folder per job
  paripassu job report JOB --out paripassu-demo/bank")]
pub(crate) struct Report {
    /// Id of the job, or the beginning of it
    #[arg(value_name = "JOB")]
    job: String,
    /// Folder of results of a party's node (`results` in its configuration), or of one job
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Report {
    pub(super) fn run(self, screen: &Screen) -> Result<Outcome, Failure> {
        let dir = self.find()?;
        if !dir.join(REPORT).is_file() {
            return overlap(&dir, screen);
        }
        let content = read(&dir)?;
        let page = dir.join("report.html");
        let json = serde_json::json!({
            "job": content.job.id,
            "receiver": content.receiver.id,
            "verdict": content.verdict(),
            "comparison": content.comparison,
            "uplift": content.uplift,
            "planned": content.planned,
            "compared": content.compared,
            "report": page,
            "dir": dir,
        });
        Outcome::new(&json, text(&content, &page, screen))
    }

    /// The folder that holds this job's report.json.
    fn find(&self) -> Result<PathBuf, Failure> {
        let has = |dir: &Path| dir.join(REPORT).is_file() || dir.join(OVERLAP).is_file();
        if has(&self.out) {
            let found = match self.out.join(REPORT).is_file() {
                true => read(&self.out)?.job.id,
                false => read_overlap(&self.out)?.job,
            };
            if found.starts_with(&self.job) {
                return Ok(self.out.clone());
            }
            return Err(Failure::user(format!(
                "{} holds the report of job {found}, not of {}",
                self.out.display(),
                self.job
            )));
        }
        let entries =
            std::fs::read_dir(&self.out).map_err(|e| Failure::file("read", &self.out, &e))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with(&self.job)) && has(path)
            })
            .collect();
        match (found.pop(), found.len()) {
            (Some(one), 0) => Ok(one),
            (Some(_), more) => Err(Failure::user(format!(
                "`{}` is the beginning of {} jobs: give more of the id",
                self.job,
                more + 1
            ))),
            (None, _) => Err(Failure::user(format!(
                "{} holds no report of job {}",
                self.out.display(),
                self.job
            ))
            .hint("a report is there once the job is released; `paripassu job status` says where it stands")),
        }
    }
}

const REPORT: &str = "report.json";
/// What a job of matching alone leaves.
const OVERLAP: &str = "overlap.json";

/// `overlap.json`, as far as it is printed.
#[derive(Debug, Deserialize, Serialize)]
struct Overlap {
    job: String,
    party: String,
    method: String,
    #[serde(default)]
    matched: u64,
    /// Where nobody learns who is common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<Size>,
    #[serde(default)]
    planned: Option<Planned>,
}

fn read_overlap(dir: &Path) -> Result<Overlap, Failure> {
    let path = dir.join(OVERLAP);
    serde_json::from_str(&read_text(&path)?)
        .map_err(|e| Failure::user(format!("{}: {e}", path.display())))
}

/// The result of a job of matching alone.
fn overlap(dir: &Path, screen: &Screen) -> Result<Outcome, Failure> {
    let found = read_overlap(dir)?;
    let list = dir.join("members.csv");
    let many = found
        .size
        .map_or_else(|| count(found.matched), |size| size.to_string());
    let mut text = format!(
        "{many} customers of {} are common, matched by {}\n\n",
        found.party, found.method
    );
    if let Some(of) = &found.planned {
        text.push_str(&planned(of, screen));
    }
    match found.size {
        None => text.push_str(&format!("  list  {}", list.display())),
        Some(_) => text.push_str("  nobody learns who they are"),
    }
    Outcome::new(&found, text)
}

fn read(dir: &Path) -> Result<Content, Failure> {
    let text = read_text(&dir.join(REPORT))?;
    report::from_json(&text)
        .map_err(|e| Failure::user(format!("{}: {e}", dir.join(REPORT).display())))
}

fn text(content: &Content, page: &Path, screen: &Screen) -> String {
    let summary = report::summary_rows(content);
    let header: Vec<_> = summary.header.iter().map(String::as_str).collect();
    let mut table = screen.table(&header);
    for row in summary.rows {
        table.row(row);
    }
    let mut out = format!(
        "{} for {}\n",
        screen.out().strong(&content.job.title),
        content.receiver.name
    );
    if !content.comparison.is_empty() {
        out.push_str(&format!("{table}\n"));
    }
    out.push_str(&format!("{}\n\n", summary.verdict));
    if let Some(compared) = content.compared.as_ref().filter(|c| !c.alarms.is_empty()) {
        let against = compared.against.as_deref().unwrap_or_default();
        out.push_str(&format!("FLAGGED against job {against}:\n"));
        for alarm in &compared.alarms {
            out.push_str(&format!("  {alarm}\n"));
        }
        out.push('\n');
    }
    if let Some(planned) = &content.planned {
        out.push_str(&self::planned(planned, screen));
    }
    out.push_str(&format!("  report  {}", page.display()));
    out
}

/// What the plan said beside what was counted, stage by stage.
pub(crate) fn planned(planned: &Planned, screen: &Screen) -> String {
    let mut table = screen.table(&[
        "stage",
        "rounds planned",
        "counted",
        "bytes planned",
        "counted",
        "time expected",
        "taken",
    ]);
    for stage in planned.stages.iter().chain([&planned.all()]) {
        table.row([
            stage.stage.clone(),
            count(stage.rounds.for_this_run),
            count(stage.rounds.counted),
            bytes(stage.bytes.for_this_run),
            bytes(stage.bytes.counted),
            seconds(stage.seconds_planned),
            seconds(stage.seconds),
        ]);
    }
    let memory = planned.memory.map_or_else(String::new, |memory| {
        format!(
            "peak memory of the node: {} planned, {} measured\n",
            bytes(memory.for_this_run),
            bytes(memory.counted)
        )
    });
    format!("{table}\n{memory}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::ColorWhen;

    fn written(dir: &Path, id: &str) {
        let mut content = Content::default();
        content.job.id = id.into();
        content.job.title = "Cards".into();
        report::write(dir, &content).unwrap();
    }

    #[test]
    fn a_report_is_found_by_job_in_either_folder() {
        let dir = tempfile::tempdir().unwrap();
        written(&dir.path().join("ab12"), "ab12");
        let screen = Screen::new(false, ColorWhen::Never);
        let report = |job: &str, out: PathBuf| {
            Report {
                job: job.into(),
                out,
            }
            .run(&screen)
        };
        let found = report("ab", dir.path().to_owned()).unwrap();
        assert!(found.text().contains("report.html"));
        assert_eq!(found.json()["job"], "ab12");
        report("ab12", dir.path().join("ab12")).unwrap();
        let wrong = report("cd", dir.path().join("ab12")).unwrap_err();
        assert!(wrong.message().contains("ab12"), "{wrong}");
        assert_eq!(
            report("cd", dir.path().to_owned())
                .unwrap_err()
                .exit()
                .code(),
            1
        );
    }
}
