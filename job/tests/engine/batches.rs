//! Mini-batches against their plan, their contract, and what they refuse.

use paripassu_job::spec::{MiniBatches, SpecErrors};
use paripassu_protocol::vertical::sgd::{self, SgdFit, SgdSpec};

use super::*;

const EPOCHS: u64 = 4;

fn batches(parties: usize) -> Spec {
    let mut spec = spec_of(parties);
    spec.solver.method = SolverMethod::Sgd;
    spec.solver.batches = MiniBatches {
        epochs: EPOCHS,
        batch: 550,
        ..MiniBatches::default()
    };
    spec
}

fn asked(spec: &Spec) -> SgdSpec {
    let of = &spec.solver.batches;
    SgdSpec {
        l2: spec.model.l2.value(),
        epochs: of.epochs as usize,
        batch: of.batch as usize,
        rate: of.rate.value(),
        momentum: of.momentum.value(),
        seed: of.seed,
        range: match spec.solver.range {
            AutoOr::Auto => None,
            AutoOr::Is(range) => Some(range),
        },
    }
}

struct Trained {
    fits: Vec<Result<SgdFit, Abort>>,
    links: BTreeMap<(String, String), u64>,
    rounds: Vec<u64>,
    ledgers: Vec<Arc<Mutex<Ledger>>>,
}

impl Trained {
    fn opened(&self, id: &DisclosureId) -> u32 {
        let lines = self.ledgers[0].lock().unwrap().summary().lines;
        let mut lines = lines.into_iter();
        lines.find(|line| line.declared.id == *id).unwrap().times
    }
}

async fn trained(spec: &Spec, scale: f64) -> Trained {
    let contract = Contract::new(
        spec.clone(),
        JobId::from_bytes([7; 16]),
        Timestamp::from_unix(1_772_323_200).unwrap(),
        Submitter::user("modeler".parse().unwrap()),
    )
    .unwrap();
    let parties = spec.party.len();
    let ids: Vec<NodeId> = contract.parties().into_iter().cloned().collect();
    let ledger = || Arc::new(Mutex::new(Ledger::new(&contract)));
    let ledgers: Vec<_> = ids.iter().map(|_| ledger()).collect();
    let world = World::new(parties as u8);
    let (columns, names, asked) = (columns(spec), ids.clone(), asked(spec));
    let (rows, labels) = sample(scale);
    let (books, rounds) = (ledgers.clone(), Arc::new(Mutex::new(vec![0; parties])));
    let count = Arc::clone(&rounds);
    let fits = world
        .run(
            move |me, ctx| {
                let own = columns[me].clone();
                let input = LogisticInput {
                    x: rows.iter().flat_map(|r| r[own.clone()].to_vec()).collect(),
                    cols: own.len(),
                    rows: ROWS,
                    label: (me == 0).then(|| labels.clone()),
                    row_weights: None,
                    offset: None,
                    signs: Vec::new(),
                };
                let (asked, book) = (asked.clone(), Book(Arc::clone(&books[me]), names.clone()));
                let count = Arc::clone(&count);
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let mut engine = Engine::new(&ctx, source, Box::new(book))?;
                    let quiet = &mut |_: u32, _: u32, _: bool| {};
                    let fit = sgd::train(&mut engine, &asked, input, quiet).await;
                    engine.source_mut().done().await?;
                    count.lock().unwrap()[me] = ctx.meter().rounds();
                    fit
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(parties as u8)).await.map(drop) },
        )
        .await;
    let name = |role: Role| match role {
        Role::Party(p) => ids[usize::from(p)].to_string(),
        Role::Helper => "coordinator".to_owned(),
    };
    let mut links = BTreeMap::new();
    for (from, to, _, body) in world.log() {
        *links.entry((name(from), name(to))).or_insert(0) += body.len() as u64;
    }
    let rounds = rounds.lock().unwrap().clone();
    Trained {
        fits,
        links,
        rounds,
        ledgers,
    }
}

