//! This party's copy of the report.

use paripassu_job::{DisclosureId, plan::choose, spec::SolverMethod};
use paripassu_model::metrics::{Interval, Intervals, normal_two_sided};
use paripassu_model::report::{
    Coefficient, Coefficients, Convergence, Correlations, Data, Disclosure, Evaluation as Row,
    Fact, Job, Machine, Metric, ModelKind, Party, Phase, Report, Sample, Security, Solver, Traffic,
    Trial, Trials, Uplift,
};
use paripassu_protocol::vertical::{
    logistic::{Method, SolverFacts},
    tuning::{Penalties, Tuned},
};

use super::{
    Prepared, Run, batches,
    evaluate::{ALONE, Evaluation, JOINT},
    network, select,
    train::{Fit, Reached, Regression, design_columns},
};
use crate::dataset::Selection;

/// What the trials showed.
fn trials(tuned: &Tuned) -> Trials {
    let path = tuned.columns.iter().any(|of| !of.is_empty());
    let of = |(at, penalties): (usize, &Penalties)| Trial {
        l2: penalties.l2,
        l1: path.then_some(penalties.l1),
        mean: tuned.mean(at),
        se: tuned.standard_error(at),
        folds: tuned.losses[at].clone(),
        columns: tuned.columns[at].clone(),
        chosen: at == tuned.chosen,
    };
    Trials {
        rows: tuned.grid.iter().enumerate().map(of).collect(),
    }
}

/// Most own columns of which the report has correlations.
const MOST_CORRELATED: usize = 120;

/// What every report of a run says, whatever the job.
/// The passes of a vertical logistic fit, which open no step.
fn passes(run: &Run) -> Option<Convergence> {
    let in_batches = run.spec().solver.method == SolverMethod::Sgd;
    (!run.course.is_empty()).then(|| Convergence {
        step: "pass".into(),
        quantity: String::new(),
        rows: run.course.clone(),
        note: if in_batches { batches::NOTE } else { "Wall time of each pass; those at final precision are in the joint model's colour. No loss and no step is \
               opened: one bit a pass says whether every coefficient moved by less than the tolerance, which the \
               last pass's does." }
            .into(),
    })
}

pub(super) fn frame(run: &Run, selection: &Selection) -> Report {
    let spec = run.contract.spec();
    Report {
        job: Job {
            id: run.job.job().to_string(),
            title: spec.name.clone(),
            purpose: spec.purpose.clone(),
            legal_basis: spec.legal_basis.clone(),
            contract_digest: run.contract.digest().to_string(),
            released_at: time(run.site.clock.now()),
        },
        data: Data {
            dataset: selection.name().to_owned(),
            split: format!(
                "{} of 10 rows held out by the hash of the id",
                spec.split.test_tenths
            ),
            seed: "none: the hash of the id decides".into(),
            bad_definition: "label 1".into(),
            ..Data::default()
        },
        disclosures: disclosures(run),
        traffic: run
            .channel
            .report()
            .into_iter()
            .map(|l| Traffic {
                peer: l.peer.to_string(),
                step: "whole job".into(),
                sent_bytes: l.sent.bytes,
                received_bytes: l.received.bytes,
                sent_frames: l.sent.frames,
                received_frames: l.received.frames,
            })
            .collect(),
        convergence: passes(run),
        timing: run
            .measured
            .seconds()
            .map(|(name, seconds)| Phase { name, seconds })
            .collect(),
        machine: Machine {
            version: format!("paripassu {}", env!("CARGO_PKG_VERSION")),
            revision: option_env!("PARIPASSU_REVISION")
                .unwrap_or("unknown")
                .into(),
            machine: format!(
                "{} {}, {} threads",
                std::env::consts::OS,
                std::env::consts::ARCH,
                std::thread::available_parallelism().map_or(1, usize::from)
            ),
        },
        ..Report::default()
    }
}

