//! A bank's report of a horizontal job.

mod network;

use paripassu_job::spec::{Horizontal, Intercept, Start};
use paripassu_model::{
    metrics::normal_two_sided,
    report::{
        Coefficient, Coefficients, Convergence, ConvergenceStep, Fact, ModelKind, Party, Report,
        Sample, Security, Solver,
    },
};
use paripassu_protocol::{abort::Abort, horizontal::newton::NewtonFit};

use super::{Fitted, Own, OwnTest, Results, course};
use crate::{
    dataset::Selection,
    run::{
        Run,
        evaluate::{ALONE, JOINT},
        page,
    },
};

pub(super) fn report(
    run: &Run,
    selection: &Selection,
    bank: &Own,
    horizontal: &Horizontal,
    results: &Results,
) -> Result<Report, Abort> {
    let me = run.site.identity.peer().id.to_string();
    let spec = run.contract.spec();
    let own = match &results.own {
        OwnTest::Compared(own) => Some(own.as_ref()),
        OwnTest::Not(_) => None,
    };
    let columns = results.joint.design.width() as u64;
    let parties: Vec<Party> = spec
        .party
        .iter()
        .map(|p| {
            let id = p.id.to_string();
            Party {
                name: id.clone(),
                role: "bank".into(),
                rows: (id == me).then_some(bank.table.rows() as u64),
                columns: Some(columns),
                id,
            }
        })
        .collect();
    let receiver = parties
        .iter()
        .find(|p| p.id == me)
        .cloned()
        .unwrap_or_default();
    let mut report = page::frame(run, selection);
    report.parties = parties;
    report.receiver = receiver;
    report.data.matched = "none: every bank has its own customers".into();
    report.data.train = Sample {
        rows: Some(bank.train.len() as u64),
        bads: Some(bank.labels(&bank.train).iter().filter(|y| **y == 1).count() as u64),
    };
    report.data.test = Sample {
        rows: Some(bank.test.len() as u64),
        bads: Some(bank.labels(&bank.test).iter().filter(|y| **y == 1).count() as u64),
    };
    report.solver = match &results.fit {
        Fitted::Logistic(fit) => solver(run, horizontal, results, fit),
        Fitted::Network(fit) => network::solver(run, horizontal, results, fit)?,
    };
    if let Some(own) = own {
        let s = &own.summary;
        report.comparison = vec![
            page::row(ModelKind::Alone, ALONE, &s.alone),
            page::row(ModelKind::Joint, JOINT, &s.joint),
        ];
        report.uplift = page::uplift(s, None);
        report.curves = own.curves();
    }
    if let Fitted::Logistic(fit) = &results.fit {
        report.coefficients = Some(coefficients(&me, results, fit));
    }
    report.convergence = match &results.fit {
        Fitted::Logistic(fit) => Some(steps(
            ("point", "log loss of all banks' rows, with the penalty"),
            &fit.objectives,
            "Every point that the fit looked at; where the line rises, the step was halved. From a resumed job on, the \
             points since then.",
        )),
        Fitted::Network(fit) => (!fit.losses.is_empty()).then(|| {
            steps(
                ("round", "joint validation loss a row"),
                &fit.losses,
                "On rows of all banks that no round trains on: before each round, and after the last.",
            )
        }),
    };
    report.planned = run.planned_horizontal(bank.table.rows() as u64, &results.joint);
    report.security = security(run, horizontal);
    report.notes = notes(results);
    if let Some(bins) = &results.bins {
        let names = bins.kept.iter().map(|b| b.binning.column.as_str());
        let fitted: Vec<(&str, f64)> = match &results.fit {
            Fitted::Logistic(fit) => names.zip(fit.coefficients.iter().copied()).collect(),
            Fitted::Network(_) => Vec::new(),
        };
        report.notes.extend(bins.notes(&fitted));
    }
    report.notes.extend(results.missing.iter().map(|missing| {
        format!(
            "{} was missing from {} of {} sums: it did not answer in time, and what those sums count is without its rows.",
            missing.bank, missing.from, missing.sums
        )
    }));
    let before = horizontal.resume.as_ref();
    report
        .notes
        .extend(course::note(results.fit.resumed(), before));
    if let Fitted::Network(fit) = &results.fit {
        report.notes.extend(network::notes(run, fit)?);
    }
    Ok(report)
}

fn steps((step, quantity): (&str, &str), values: &[f64], note: &str) -> Convergence {
    let step_of = |value: &f64| ConvergenceStep {
        seconds: None,
        fine: true,
        value: Some(*value),
    };
    Convergence {
        step: step.into(),
        quantity: quantity.into(),
        rows: values.iter().map(step_of).collect(),
        note: note.into(),
    }
}

pub(super) fn fact(name: &str, value: String) -> Fact {
    Fact {
        name: name.into(),
        value,
    }
}