#[tokio::test]
async fn bytes_rounds_and_openings_are_exactly_those_planned() {
    for (parties, range) in [
        (2, AutoOr::Auto),
        (2, AutoOr::Is(8)),
        (3, AutoOr::Is(32)),
        (4, AutoOr::Auto),
        (5, AutoOr::Auto),
    ] {
        let mut spec = batches(parties);
        spec.solver.range = range;
        let ran = trained(&spec, 0.5).await;
        let facts = &ran.fits[0].as_ref().unwrap().facts;
        let first = Series::tried(&spec)[0];
        assert_eq!(
            (facts.range, facts.terms, facts.epochs as u64),
            (f64::from(first.range), first.terms as usize, EPOCHS)
        );
        let plan = planned(&spec);
        assert_eq!(plan.solver.unwrap().steps, Steps::Sgd);
        assert_eq!((plan.passes, plan.hessian_rows), (EPOCHS, 0));
        assert_eq!(plan.batches, facts.batches as u64);
        let (links, rounds) = of_engine(&plan);
        assert_eq!(ran.links, links, "{parties} parties");
        assert_eq!(ran.rounds, rounds, "{parties} parties");
        // one bit, and each party's coefficients to itself: no bit says whether training has settled
        let summary = ran.ledgers[0].lock().unwrap().summary();
        let declared = |id: &DisclosureId| summary.lines.iter().any(|l| l.declared.id == *id);
        assert!(!declared(&DisclosureId::TrainConverged));
        assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 1);
        for (ledger, party) in ran.ledgers.iter().zip(&spec.party) {
            let lines = ledger.lock().unwrap().summary().lines;
            let own = DisclosureId::ReleaseCoefficients(party.id.clone());
            let told = lines.iter().find(|l| l.declared.id == own).unwrap();
            assert_eq!(told.times, 1);
        }
    }
}

#[tokio::test]
async fn a_training_that_begins_anew_costs_what_is_planned_for_both_ranges() {
    let mut spec = batches(2);
    spec.solver.batches.epochs = 40;
    spec.solver.batches.batch = 300;
    spec.model.l2 = Decimal::new(0.001).unwrap();
    let ran = trained(&spec, 12.0).await;
    let facts = &ran.fits[0].as_ref().unwrap().facts;
    assert_eq!((facts.range, facts.epochs), (32.0, 80));
    assert_eq!(planned(&spec).max_passes, 80);
    let taken = Taken {
        passes: 80,
        ..Taken::default()
    };
    let plan = plan_taken(&spec, &assumed(&spec), &taken).unwrap();
    assert_eq!((ran.links.clone(), ran.rounds.clone()), of_engine(&plan));
    assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 2);
    // as many as the contract allows
    let mut ledger = ran.ledgers[0].lock().unwrap();
    assert!(ledger.record(&DisclosureId::TrainRangeCheck, 1).is_err());
}

#[tokio::test]
async fn scores_out_of_the_named_range_end_the_job_with_one_bit() {
    let mut spec = batches(2);
    spec.solver.range = AutoOr::Is(8);
    spec.solver.batches.epochs = 40;
    spec.solver.batches.batch = 300;
    let ran = trained(&spec, 12.0).await;
    for fit in &ran.fits {
        let error = fit.as_ref().unwrap_err();
        assert_eq!(error.code(), "out_of_range");
        assert!(error.to_string().contains("solver.rate"), "{error}");
    }
    assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 1);
}

/// What the protocol declares, of sizes too large to run here: masks of several groups of passes among them.
#[test]
fn large_trainings_are_planned_as_the_protocol_declares() {
    for (parties, rows, epochs, batch) in [
        (2, 1_000_000, 10, 8_192),
        (3, 1_500_000, 7, 65_536),
        (5, 30_000, 10, 4_096),
    ] {
        let mut spec = batches(parties);
        (
            spec.solver.batches.epochs,
            spec.solver.batches.batch,
            spec.split.test_tenths,
        ) = (epochs, batch, 3);
        let mut assumptions = Assumptions::usual(&spec);
        let columns = |p: usize| 40 + 7 * p;
        for (p, party) in spec.party.iter().enumerate() {
            let size = PartySize {
                rows: 3_000_000,
                design_columns: columns(p) as u64,
            };
            assumptions.parties.insert(party.id.clone(), size);
        }
        assumptions.matched = rows as u64 + 10_000;
        let taken = Taken {
            passes: epochs,
            test_rows: Some(10_000),
            ..Taken::default()
        };
        let plan = plan_taken(&spec, &assumptions, &taken).unwrap();
        assert_eq!(plan.train_rows, rows as u64);
        let widths: Vec<usize> = (0..parties)
            .map(|p| columns(p) + usize::from(p == 0))
            .collect();
        for (me, party) in spec.party.iter().enumerate() {
            let declared = sgd::cost::of_party(&asked(&spec), rows, &widths, me, 16);
            let names = [
                "masked features",
                "masks for some passes",
                "batches",
                "ends of passes",
            ];
            let steps = plan.steps.iter();
            let steps = steps.filter(|step| names.contains(&step.step.as_str()));
            let (mut rounds, mut sent, mut received) = (0, 0, 0);
            for step in steps {
                rounds += step.waits_of(&party.id);
                for link in &step.links {
                    sent += if link.from == party.id { link.bytes } else { 0 };
                    received += if link.to == party.id { link.bytes } else { 0 };
                }
            }
            assert_eq!(
                (rounds, sent, received),
                (
                    declared.rounds,
                    declared.bytes_sent,
                    declared.from_parties + declared.from_helper
                ),
                "{parties} parties, party {me}"
            );
        }
    }
}