pub(super) fn report(
    run: &Run,
    selection: &Selection,
    data: &Prepared,
    fit: &Fit,
    evaluation: Option<&Evaluation>,
) -> Report {
    let me = run.site.identity.peer().id.to_string();
    let spec = run.contract.spec();
    let parties: Vec<Party> = spec
        .seats()
        .iter()
        .enumerate()
        .map(|(i, p)| {
            let id = p.id.to_string();
            let own = id == me;
            Party {
                name: id.clone(),
                role: if i == 0 { "label holder" } else { "features" }.into(),
                rows: own.then_some(data.table_rows as u64),
                columns: fit.widths().get(i).map(|w| *w as u64 - u64::from(i == 0)),
                id,
            }
        })
        .collect();
    let receiver = parties
        .iter()
        .find(|p| p.id == me)
        .cloned()
        .unwrap_or_default();
    let summary = evaluation.map(|e| &e.summary);
    let mut report = frame(run, selection);
    report.data.matched = data.matched.to_string();
    let rejects = match fit {
        Fit::Logistic(fit) => run.reject_report(data, fit, evaluation),
        Fit::Network(_) => None,
    };
    // of declined rows nothing is known
    let known = |rows: usize, counts: Option<(u64, u64)>| counts.map_or(rows as u64, |c| c.0);
    let (train, test) = rejects.as_ref().map_or((None, None), |r| (r.train, r.test));
    report.data.train = Sample {
        rows: Some(known(data.train.nrows(), train)),
        bads: summary.map(|s| s.train_bads as u64),
    };
    report.data.test = Sample {
        rows: Some(known(data.test.nrows(), test)),
        bads: summary.map(|s| s.joint.bads as u64),
    };
    let names: Vec<String> = data.design.names().map(str::to_owned).collect();
    let mapped = (2..=MOST_CORRELATED).contains(&names.len());
    Report {
        bins: (data.bins.as_ref().zip(spec.binning.as_ref()))
            .map(|(bins, asked)| bins.report(&me, asked.min_iv.value())),
        correlations: mapped.then(|| Correlations::of(names, data.train.view())),
        selection: data.selection.clone(),
        trials: run.tuned.as_ref().map(trials),
        rejects,
        receiver,
        parties,
        planned: run.planned(data.table_rows as u64, data.matched as u64, fit.widths()),
        solver: match (fit, &spec.network) {
            (Fit::Logistic(fit), _) => match &fit.reached {
                Reached::Passes(facts) => solver(run, data, fit, facts),
                Reached::Batches(facts) => {
                    let train = run.ctx.meter().by_phase();
                    let train = train.get("train").cloned().unwrap_or_default();
                    batches::solver(spec, facts, &train)
                }
            },
            (Fit::Network(fit), Some(network)) => network::solver(run, network, fit),
            (Fit::Network(_), None) => Solver::default(),
        },
        comparison: summary
            .map(|s| {
                vec![
                    row(ModelKind::Alone, ALONE, &s.alone),
                    row(ModelKind::Joint, JOINT, &s.joint),
                ]
            })
            .unwrap_or_default(),
        uplift: evaluation
            .map(|e| {
                let validation = e.validation.as_ref();
                uplift(&e.summary, validation.and_then(|v| v.difference.as_ref()))
            })
            .unwrap_or_default(),
        agreement: None,
        curves: evaluation.map(Evaluation::curves).unwrap_or_default(),
        validation: evaluation.and_then(|e| e.validation.clone()),
        drift: Some(data.drift.clone()),
        coefficients: match fit {
            Fit::Logistic(fit) => Some(coefficients(&me, data, fit)),
            Fit::Network(_) => None,
        },
        security: Security::helper(spec.helper.id.as_ref()),
        notes: notes(run, data, fit),
        ..report
    }
}

