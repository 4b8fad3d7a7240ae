//! A horizontal job's results as files, and the main numbers for the transcript.

use std::collections::BTreeMap;

use paripassu_protocol::{abort::Abort, horizontal::evaluate::Evaluation};
use serde_json::{Value, json};

use super::{OwnTest, Results};
use crate::run::own;

/// What is written beside the report, by name.
pub(super) fn files(
    job: &str,
    party: &str,
    results: &Results,
) -> Result<Vec<(&'static str, String)>, Abort> {
    let model = serde_json::to_string_pretty(&model(job, party, results)).map_err(own)?;
    let metrics = serde_json::to_string_pretty(&metrics(results)?).map_err(own)?;
    Ok(vec![("model.json", model), ("metrics.json", metrics)])
}

fn model(job: &str, party: &str, results: &Results) -> Value {
    let fit = &results.fit;
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
        "rows": of.rows, "bads": of.bads, "auc": of.auc, "auc_bound": of.auc_bound, "ks": of.ks,
        "log_loss": of.log_loss, "brier": of.brier, "calibration": groups.collect::<Vec<_>>(),
    })
}

fn metrics(results: &Results) -> Result<Value, Abort> {
    let mut all = match &results.own {
        OwnTest::Compared(own_test) => serde_json::to_value(&own_test.summary).map_err(own)?,
        OwnTest::Not(why) => json!({ "not_compared": why }),
    };
    if let Some(object) = all.as_object_mut() {
        object.insert("all_banks".into(), over_all(&results.all_banks));
        object.insert("train_rows_all_banks".into(), json!(results.joint.rows));
    }
    Ok(all)
}

/// The main numbers of the report, as decimals.
pub(super) fn figures(results: &Results) -> BTreeMap<String, String> {
    let mut values = vec![
        ("auc.all-banks", results.all_banks.auc),
        ("ks.all-banks", results.all_banks.ks),
    ];
    if let OwnTest::Compared(own_test) = &results.own {
        values.push(("auc.alone", own_test.summary.alone.auc));
        values.push(("auc.joint", own_test.summary.joint.auc));
    }
    values
        .into_iter()
        .map(|(name, v)| (name.to_owned(), format!("{v:.6}")))
        .collect()
}
