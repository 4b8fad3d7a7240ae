//! Checks 10, 11 and 12: programs, report and model files are the ones recorded.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    HeldFile,
    verdict::{Check, Place, Report, plain},
    view::{Case, Event, Log},
};
use crate::event::{Body, hex, unhex};

const OTHER_PROGRAM: &str = "what ran was not what was reviewed";
const TESTING: &str = "what the parties sent may have been protected by nothing";
const EXPOSED: &str = "who talked to whom may have been seen or changed on the way";
const OTHER_REPORT: &str = "the report is not the one that the job made";
const OTHER_MODEL: &str = "the model is not the one that the job made";

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    for log in &case.logs {
        programs(case, log, report);
    }
    promised(case, report);
    let committed = files(case, report);
    held(case, &committed, report);
}

fn programs(case: &Case<'_>, log: &Log<'_>, report: &mut Report) {
    let trust = case.options.trust;
    for event in &log.events {
        let mut find = |what: String, means| report.find(Check::Binary, log.at(event), what, means);
        match event.body() {
            Some(Body::SessionOpened(session)) => {
                if session.test_mode {
                    find("test mode is switched on".into(), TESTING);
                }
                if session.tls != "1.3" {
                    let tls = plain(&session.tls);
                    find(format!("the connection was of TLS `{tls}`"), EXPOSED);
                }
                let release = session.build == "release";
                if let Some(trust) = trust {
                    if !release && !trust.allow_debug_builds {
                        let build = plain(&session.build);
                        find(format!("the program is a `{build}` build"), OTHER_PROGRAM);
                    }
                    let allowed = trust.binaries.is_empty()
                        || unhex(&session.binary).is_some_and(|b| trust.binaries.contains(&b));
                    if !allowed {
                        let binary = plain(&session.binary);
                        find(
                            format!("the program {binary} is not an allowed one"),
                            OTHER_PROGRAM,
                        );
                    }
                } else if !release {
                    report.note(format!("{} ran a build for development", log.node));
                }
                if let Some(started) = started_as(log, event)
                    && started != session.binary
                {
                    let said = plain(&session.binary);
                    let what =
                        format!("it names the program {said}, the node started as {started}");
                    report.find(Check::Binary, log.at(event), what, OTHER_PROGRAM);
                }
                report.examined(Check::Binary, 1);
            }
            Some(Body::StepStarted(step)) => {
                let source = step.randomness.as_str();
                if !matches!(source, "helper" | "ot" | "he" | "none") {
                    let what = format!(
                        "step `{}` drew its randomness from `{}`",
                        plain(&step.step),
                        plain(source)
                    );
                    find(what, TESTING);
                }
                report.examined(Check::Binary, 1);
            }
            _ => {}
        }
    }
    begun(log, report);
    let worked = log
        .events
        .iter()
        .find(|event| event.name() == "step.finished");
    if let Some(event) = worked.filter(|_| !log.has("session.opened")) {
        report.find(
            Check::Binary,
            log.at(event),
            "no link is recorded, and so no program".into(),
            OTHER_PROGRAM,
        );
    }
}

/// Every step that ended began, and went over links that are recorded: where something was left out, so was
/// what these say of randomness and protection.
fn begun(log: &Log<'_>, report: &mut Report) {
    let lost = |name: &str| {
        let mut events = log.events.iter();
        events.any(|event| event.name() == name && event.body().is_none())
    };
    let (no_starts, no_links) = (lost("step.started"), lost("session.opened"));
    let mut started: BTreeMap<&str, usize> = BTreeMap::new();
    let mut links = BTreeSet::new();
    for event in &log.events {
        match event.body() {
            Some(Body::StepStarted(step)) => *started.entry(&step.step).or_default() += 1,
            Some(Body::SessionOpened(session)) => {
                links.insert(session.peer.as_str());
            }
            Some(Body::StepFinished(step)) => {
                report.examined(Check::Binary, 1);
                let mut find = |what, means| report.find(Check::Binary, log.at(event), what, means);
                let left = started.entry(&step.step).or_default();
                if *left == 0 && !no_starts {
                    find(format!("step `{}` never began", plain(&step.step)), TESTING);
                }
                *left = left.saturating_sub(1);
                for flow in &step.peers {
                    let frames = flow.sent.frames.max(flow.received.frames);
                    if frames > 0 && !links.contains(flow.peer.as_str()) && !no_links {
                        let peer = plain(&flow.peer);
                        find(
                            format!("frames went to or from {peer}, and no link to it is recorded"),
                            EXPOSED,
                        );
                    }
                }
            }
            _ => {}
        }
    }
}

/// The program that the node said it was when it last started before this event.
fn started_as(log: &Log<'_>, event: &Event<'_>) -> Option<String> {
    let starts = log.node_events.iter().rev();
    let mut before = starts.filter_map(|start| match start.body()? {
        Body::LogStarted(body) if start.part.index < event.part.index => Some(plain(&body.binary)),
        _ => None,
    });
    before.next()
}