/// What is said of a template whose solver is this, and this changed.
fn said(solver: &str, change: impl Fn(String) -> String) -> Result<Spec, SpecErrors> {
    let text = template(TemplateKind::VerticalLogistic);
    let passes = ["max_passes = 20 ", "tolerance = 2e-5 ", "stop = \"bit\" "];
    let text = passes
        .iter()
        .fold(text.to_owned(), |text, key| text.replace(key, "# "));
    let text = text.replace("method = \"newton\"", solver);
    Spec::from_toml(&change(text), "job.toml")
}

#[test]
fn keys_of_mini_batches_have_their_defaults_and_stand_in_the_contract() {
    let spec = said("method = \"sgd\"", |text| text).unwrap();
    assert_eq!(spec.solver.batches, MiniBatches::default());
    assert_eq!(spec.solver.ranges(), [16, 32]);
    let of = asked(&spec);
    let usual = SgdSpec::default();
    assert_eq!(of, usual);
    let named = "method = \"sgd\"\nepochs = 20\nbatch = 8192\nrate = 0.5\nmomentum = 0.9\nseed = 7";
    let spec = said(named, |text| text.replace("range = \"auto\"", "range = 8 ")).unwrap();
    let written = serde_json::to_value(&spec.solver).unwrap();
    let wanted = serde_json::json!({
        "method": "sgd", "range": 8, "epochs": 20, "batch": 8192, "rate": "0.5", "momentum": "0.9", "seed": 7,
    });
    assert_eq!(written, wanted);
    // what is signed is what is read
    let contract = Contract::new(
        spec.clone(),
        JobId::from_bytes([7; 16]),
        Timestamp::from_unix(1_772_323_200).unwrap(),
        Submitter::user("modeler".parse().unwrap()),
    )
    .unwrap();
    let read = Contract::parse(contract.canonical().as_bytes()).unwrap();
    assert_eq!((read.spec(), read.digest()), (&spec, contract.digest()));
    // and contracts of other methods say nothing of batches
    let other = serde_json::to_value(said("method = \"newton\"", |t| t).unwrap().solver).unwrap();
    assert!(other.get("epochs").is_none() && other["max_passes"] == 20);
}

#[test]
fn keys_of_another_method_are_refused_with_what_to_do() {
    for (solver, key, why) in [
        (
            "method = \"newton\"\nbatch = 4096",
            "solver.batch",
            "\"sgd\"",
        ),
        ("method = \"auto\"\nseed = 3", "solver.seed", "\"sgd\""),
        (
            "method = \"newton\"\nlink = { mbit_per_s = 20, round_trip_ms = 40 }",
            "solver.link",
            "\"auto\"",
        ),
        (
            "method = \"auto\"\nlink = { mbit_per_s = 0, round_trip_ms = 40 }",
            "solver.link.mbit_per_s",
            "outside 1 to 100000",
        ),
        (
            "method = \"accelerated\"\nepochs = 10",
            "solver.epochs",
            "\"sgd\"",
        ),
        (
            "method = \"sgd\"\nmax_passes = 20",
            "solver.max_passes",
            "solver.epochs",
        ),
        (
            "method = \"sgd\"\ntolerance = 1e-4",
            "solver.tolerance",
            "leave this out",
        ),
        (
            "method = \"sgd\"\nstop = \"fixed\"",
            "solver.stop",
            "leave this out",
        ),
        ("method = \"sgd\"\nepochs = 1", "solver.epochs", "2 to 1000"),
        (
            "method = \"sgd\"\nbatch = 65537",
            "solver.batch",
            "64 to 65536",
        ),
        ("method = \"sgd\"\nrate = 2.5", "solver.rate", "0.01 to 2"),
        (
            "method = \"sgd\"\nmomentum = 0.96",
            "solver.momentum",
            "0 to 0.95",
        ),
        (
            "method = \"sgd\"\nepoch = 10",
            "solver.epoch",
            "did you mean `epochs`",
        ),
        ("method = \"sdg\"", "solver.method", "did you mean `sgd`"),
    ] {
        let text = said(solver, |text| text).unwrap_err().to_string();
        assert!(text.contains(key) && text.contains(why), "{solver}: {text}");
        // the line of the key, which stands in the line after the method or in its own
        assert!(text.starts_with("job.toml:"), "{text}");
    }
    let named = [
        ("terms = \"auto\"", "terms = 20 ", "solver.terms"),
        (
            "hessian_rows = \"auto\"",
            "hessian_rows = 5000 ",
            "solver.hessian_rows",
        ),
        ("range = \"auto\"", "range = 64 ", "solver.range"),
    ];
    for (from, to, key) in named {
        let text = said("method = \"sgd\"", |text| text.replace(from, to));
        let text = text.unwrap_err().to_string();
        assert!(text.contains(key), "{text}");
    }
}

