//! A horizontal job's results as files, and the main numbers for the transcript.

use std::collections::BTreeMap;

use paripassu_model::mlp::EDGE;
use paripassu_protocol::{
    abort::Abort,
    horizontal::{evaluate::Evaluation, newton::NewtonFit},
};
use serde_json::{Value, json};

use super::{Fitted, OwnTest, Results, network::NetworkFit, privacy};
use crate::run::{Run, own};

/// What is written beside the report, by name.
pub(super) fn files(
    run: &Run,
    party: &str,
    results: &Results,
) -> Result<Vec<(&'static str, String)>, Abort> {
    let job = run.job.job().to_string();
    let model = match &results.fit {
        Fitted::Logistic(fit) => logistic(&job, party, results, fit),
        Fitted::Network(fit) => network(&job, party, results, fit),
    };
    let model = serde_json::to_string_pretty(&model).map_err(own)?;
    let metrics = serde_json::to_string_pretty(&metrics(run, results)?).map_err(own)?;
    let mut files = vec![("model.json", model), ("metrics.json", metrics)];
    if let Some(bins) = &results.bins {
        let text = serde_json::to_string_pretty(bins).map_err(own)?;
        files.push(("bins.json", text));
    }
    if let Fitted::Network(fit) = &results.fit
        && let Some(guarantee) = &fit.guarantee
    {
        let statement = privacy::statement(run, guarantee)?;
        let text = serde_json::to_string_pretty(&statement).map_err(own)?;
        files.push(("privacy.json", text));
    }
    Ok(files)
}

/// A network: standardise, cut to ± `edge`, then by layer `weights[input][output]` and biases, rectified but for the
/// last, which gives log-odds of bad.
fn network(job: &str, party: &str, results: &Results, fit: &NetworkFit) -> Value {
    let columns = results.joint.design.columns().iter();
    let columns: Vec<Value> = columns
        .map(|c| json!({ "name": c.name, "mean": c.mean, "sd": c.sd, "source": c.source }))
        .collect();
    let layers = fit.network.unflatten(&fit.params).into_iter();
    let layers: Vec<Value> = layers
        .map(|(weights, biases)| json!({ "weights": weights, "biases": biases }))
        .collect();
    json!({
        "format": 1, "job": job, "party": party, "kind": "mlp", "edge": EDGE,
        "columns": columns, "layers": layers,
    })
}

fn logistic(job: &str, party: &str, results: &Results, fit: &NewtonFit) -> Value {
    let errors = fit.errors.as_deref().unwrap_or_default();
    let columns = results
        .joint
        .design
        .columns()
        .iter()
        .zip(&fit.coefficients)
        .enumerate();
    let columns: Vec<Value> = columns
        .map(|(j, (c, w))| {
            json!({
                "name": c.name, "mean": c.mean, "sd": c.sd, "coef": w, "se": errors.get(j),
                "source": c.source,
            })
        })
        .collect();
    json!({
        "format": 1, "job": job, "party": party, "kind": "logistic",
        "intercept": fit.intercept, "intercept_se": errors.get(fit.coefficients.len()),
        "columns": columns,
    })
}

fn over_all(of: &Evaluation) -> Value {
    let groups = of.calibration.iter().map(|g| {
        json!({
            "rows": g.rows, "bads": g.bads, "mean_pd": g.mean_pd,
            "bad_rate": g.bads as f64 / g.rows as f64,
        })
    });
    json!({
        "rows": of.rows, "bads": of.bads, "auc": of.auc, "auc_bound": of.auc_bound,
        "auc_noise": of.auc_noise, "ks": of.ks,
        "log_loss": of.log_loss, "brier": of.brier, "calibration": groups.collect::<Vec<_>>(),
    })
}

fn metrics(run: &Run, results: &Results) -> Result<Value, Abort> {
    let mut all = match &results.own {
        OwnTest::Compared(own_test) => serde_json::to_value(&own_test.summary).map_err(own)?,
        OwnTest::Not(why) => json!({ "not_compared": why }),
    };
    if let Some(object) = all.as_object_mut() {
        object.insert("all_banks".into(), over_all(&results.all_banks));
        if let Some(bins) = &results.bins {
            object.insert("columns".into(), bins.selection());
        }
        if let Some(before) = run
            .contract
            .spec()
            .horizontal
            .as_ref()
            .and_then(|h| h.resume.as_ref())
        {
            let went_on = json!({ "job": before, "after_round": results.fit.resumed() });
            object.insert("resumed".into(), went_on);
        }
        if !results.missing.is_empty() {
            let missing = results.missing.iter();
            let missing =
                missing.map(|m| (m.bank.clone(), json!({ "sums": m.from, "of": m.sums })));
            object.insert("missing_from_sums".into(), Value::Object(missing.collect()));
        }
        // with noise nothing is counted: the job's own word
        object.insert("train_rows_all_banks".into(), json!(results.joint.rows));
    }
    Ok(all)
}

/// The main numbers of the report, as decimals.
pub(super) fn figures(run: &Run, results: &Results) -> Result<BTreeMap<String, String>, Abort> {
    let mut values = vec![
        ("auc.all-banks", results.all_banks.auc),
        ("ks.all-banks", results.all_banks.ks),
    ];
    if let OwnTest::Compared(own_test) = &results.own {
        values.push(("auc.alone", own_test.summary.alone.auc));
        values.push(("auc.joint", own_test.summary.joint.auc));
    }
    if let Fitted::Network(fit) = &results.fit
        && let Some(guarantee) = &fit.guarantee
    {
        let after = privacy::after(run, guarantee)?;
        values.push(("dp.epsilon", guarantee.epsilon));
        values.push(("dp.epsilon.all-jobs", after));
    }
    let mut all: BTreeMap<String, String> = values
        .into_iter()
        .map(|(name, v)| (name.to_owned(), format!("{v:.6}")))
        .collect();
    if let Fitted::Network(fit) = &results.fit
        && let Some(guarantee) = &fit.guarantee
    {
        all.insert("dp.delta".into(), guarantee.delta.to_string());
    }
    Ok(all)
}