/// A data party that ran the job to its end wrote down its results, and the metrics that it was to get.
fn promised(case: &Case<'_>, report: &mut Report) {
    let Ok(contract) = &case.contract else { return };
    for log in case.logs.iter().filter(|log| case.is_party(log.node)) {
        let Some(end) = log.events.iter().find(|e| e.name() == "run.completed") else {
            continue;
        };
        if !log.has("model.committed") {
            let what = "the job ended well, and no result file was recorded".to_owned();
            report.find(Check::Model, log.at(end), what, OTHER_MODEL);
        }
        let metrics = contract.metrics_to.iter().any(|party| party == log.node);
        if metrics && !log.has("metrics.reported") {
            let what = "the job ended well, and no metrics were recorded".to_owned();
            report.find(Check::Metrics, log.at(end), what, OTHER_REPORT);
        }
    }
}

/// Where a file was recorded, and by which check.
type Committed<'a> = BTreeMap<&'a str, (Check, &'a Log<'a>, &'a Event<'a>)>;

/// Artifacts of the bundle against what the maker's log recorded.
fn files<'a>(case: &'a Case<'a>, report: &mut Report) -> Committed<'a> {
    let mut committed = Committed::new();
    for log in case.logs.iter().filter(|log| log.own) {
        for event in &log.events {
            match event.body() {
                Some(Body::MetricsReported(metrics)) => {
                    committed.insert(&metrics.report, (Check::Metrics, log, event));
                    report.examined(Check::Metrics, 1);
                    let artifact = case
                        .bundle
                        .artifacts
                        .iter()
                        .find(|a| a.name == metrics.report);
                    if artifact.is_none_or(|artifact| artifact.sha256 != metrics.sha256) {
                        let what = differs(&metrics.report, artifact.is_some());
                        report.find(Check::Metrics, log.at(event), what, OTHER_REPORT);
                    }
                }
                Some(Body::ModelCommitted(model)) => {
                    for file in &model.files {
                        committed.insert(&file.name, (Check::Model, log, event));
                        report.examined(Check::Model, 1);
                        let artifact = case.bundle.artifacts.iter().find(|a| a.name == file.name);
                        let same = artifact.is_some_and(|artifact| {
                            (&artifact.sha256, artifact.bytes) == (&file.sha256, file.bytes)
                        });
                        if !same {
                            let what = differs(&file.name, artifact.is_some());
                            report.find(Check::Model, log.at(event), what, OTHER_MODEL);
                        }
                    }
                }
                _ => {}
            }
        }
    }
    for artifact in &case.bundle.artifacts {
        if !committed.contains_key(artifact.name.as_str()) && !case.options.allow_pruned() {
            report.find(
                Check::Model,
                Place::default(),
                format!(
                    "the file `{}` is recorded in no event",
                    plain(&artifact.name)
                ),
                OTHER_MODEL,
            );
        }
    }
    committed
}

fn differs(name: &str, listed: bool) -> String {
    let name = plain(name);
    if listed {
        format!("the file `{name}` of the bundle is not the one recorded here")
    } else {
        format!("the file `{name}` recorded here is not listed in the bundle")
    }
}

/// The numbers in a report that the reader holds are those that the maker wrote down.
fn figures(case: &Case<'_>, file: &HeldFile, report: &mut Report) {
    if file.figures.is_empty() {
        return;
    }
    let own = case.logs.iter().filter(|log| log.own);
    for (log, event) in own.flat_map(|log| log.events.iter().map(move |event| (log, event))) {
        let Some(Body::MetricsReported(metrics)) = event.body() else {
            continue;
        };
        for (name, value) in &metrics.values {
            report.examined(Check::Metrics, 1);
            let here = file.figures.get(name);
            if here != Some(value) {
                let here = here.map_or("no such number", String::as_str);
                let (name, value) = (plain(name), plain(value));
                let what = format!("`{name}` is {value} here, the file has {here}");
                report.find(Check::Metrics, log.at(event), what, OTHER_REPORT);
            }
        }
    }
}

/// Files that the reader holds against the bundle's artifacts.
fn held(case: &Case<'_>, committed: &Committed<'_>, report: &mut Report) {
    for file in case.options.files {
        let artifact = case.bundle.artifacts.iter().find(|a| a.name == file.name);
        let recorded = committed.get(file.name.as_str());
        let check = recorded.map_or(Check::Model, |(check, _, _)| *check);
        let place = recorded.map_or(Place::default(), |(_, log, event)| log.at(event));
        let means = if check == Check::Metrics {
            OTHER_REPORT
        } else {
            OTHER_MODEL
        };
        report.examined(check, 1);
        figures(case, file, report);
        let what = match artifact {
            None => format!(
                "the file `{}` that was given is none of this job's",
                plain(&file.name)
            ),
            Some(a) if (&a.sha256, a.bytes) != (&hex(&file.sha256), file.bytes) => {
                format!(
                    "the file `{}` that was given is not the one recorded",
                    plain(&file.name)
                )
            }
            Some(_) => continue,
        };
        report.find(check, place, what, means);
    }
    if case.options.files.is_empty() && !case.bundle.artifacts.is_empty() {
        report.note(
            "no result file was given: give model and report files to compare them with what was recorded",
        );
    }
}