/// What the sums over the test rows of all banks say, and what they cost.
pub(super) fn over_all(run: &Run, results: &Results) -> Vec<Fact> {
    let all = &results.all_banks;
    let meter = run.ctx.meter().by_phase();
    let sums = meter.get("sums").cloned().unwrap_or_default();
    let calibration: Vec<String> = all
        .calibration
        .iter()
        .map(|g| format!("{:.3} / {:.3}", g.mean_pd, g.bads as f64 / g.rows as f64))
        .collect();
    let noise = match all.auc_noise > 0.0 {
        true => format!(", ± {:.4} by noise (one standard deviation)", all.auc_noise),
        false => String::new(),
    };
    let mut facts = vec![
        fact(
            "Test rows of all banks",
            format!("{}, {} bad", all.rows, all.bads),
        ),
        fact(
            "AUC on them",
            format!("{:.4} ± {:.4} by bands{noise}", all.auc, all.auc_bound),
        ),
        fact("KS on them", format!("{:.4}", all.ks)),
    ];
    if let Some(log_loss) = all.log_loss {
        facts.push(fact("Log loss on them", format!("{log_loss:.5}")));
    }
    if !calibration.is_empty() {
        facts.push(fact("Mean PD / bad rate by tenths", calibration.join(", ")));
    }
    facts.extend([
        fact("Bytes sent for sums", sums.bytes_sent.to_string()),
        fact("Bytes received for sums", sums.bytes_received.to_string()),
    ]);
    facts
}

fn solver(run: &Run, horizontal: &Horizontal, results: &Results, fit: &NewtonFit) -> Solver {
    let banks = run.contract.parties().len();
    let mut facts = vec![
        fact("Training rows of all banks", results.joint.rows.to_string()),
        fact("Bads among them", results.joint.bads.to_string()),
        fact(
            "Banks in the smallest sum",
            format!("{} of {banks}", fit.fewest_banks),
        ),
    ];
    facts.extend(over_all(run, results));
    Solver {
        model: match horizontal.intercept {
            Intercept::Shared => "logistic regression, horizontal split".into(),
            Intercept::PerBank => {
                "logistic regression, horizontal split, each bank its own intercept".into()
            }
        },
        method: match horizontal.start {
            Start::Zero => "Newton on masked sums of gradients and Hessians".into(),
            Start::OwnModels => {
                "Newton on masked sums of gradients and Hessians, from the mean of the banks' own models"
                    .into()
            }
        },
        l2: Some(run.contract.spec().model.l2.value()),
        l1: Some(horizontal.l1.value()),
        passes: Some(fit.passes),
        converged: Some(true),
        sigmoid_terms: None,
        sigmoid_range: None,
        sigmoid_max_error: None,
        fixed_point_bits: u32::try_from(fit.frac).ok(),
        facts,
    }
}

fn coefficients(me: &str, results: &Results, fit: &NewtonFit) -> Coefficients {
    let errors = fit.errors.as_deref().unwrap_or_default();
    let columns = results
        .joint
        .design
        .columns()
        .iter()
        .zip(&fit.coefficients)
        .enumerate();
    Coefficients {
        owner: me.to_owned(),
        intercept: Some(fit.intercept),
        rows: columns
            .map(|(j, (c, w))| {
                let se = errors.get(j).copied();
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

fn security(run: &Run, horizontal: &Horizontal) -> Security {
    let banks = run.contract.parties().len();
    let threshold = horizontal.threshold_of(banks);
    let helper = run.contract.helper();
    let training = horizontal.training.as_ref();
    let groups = training.filter(|training| training.groups > 1).map(|training| {
        let least = training.groups_of(banks).iter().map(Vec::len).min();
        format!(
            "Sums of updates are opened group by group: {} curious banks of a group of {} read the \
             last one's update.",
            least.unwrap_or_default() - 1,
            least.unwrap_or_default()
        )
    });
    Security {
        profile: "masked-sums".into(),
        statement: format!(
            "Passively secure against up to {} of the {banks} banks together with the node that adds \
             up: of another bank's part of a sum they learn what the sum itself says.",
            threshold - 1
        ),
        assumptions: vec![
            format!("At least {threshold} banks stay to the end of every sum."),
            format!(
                "The node that adds up ({helper}) learns no sum as long as no bank tells it; what it \
                 alters is found by every bank."
            ),
        ],
        limits: groups
            .into_iter()
            .chain([
            "A bank may bring rows or labels that are not true; a sum does not show whose.".into(),
            "Sums over all banks are opened to all of them: with few banks or few rows they say much \
             about each."
                .into(),
        ]).collect(),
    }
}

fn notes(results: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    let constant = results.joint.design.constant();
    if !constant.is_empty() {
        notes.push(format!(
            "Constant on the training rows of all banks and left out: {}.",
            constant.join(", ")
        ));
    }
    notes.push(match &results.own {
        OwnTest::Not(why) => format!(
            "No model of this bank alone stands beside the joint one on this bank's test rows: {why}."
        ),
        OwnTest::Compared(own) => {
            let [low, high] = own.summary.uplift.ci95;
            let (gain, interval) = (own.summary.uplift.delta, format!("{low:+.4} to {high:+.4}"));
            if low > 0.0 {
                format!("This bank gains: AUC {gain:+.4} over its own model, 95 % interval {interval}.")
            } else if high < 0.0 {
                format!(
                    "This bank loses by pooling: AUC {gain:+.4} against its own model, 95 % interval \
                     {interval}. Its own model, or an intercept per bank, fits its book better."
                )
            } else {
                format!(
                    "No gain is shown for this bank: AUC {gain:+.4} over its own model, 95 % interval \
                     {interval}, which holds 0."
                )
            }
        }
    });
    notes
}