#[test]
fn what_mini_batches_cannot_do_is_refused_with_the_reason() {
    let method = "method = \"sgd\"";
    let listed = |text: String| {
        text.replacen(
            "columns = \"all\"                    # or",
            "columns = { numeric = [\"limit\", \"old\"], categorical = [\"month\"] } #",
            1,
        )
    };
    let in_model = |line: &'static str| {
        move |text: String| text.replace("intercept = true", &format!("intercept = true\n{line}"))
    };
    let added = |lines: &'static str| move |text: String| format!("{text}\n{lines}\n");
    let refused = |said: Result<Spec, SpecErrors>, key: &str, why: &str| {
        let text = said.unwrap_err().to_string();
        let line = text.lines().find(|line| line.contains(key));
        let line = line.unwrap_or_else(|| panic!("nothing of {key}: {text}"));
        let wanted = [why, "leave this out, or take solver.method = \"newton\""];
        assert!(wanted.iter().all(|w| line.contains(w)), "{text}");
    };
    let errors = |text: String| text.replace("standard_errors = false", "standard_errors = true");
    refused(said(method, errors), "outputs.standard_errors", "Hessian");
    let once = "each training row once";
    for (line, key, why) in [
        ("l1 = 5", "model.l1", "Newton step"),
        (
            "class_weight = { good = 1, bad = 4 }",
            "model.class_weight",
            once,
        ),
        (
            "weight = { party = \"bank\", column = \"limit\", max = 10 }",
            "model.weight",
            once,
        ),
        ("offset = \"old\"", "model.offset", "at the intercept"),
        ("woe_signs = true", "model.woe_signs", "Newton step"),
        (
            "sign = [{ party = \"bank\", column = \"limit\", sign = \"positive\" }]",
            "model.sign",
            "Newton step",
        ),
    ] {
        let change = |text: String| in_model(line)(listed(text));
        refused(said(method, change), key, why);
    }
    for (lines, key, why) in [
        ("[tuning]\nl2 = [0.1, 1]", "tuning", "at their optima"),
        ("[selection]\nmax_correlation = 0.8", "selection", "alone"),
        (
            "[selection.stepwise]\nby = \"aic\"",
            "selection",
            "accelerated steps alone",
        ),
        (
            "[reject_inference]\nrejected = \"old\"\nodds = 2.0",
            "reject_inference",
            once,
        ),
        (
            "[binning]\ncounts = \"strict\"",
            "binning.counts",
            "whitened",
        ),
        (
            "[evaluation]\nmonth = \"month\"\nout_of_time = \"2026-01\"",
            "evaluation.out_of_time",
            once,
        ),
    ] {
        let change = |text: String| added(lines)(listed(text));
        refused(said(method, change), key, why);
    }
    // bins whose weights of evidence their owner knows, and a scorecard, are not
    let fine = "[binning]\n[scorecard]";
    assert!(said(method, added(fine)).is_ok());
}

#[test]
fn few_steps_are_warned_of_and_the_plan_says_where_it_ends() {
    let mut spec = batches(2);
    let text = planned(&spec).to_string();
    assert!(text.contains("mini-batches, named in the job"), "{text}");
    assert!(text.contains("4 passes of 6 batches"), "{text}");
    assert!(text.contains("near the optimum, not at it"), "{text}");
    let warned = planned(&spec).warnings.join("\n");
    assert!(warned.contains("solver.batch = 150 or less"), "{warned}");
    spec.solver.batches.batch = 150;
    assert_eq!(planned(&spec).warnings, Vec::<String>::new());
}
