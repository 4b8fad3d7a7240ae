//! A network on columns of several parties: what is asked of the protocol, and what becomes of its results.

use std::time::Instant;

use ndarray::Array2;
use paripassu_job::spec::{Activation, Network, Schedule, Spec};
use paripassu_model::report::{Fact, Solver};
use paripassu_protocol::{
    abort::Abort,
    arith::Engine,
    correlation::HelperSource,
    vertical::{
        course::Course,
        network::{
            self, Dense, EDGE, Hidden, NetworkFit, NetworkInput, NetworkSpec, hidden_series, plain,
        },
    },
};
use paripassu_service::transport::JobChannel;
use serde_json::{Value, json};

use super::{Prepared, Run, own, page, rows, timed};

/// What the protocol is asked for by the network of a checked job.
///
/// # Errors
/// If a number does not fit this machine.
pub fn spec(spec: &Spec, network: &Network) -> Result<NetworkSpec, Abort> {
    let step = spec.outputs.scores.as_ref().map(|s| s.step.value());
    Ok(NetworkSpec {
        hidden: network.hidden.iter().map(|h| *h as usize).collect(),
        activation: match network.activation {
            Activation::Tanh => Hidden::Tanh,
            Activation::Relu => Hidden::Relu,
        },
        epochs: usize::try_from(network.epochs).map_err(own)?,
        batch: usize::try_from(network.batch).map_err(own)?,
        rate: network.rate.value(),
        schedule: match network.schedule {
            Schedule::Constant => network::Schedule::Constant,
            Schedule::Linear => network::Schedule::Linear,
            Schedule::Cosine => network::Schedule::Cosine,
        },
        momentum: network.momentum.value(),
        l2: spec.model.l2.value(),
        dropout: network.dropout.value(),
        seed: network.seed,
        validation_tenths: usize::try_from(network.validation_tenths).map_err(own)?,
        patience: usize::try_from(network.patience).map_err(own)?,
        // a power of two from 2^-16 to 1, as the job was checked for
        score_step_log2: step.map(|step| (-step.log2()).round() as u32),
        row_weights: rows::declared(spec)?,
    })
}

impl Run {
    /// Trains the network with the others.
    pub(super) async fn joint_network(
        &self,
        engine: &mut Engine<JobChannel, HelperSource<JobChannel>>,
        spec: &NetworkSpec,
        data: &Prepared,
    ) -> Result<NetworkFit, Abort> {
        let input = NetworkInput {
            x: data.train.iter().copied().collect(),
            cols: data.train.ncols(),
            rows: data.train.nrows(),
            label: data.train_label.clone(),
            row_weights: data.rows.weights.clone(),
            test: data.test.iter().copied().collect(),
            test_rows: data.test.nrows(),
        };
        let start = Instant::now();
        let reporter = self.reporter.clone();
        let mut progress = move |done: u32, of: u32, _: bool| {
            reporter.progress(&timed("batches", start, done.into(), of.into()));
        };
        let mut kept = self.training(data).await?;
        let course = kept.as_mut().map(|kept| kept as &mut dyn Course);
        network::train_on(engine, spec, input, course, &mut progress).await
    }
}

/// Log-odds of test rows by the same network on the label holder's own columns, trained in the clear with the weights
/// of rows that it knows.
pub(super) fn alone(
    spec: &NetworkSpec,
    train: (&Array2<f64>, &[u8]),
    weights: Option<&[f64]>,
    test: &Array2<f64>,
) -> Result<Vec<f64>, Abort> {
    plain::train(spec, train, weights, plain::Activation::Series)?.log_odds(test)
}

fn layer(dense: &Dense) -> Value {
    let rows: Vec<&[f64]> = dense.weights.chunks(dense.outputs.max(1)).collect();
    json!({ "weights": rows, "biases": dense.biases })
}

