//! What a job with noise says of itself, in the terms of NIST SP 800-226.

use paripassu_crypto::dp::Spent;
use paripassu_job::Guarantee;
use paripassu_protocol::abort::Abort;
use serde_json::{Value, json};

use crate::run::{Run, own};

/// What all other jobs so far have spent of this data set.
pub(super) fn before(run: &Run) -> Result<Spent, Abort> {
    let me = run.site.identity.peer().id.to_string();
    let seat = run.spec().party.iter().find(|p| p.id.to_string() == me);
    let dataset = &seat
        .ok_or_else(|| own("this party is not in the contract"))?
        .dataset;
    let job = run.job.job().to_string();
    run.site.store.spent_beside(dataset, &job).map_err(own)
}

/// ε of all jobs on this data set, this one included, for this job's δ.
pub(super) fn after(run: &Run, guarantee: &Guarantee) -> Result<f64, Abort> {
    let all = before(run)?.and(&guarantee.spent);
    Ok(all.epsilon(guarantee.delta))
}

/// Everything that a claim of differential privacy must name.
pub(super) fn statement(run: &Run, guarantee: &Guarantee) -> Result<Value, Abort> {
    let spec = run.contract.spec();
    let (Some(horizontal), Some(training), Some(privacy)) = (
        &spec.horizontal,
        spec.horizontal.as_ref().and_then(|h| h.training.as_ref()),
        spec.horizontal.as_ref().and_then(|h| h.privacy.as_ref()),
    ) else {
        return Err(own("a job without noise has no statement"));
    };
    let banks = spec.party.len();
    let threshold = horizontal.threshold_of(banks);
    let honest = privacy.honest_of(threshold);
    Ok(json!({
        "epsilon": guarantee.epsilon,
        "delta": guarantee.delta,
        "epsilon_training_customers": guarantee.training,
        "epsilon_test_customers": guarantee.evaluation,
        "epsilon_training_zcdp": guarantee.zcdp,
        "epsilon_all_jobs_on_this_data_set": after(run, guarantee)?,
        "unit_of_privacy": "one row of one bank's data set: a customer, where each has one row. A \
                            customer of two banks is covered twice",
        "neighbours": "with and without that row",
        "mechanism": format!(
            "{} noisy sums of gradients cut to length {} (discrete Gaussian, standard deviation {} \
             lengths), each over rows taken with chance {}; one noisy histogram of test rows \
             (standard deviation {} rows)",
            training.rounds, privacy.clip, privacy.noise, privacy.sampling, privacy.evaluation_noise
        ),
        "accounting": "Renyi divergences of the sampled Gaussian, orders 1.1 to 256",
        "trust_model": format!(
            "noise is added by the banks before masking: at least {honest} of the {threshold} banks or \
             more in each sum add theirs and keep it to themselves; nobody holds rows of others, and \
             nobody sees a sum without noise"
        ),
        "hazards": [
            "the bounds of columns, the levels and the number of rows in the job are said to be known \
             beforehand; where they were read off the data, they are not covered",
            "that a bank ends the job for too few rows, and how long its steps take, is not covered",
            "what a bank does with its own rows and its own test results at home is not covered",
            "jobs without noise on the same data set are not in the total",
        ],
    }))
}