fn solver(run: &Run, data: &Prepared, fit: &Regression, f: &SolverFacts) -> Solver {
    let fact = |name: &str, value: String| Fact {
        name: name.into(),
        value,
    };
    let meter = run.ctx.meter().by_phase();
    let train = meter.get("train").cloned().unwrap_or_default();
    Solver {
        model: "logistic regression, vertical split".into(),
        method: match (f.method, run.contract.spec().is_held()) {
            (Method::Newton, false) => {
                "Newton on shares, columns whitened by their owners, Hessian and its inverse shared"
            }
            (Method::Newton, true) => {
                "proximal Newton on shares, each step by alternating directions, Hessian and its inverse shared"
            }
            (Method::Accelerated, _) => {
                "accelerated gradient on shares, columns whitened by their owners, no Hessian"
            }
        }
        .into(),
        l2: Some(run.penalties().l2),
        l1: run.contract.spec().is_held().then(|| run.penalties().l1),
        passes: Some(f.passes),
        converged: Some(true),
        sigmoid_terms: u32::try_from(f.terms).ok(),
        sigmoid_range: Some(f.range),
        sigmoid_max_error: Some(f.sigmoid_error),
        fixed_point_bits: Some(f.points.weight),
        facts: weighing(run.contract.spec())
            .into_iter()
            .chain(holding(run.contract.spec(), fit))
            .chain(made(run, data, f))
            .map(|(name, value)| fact(name, value))
            .chain([
                fact("Fraction bits of residuals", f.points.residual.to_string()),
                fact("Rounds of training", train.rounds.to_string()),
                fact(
                    "Training bytes sent by this party",
                    train.bytes_sent.to_string(),
                ),
                fact(
                    "Training bytes received by this party",
                    train.bytes_received.to_string(),
                ),
            ])
            .collect(),
    }
}

/// How steps were made, where the job left that open, and of what.
fn made(run: &Run, data: &Prepared, f: &SolverFacts) -> Vec<(&'static str, String)> {
    let spec = run.contract.spec();
    let mut list = Vec::new();
    if spec.solver.method == SolverMethod::Auto {
        let columns = design_columns(&f.widths);
        let chosen = choose(spec, data.train.nrows() as u64, &columns);
        let text = format!("{}, {}", chosen.steps, chosen.why(spec));
        list.push(("Steps taken", text));
    }
    if f.method == Method::Newton {
        let text = format!("{} of {} rows", f.hessians, f.hessian_rows);
        list.push(("Hessians", text));
    }
    list
}

/// What holds coefficients, where anything does.
fn holding(spec: &paripassu_job::Spec, fit: &Regression) -> Vec<(&'static str, String)> {
    if !spec.is_held() {
        return Vec::new();
    }
    let zeros = fit.coefficients.iter().filter(|w| **w == 0.0).count();
    let signs = match (spec.model.woe_signs, spec.model.sign.len()) {
        (true, _) => "those of weights of evidence".to_owned(),
        (false, 0) => "free".to_owned(),
        (false, n) => format!("given for {n} columns of all parties"),
    };
    vec![
        ("Signs of coefficients", signs),
        (
            "Own coefficients of exactly 0",
            format!("{zeros} of {}", fit.coefficients.len()),
        ),
    ]
}

/// What rows weigh and begin with, where that is not 1 and 0.
pub(super) fn weighing(spec: &paripassu_job::Spec) -> Vec<(&'static str, String)> {
    let model = &spec.model;
    let weight = model.weight.as_ref().map(|w| {
        let what = format!("column {} of {}, at most {}", w.column, w.party, w.max);
        ("Weights of rows", what)
    });
    let class = model.class_weight.as_ref();
    let class = class.map(|c| {
        (
            "Weights of classes",
            format!("good {}, bad {}", c.good, c.bad),
        )
    });
    let offset = model.offset.as_ref();
    let offset = offset.map(|column| {
        (
            "Added to each score",
            format!("column {column} of the label holder"),
        )
    });
    [weight, class, offset].into_iter().flatten().collect()
}

pub(super) fn row(kind: ModelKind, name: &str, m: &paripassu_model::metrics::Metrics) -> Row {
    Row {
        kind,
        name: name.into(),
        auc: Some(m.auc),
        auc_se: Some(m.auc_se),
        ks: Some(m.ks),
        gini: Some(m.gini),
        log_loss: Some(m.log_loss),
        brier: Some(m.brier),
        capture: Some(m.top_decile_capture),
        capture_at: Some((m.rows / 10) as f64 / m.rows as f64),
    }
}