/// `model.json`: standardise, cut at ± `edge`, multiply; the sum over all parties, with the biases, goes through
/// `activation` and, at the label holder, through the further layers; the last gives log-odds of bad.
pub(super) fn model(job: &str, party: &str, data: &Prepared, fit: &NetworkFit) -> Value {
    let columns = data.design.columns().iter();
    let columns: Vec<Value> = columns
        .map(|c| json!({ "name": c.name, "mean": c.mean, "sd": c.sd, "source": c.source }))
        .collect();
    let layers: Vec<Value> = [&fit.first]
        .into_iter()
        .chain(&fit.further)
        .map(layer)
        .collect();
    let activation = match fit.facts.activation {
        Hidden::Tanh => {
            let series = hidden_series();
            // t(z) = 2 * sum over i of sines[i] * sin((2 i + 1) 2 pi z / period)
            json!({
                "name": "tanh, as a sine series", "period": 2.0 * series.range(), "sines": series.coefs(),
            })
        }
        Hidden::Relu => json!({ "name": "relu" }),
    };
    json!({
        "format": 1, "job": job, "party": party, "kind": "mlp", "edge": EDGE,
        "activation": activation, "columns": columns, "layers": layers,
    })
}

/// How it was trained, for the report.
pub(super) fn solver(run: &Run, network: &Network, fit: &NetworkFit) -> Solver {
    let f = &fit.facts;
    let fact = |name: &str, value: String| Fact {
        name: name.into(),
        value,
    };
    let widths: Vec<String> = network.hidden.iter().map(ToString::to_string).collect();
    let meter = run.ctx.meter().by_phase();
    let train = meter.get("train").cloned().unwrap_or_default();
    let activation = match network.activation {
        Activation::Tanh => "tanh, as a sine series",
        Activation::Relu => "relu",
    };
    let mut facts = vec![
        fact("Hidden layers", widths.join(", ")),
        fact("Activation", activation.to_owned()),
        fact(
            "Epochs",
            format!("{} of at most {}", f.epochs, network.epochs),
        ),
        fact("Batches of an epoch", f.batches.to_string()),
        fact("Learning rate, momentum", {
            let schedule = match network.schedule {
                Schedule::Constant => "constant",
                Schedule::Linear => "falling on a line",
                Schedule::Cosine => "falling on a cosine",
            };
            format!("{} ({schedule}), {}", network.rate, network.momentum)
        }),
        fact("Public seed", network.seed.to_string()),
    ];
    let weighing = page::weighing(run.contract.spec());
    facts.extend(weighing.into_iter().map(|(name, value)| fact(name, value)));
    if network.dropout.value() > 0.0 {
        facts.push(fact("Dropout", network.dropout.to_string()));
    }
    if f.validation_rows > 0 {
        facts.push(fact(
            "Rows on which the loss was watched",
            f.validation_rows.to_string(),
        ));
        facts.push(fact("Weights taken after epoch", f.best.to_string()));
    }
    facts.extend([
        fact("Rounds of training", train.rounds.to_string()),
        fact(
            "Training bytes sent by this party",
            train.bytes_sent.to_string(),
        ),
        fact(
            "Training bytes received by this party",
            train.bytes_received.to_string(),
        ),
    ]);
    if network.activation == Activation::Tanh {
        facts.push(fact(
            "Largest difference of the hidden layers' series from tanh, on ±4",
            format!("{:.1e}", 2.0 * f.series_errors[0]),
        ));
    }
    Solver {
        model: "network, vertical split".into(),
        method: "stochastic gradient descent with momentum on shares; weights, activations and gradients shared"
            .into(),
        l2: Some(run.contract.spec().model.l2.value()),
        l1: None,
        passes: u32::try_from(f.epochs).ok(),
        converged: None,
        sigmoid_terms: Some(network::points::OUTPUT_TERMS as u32),
        sigmoid_range: Some(f64::from(1u32 << network::points::OUTPUT_RANGE_LOG2)),
        sigmoid_max_error: Some(f.series_errors[1]),
        fixed_point_bits: Some(fit.facts.weight_bits),
        facts,
    }
}
