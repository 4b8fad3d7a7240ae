//! The plan and the contract of a network.

use paripassu_job::spec::Activation;
use paripassu_job::{
    Contract, DisclosureId, JobId, Ledger, Spec, Submitter, Timestamp,
    spec::{TemplateKind, template},
};
use paripassu_protocol::vertical::logistic::RowWeights;
use paripassu_protocol::vertical::network::{
    self as protocol, Hidden, NetworkInput, NetworkSpec, Schedule,
};

use super::*;

/// Test rows beside the training rows of the sample.
const TEST_ROWS: usize = 1_285;

fn network_of(parties: usize) -> Spec {
    let mut spec = Spec::from_toml(template(TemplateKind::VerticalMlp), "job.toml").unwrap();
    spec.party = spec_of(parties).party;
    if parties > 2 {
        spec.align.method = AlignMethod::Vole;
    }
    spec.outputs.metrics_to.clear();
    let network = spec.network.as_mut().unwrap();
    network.hidden = vec![5, 3];
    network.epochs = 3;
    network.batch = 500;
    network.validation_tenths = 2;
    network.patience = 0;
    spec
}

fn asked(spec: &Spec) -> NetworkSpec {
    let network = spec.network.as_ref().unwrap();
    NetworkSpec {
        hidden: network.hidden.iter().map(|h| *h as usize).collect(),
        activation: match network.activation {
            Activation::Tanh => Hidden::Tanh,
            Activation::Relu => Hidden::Relu,
        },
        epochs: network.epochs as usize,
        batch: network.batch as usize,
        rate: network.rate.value(),
        schedule: Schedule::Constant,
        momentum: network.momentum.value(),
        l2: spec.model.l2.value(),
        dropout: network.dropout.value(),
        seed: network.seed,
        validation_tenths: network.validation_tenths as usize,
        patience: network.patience as usize,
        score_step_log2: spec.outputs.scores.as_ref().map(|_| 10),
        row_weights: spec
            .row_weights()
            .into_iter()
            .map(|(party, max)| RowWeights {
                party: party as u8,
                max,
            })
            .collect(),
    }
}

async fn trained(spec: &Spec) -> (BTreeMap<(String, String), u64>, Vec<u64>, Vec<Ledger>) {
    let contract = Contract::new(
        spec.clone(),
        JobId::from_bytes([7; 16]),
        Timestamp::from_unix(1_772_323_200).unwrap(),
        Submitter::user("modeler".parse().unwrap()),
    )
    .unwrap();
    let parties = spec.party.len();
    let ids: Vec<NodeId> = contract.parties().into_iter().cloned().collect();
    let ledgers: Vec<_> = ids
        .iter()
        .map(|_| Arc::new(Mutex::new(Ledger::new(&contract))))
        .collect();
    let world = World::new(parties as u8);
    let (columns, names, asked) = (columns(spec), ids.clone(), asked(spec));
    let holders = spec.row_weights();
    let (rows, labels) = sample(1.0);
    let (books, rounds) = (ledgers.clone(), Arc::new(Mutex::new(vec![0; parties])));
    let count = Arc::clone(&rounds);
    let fits = world
        .run(
            move |me, ctx| {
                let own = columns[me].clone();
                let x: Vec<f64> = rows.iter().flat_map(|r| r[own.clone()].to_vec()).collect();
                let input = NetworkInput {
                    test: x[..TEST_ROWS * own.len()].to_vec(),
                    test_rows: TEST_ROWS,
                    x,
                    cols: own.len(),
                    rows: ROWS,
                    label: (me == 0).then(|| labels.clone()),
                    row_weights: holders
                        .iter()
                        .any(|(party, _)| *party == me)
                        .then(|| vec![0.7; ROWS]),
                };
                let (asked, book) = (asked.clone(), Book(Arc::clone(&books[me]), names.clone()));
                let count = Arc::clone(&count);
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let mut engine = Engine::new(&ctx, source, Box::new(book))?;
                    let (course, quiet) = (&mut Keeps::default(), &mut |_, _, _| {});
                    let fit =
                        protocol::train_on(&mut engine, &asked, input, Some(course), quiet).await;
                    engine.source_mut().done().await?;
                    count.lock().unwrap()[me] = ctx.meter().rounds();
                    fit
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(parties as u8)).await.map(drop) },
        )
        .await;
    fits.into_iter().for_each(|fit| drop(fit.unwrap()));
    let name = |role: Role| match role {
        Role::Party(p) => ids[usize::from(p)].to_string(),
        Role::Helper => "coordinator".to_owned(),
    };
    let mut links = BTreeMap::new();
    for (from, to, _, body) in world.log() {
        *links.entry((name(from), name(to))).or_insert(0) += body.len() as u64;
    }
    let rounds = rounds.lock().unwrap().clone();
    let ledgers = ledgers.into_iter();
    let ledgers = ledgers.map(|l| Arc::into_inner(l).unwrap().into_inner().unwrap());
    (links, rounds, ledgers.collect())
}