/// Differences, with intervals as far as there are any.
pub(super) fn uplift(s: &super::evaluate::Summary, resampled: Option<&Intervals>) -> Vec<Uplift> {
    let of = |metric, delta: f64, ci: Option<[f64; 2]>, method: &str| Uplift {
        metric,
        baseline: ALONE.into(),
        challenger: JOINT.into(),
        delta,
        low: ci.map(|c| c[0]),
        high: ci.map(|c| c[1]),
        method: method.into(),
    };
    let method = match resampled {
        Some(r) => format!("bootstrap, paired, {} resamples", r.resamples),
        None => String::new(),
    };
    let by = |read: fn(&Intervals) -> Interval| resampled.map(|r| read(r).ci95);
    let (a, j) = (&s.alone, &s.joint);
    let mut all = vec![
        of(
            Metric::Auc,
            s.uplift.delta,
            Some(s.uplift.ci95),
            "DeLong, paired",
        ),
        of(Metric::Ks, j.ks - a.ks, by(|r| r.ks), &method),
        of(
            Metric::LogLoss,
            j.log_loss - a.log_loss,
            by(|r| r.log_loss),
            &method,
        ),
        of(
            Metric::Capture,
            j.top_decile_capture - a.top_decile_capture,
            by(|r| r.capture),
            &method,
        ),
    ];
    if resampled.is_some() {
        all.push(of(
            Metric::Brier,
            j.brier - a.brier,
            by(|r| r.brier),
            &method,
        ));
    }
    all
}

fn coefficients(me: &str, data: &Prepared, fit: &Regression) -> Coefficients {
    Coefficients {
        owner: me.to_owned(),
        intercept: fit.intercept,
        rows: data
            .design
            .columns()
            .iter()
            .zip(&fit.coefficients)
            .enumerate()
            .map(|(j, (c, w))| {
                let se = fit.errors.as_ref().and_then(|e| e.columns.get(j)).copied();
                let z = se.map(|se| w / se);
                Coefficient {
                    name: c.name.clone(),
                    mean: c.mean,
                    sd: c.sd,
                    coef: *w,
                    se,
                    z,
                    p: z.map(normal_two_sided),
                }
            })
            .collect(),
    }
}

fn disclosures(run: &Run) -> Vec<Disclosure> {
    run.book
        .summary()
        .lines
        .iter()
        .map(|l| Disclosure {
            what: format!("{}: {}", l.declared.id, l.declared.what),
            shape: match l.declared.id {
                DisclosureId::RelayTraffic => l.declared.shape.to_string(),
                _ if l.times > 0 => format!("{} ({} in all)", l.declared.shape, l.values),
                _ => l.declared.shape.to_string(),
            },
            to: l
                .declared
                .to
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            declared: Some(l.declared.at_most.into()),
            happened: l.times as u64,
        })
        .collect()
}

fn notes(run: &Run, data: &Prepared, fit: &Fit) -> Vec<String> {
    let stepwise = run.contract.spec().stepwise().is_some();
    let constant = data.design.constant();
    let constant = (!constant.is_empty()).then(|| {
        format!(
            "Constant on the training rows and left out: {}.",
            constant.join(", ")
        )
    });
    let named = data.design.columns().iter().map(|c| c.source.column());
    let coefficients = match fit {
        Fit::Logistic(fit) => &fit.coefficients[..],
        Fit::Network(_) => &[],
    };
    let fitted: Vec<_> = named.zip(coefficients.iter().copied()).collect();
    let bins = data.bins.iter().flat_map(|bins| bins.notes(&fitted));
    let selected = data.selection.iter();
    let selected = selected.flat_map(|told| select::notes(told, stepwise));
    let zeros = select::zeros(run, data, coefficients);
    let near = (run.spec().solver.method == SolverMethod::Sgd).then(|| batches::NEAR.to_owned());
    let all = near.into_iter().chain(constant).chain(bins);
    all.chain(selected).chain(zeros).collect()
}

/// RFC 3339, UTC.
fn time(at: i64) -> String {
    u64::try_from(at)
        .ok()
        .and_then(|s| paripassu_job::Timestamp::from_unix(s).ok())
        .map(|t| t.to_string())
        .unwrap_or_default()
}