#[tokio::test]
async fn bytes_of_a_network_are_exactly_those_planned() {
    let number = |n| Decimal::new(n).unwrap();
    for (parties, relu, weights) in [
        (2, false, false),
        (3, false, true),
        (5, false, false),
        (2, true, true),
        (3, true, false),
        (5, true, false),
    ] {
        let mut spec = network_of(parties);
        if relu {
            spec.network.as_mut().unwrap().activation = Activation::Relu;
        }
        if weights {
            spec.model.class_weight = Some(ClassWeight {
                good: number(1.0),
                bad: number(2.0),
            });
            let holder = spec.party.last_mut().unwrap();
            holder.columns = Columns::Listed {
                numeric: ["exposure", "balance"].map(str::to_owned).to_vec(),
                categorical: Vec::new(),
            };
            spec.model.weight = Some(RowWeight {
                party: holder.id.clone(),
                column: "exposure".to_owned(),
                max: number(1.5),
            });
        }
        let (links, rounds, ledgers) = trained(&spec).await;
        let plan = planned(&spec);
        assert_eq!((plan.test_rows, plan.batches), (TEST_ROWS as u64, 5));
        let (expected, expected_rounds) = of_engine(&plan);
        assert_eq!(links, expected);
        assert_eq!(rounds, expected_rounds, "{parties} parties");
        // what was opened is what the contract declares, and no more can be
        for ledger in ledgers {
            let times = |id: &DisclosureId| -> u32 {
                let lines = ledger.summary().lines;
                lines.iter().find(|l| l.declared.id == *id).unwrap().times
            };
            assert_eq!(times(&DisclosureId::TrainImproved), 2);
            let looks = 3 + u32::from(relu);
            assert_eq!(times(&DisclosureId::TrainRangeCheck), looks);
            assert_eq!(times(&DisclosureId::ReleaseScores), 1);
            for party in &spec.party {
                assert_eq!(
                    times(&DisclosureId::ReleaseCoefficients(party.id.clone())),
                    1
                );
            }
        }
    }
}

#[test]
fn a_network_that_does_not_fit_is_refused_with_its_key() {
    let text = template(TemplateKind::VerticalMlp);
    for (from, to, key, why) in [
        (
            "hidden = [64, 32]",
            "hidden = []",
            "network.hidden",
            "1 to 4",
        ),
        (
            "hidden = [64, 32]",
            "hidden = [64, 0]",
            "network.hidden[1]",
            "1 to 512",
        ),
        (
            "kind = \"mlp\"",
            "kind = \"logistic\"",
            "network",
            "model.kind = \"mlp\"",
        ),
        (
            "activation = \"tanh\"",
            "activation = \"gelu\"",
            "activation",
            "relu",
        ),
        (
            "momentum = 0.9",
            "momentum = 1.0",
            "network.momentum",
            "0 to 0.99",
        ),
        (
            "patience = 0",
            "patience = 0\nepoch = 3",
            "network",
            "epoch",
        ),
        (
            "patience = 0",
            "patience = 4",
            "network.patience",
            "rows to watch the loss on",
        ),
        (
            "intercept = true",
            "intercept = true\noffset = \"champion\"",
            "model.offset",
            "for logistic regression",
        ),
        (
            "[outputs]",
            "[outputs]\nstandard_errors = true",
            "outputs.standard_errors",
            "no standard errors",
        ),
        (
            "[outputs]",
            "[solver]\nmax_passes = 3\n[outputs]",
            "solver",
            "set in [network]",
        ),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        let told = Spec::from_toml(&changed, "job.toml")
            .unwrap_err()
            .to_string();
        assert!(told.contains(key) && told.contains(why), "{key}: {told}");
    }
    // and none beside what trains nothing so
    let horizontal = template(TemplateKind::HorizontalMlp).to_owned() + "\n[network]\nepochs = 3\n";
    let told = Spec::from_toml(&horizontal, "job.toml")
        .unwrap_err()
        .to_string();
    assert!(told.contains("[horizontal.training]"), "{told}");
}
