//! The plan and the contract against the engine they describe.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

mod accelerated;
mod batches;
mod network;
mod resumed;
mod selection;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex},
};

use paripassu_job::{
    Assumptions, Contract, Decimal, DisclosureId, JobId, Ledger, NodeId, Plan, Spec, Submitter,
    Timestamp, constants,
    plan::{PartySize, Series, Taken, choose, plan, plan_taken},
    spec::{
        AlignMethod, AutoOr, ClassWeight, Columns, Party, RowWeight, SolverMethod, Steps, Stop,
        TemplateKind, template,
    },
};
use paripassu_protocol::{
    abort::Abort,
    align,
    arith::{Engine, Opening, Openings, Receivers},
    channel::Role,
    correlation::{CorrelationSource, HelperSource, deal},
    testing::{World, dealt::seeds},
    vertical::{
        course::{Course, Kept, State},
        logistic::{self, LogisticFit, LogisticInput, LogisticSpec},
        stepwise::{Stepwise, train_stepwise},
    },
};

const ROWS: usize = 3_000;
/// All design columns.
const COLUMNS: usize = 11;

/// Agrees on states with the others, as a node does, and keeps them in memory.
#[derive(Clone, Default)]
struct Keeps {
    kept: Arc<Mutex<Vec<State>>>,
    /// What is held of an aborted job.
    before: Option<Vec<State>>,
}

impl Course for Keeps {
    fn job(&self) -> [u8; 32] {
        [7; 32]
    }

    fn head(&self) -> Result<[u8; 32], Abort> {
        Ok([8; 32])
    }

    fn keep(&mut self, state: State) -> Kept<'_> {
        self.kept.lock().unwrap().push(state);
        Box::pin(async { Ok(()) })
    }

    fn held(&self) -> Option<Vec<(u32, [u8; 32])>> {
        let before = self.before.as_ref()?.iter();
        Some(before.map(|state| (state.point, state.name)).collect())
    }

    fn take(&mut self, point: u32) -> Option<State> {
        let mut before = self.before.take()?.into_iter();
        before.find(|state| state.point == point)
    }
}

fn spec() -> Spec {
    Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml").unwrap()
}

/// The same with so many parties.
fn spec_of(parties: usize) -> Spec {
    let mut spec = spec();
    let partner = spec.party[1].clone();
    for id in ["bureau", "shop", "telecom"].iter().take(parties - 2) {
        spec.party.push(Party {
            id: id.parse().unwrap(),
            ..partner.clone()
        });
        spec.align.method = AlignMethod::Vole;
    }
    spec
}

/// Who has which columns.
fn columns(spec: &Spec) -> Vec<Range<usize>> {
    let parties = spec.party.len();
    (0..parties)
        .map(|p| p * COLUMNS / parties..(p + 1) * COLUMNS / parties)
        .collect()
}

/// The engine's parameters of a specification.
fn solver(spec: &Spec) -> LogisticSpec {
    let fixed = |setting| match setting {
        AutoOr::Auto => None,
        AutoOr::Is(number) => Some(number),
    };
    let held = spec.row_weights().into_iter();
    LogisticSpec {
        row_weights: held
            .map(|(party, max)| logistic::RowWeights {
                party: party as u8,
                max,
            })
            .collect(),
        l2: spec.model.l2.value(),
        l1: spec.model.l1.value(),
        signs: spec.has_signs(),
        tolerance: spec.solver.tolerance.value(),
        max_passes: spec.solver.max_passes as u32,
        method: match spec.solver.method {
            SolverMethod::Accelerated => logistic::Method::Accelerated,
            _ => logistic::Method::Newton,
        },
        chooser: chooser(spec),
        stop: match spec.solver.stop {
            Stop::Bit => logistic::Stop::Bit,
            Stop::Fixed => logistic::Stop::After(spec.solver.max_passes as u32),
        },
        range_log2: fixed(spec.solver.range).map(u32::ilog2),
        terms: fixed(spec.solver.terms).map(|terms| terms as usize),
        hessian_rows: fixed(spec.solver.hessian_rows).map(|rows| rows as usize),
        standard_errors: spec.outputs.standard_errors,
    }
}

/// By sizes, as a party does where the job leaves it open.
fn chooser(spec: &Spec) -> Option<(logistic::Chooser, u32)> {
    if spec.solver.method != SolverMethod::Auto {
        return None;
    }
    let of = spec.clone();
    let rule = move |rows: usize, widths: &[usize]| {
        let columns = widths.iter().enumerate();
        let columns: Vec<u64> = columns
            .map(|(p, width)| (width - usize::from(p == 0)) as u64)
            .collect();
        match choose(&of, rows as u64, &columns).steps {
            Steps::Newton | Steps::Sgd => logistic::Method::Newton,
            Steps::Accelerated => logistic::Method::Accelerated,
        }
    };
    let newton = spec.solver.most_passes(Steps::Newton) as u32;
    Some((logistic::Chooser::new(rule), newton))
}

/// Standardised columns of all parties, row by row, and a label that depends on them.
fn sample(scale: f64) -> (Vec<Vec<f64>>, Vec<u8>) {
    let mut state = 7_u64;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let rows: Vec<Vec<f64>> = (0..ROWS)
        .map(|_| {
            let common = uniform() - 0.5;
            (0..COLUMNS)
                .map(|_| (2.0 * uniform() - 1.0 + common) * 1.5)
                .collect()
        })
        .collect();
    let labels = rows
        .iter()
        .map(|row| {
            let score: f64 = row
                .iter()
                .zip([0.5, -0.7, 0.2, 0.0, 0.9, -0.4, 0.3, 0.6, -0.2, 0.1, -0.8])
                .map(|(x, w)| x * w * scale)
                .sum::<f64>()
                - scale;
            u8::from(uniform() < 1.0 / (1.0 + (-score).exp()))
        })
        .collect();
    (rows, labels)
}

/// Asks the contract's ledger, as a node does.
struct Book(Arc<Mutex<Ledger>>, Vec<NodeId>);

impl Openings for Book {
    fn record(&mut self, opening: Opening, to: Receivers, values: usize) -> Result<(), Abort> {
        let party = |position: u8| self.1[usize::from(position)].clone();
        let id = match (opening, to) {
            (Opening::Converged { .. }, Receivers::All) => DisclosureId::TrainConverged,
            (Opening::HeldPoints, Receivers::All) => DisclosureId::TrainHeld,
            (Opening::Correlations, Receivers::All) => DisclosureId::SelectionCorrelations,
            (Opening::Correlated, Receivers::All) => DisclosureId::SelectionPairs,
            (Opening::Inflated { .. }, Receivers::All) => DisclosureId::SelectionInflated,
            (Opening::Inflation { party: owner }, Receivers::One(to)) if owner == to => {
                DisclosureId::SelectionInflation(party(owner))
            }
            (Opening::Leaving { .. }, Receivers::All) => DisclosureId::SelectionLeaving,
            (Opening::Entering { .. }, Receivers::All) => DisclosureId::SelectionEntering,
            (Opening::Improved { .. }, Receivers::All) => DisclosureId::TrainImproved,
            (Opening::Scores, Receivers::One(0)) => DisclosureId::ReleaseScores,
            (Opening::RangeExceeded | Opening::WithinRange { .. }, Receivers::All) => {
                DisclosureId::TrainRangeCheck
            }
            (Opening::Coefficients { party: owner }, Receivers::One(to)) if owner == to => {
                DisclosureId::ReleaseCoefficients(party(owner))
            }
            (Opening::StandardErrors { party: owner }, Receivers::One(to)) if owner == to => {
                DisclosureId::ReleaseStandardErrors(party(owner))
            }
            other => return Err(Abort::Input(format!("{other:?} is not declared"))),
        };
        let recorded = self.0.lock().unwrap().record(&id, values as u64);
        recorded.map(drop).map_err(|e| Abort::Input(e.to_string()))
    }
}

struct Ran {
    fits: Vec<Result<LogisticFit, Abort>>,
    /// Bytes by sender and receiver.
    links: BTreeMap<(String, String), u64>,
    /// What each party waited for, as its meter counts.
    rounds: Vec<u64>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Ran {
    fn opened(&self, id: &DisclosureId) -> u32 {
        let lines = self.ledger.lock().unwrap().summary().lines;
        let mut lines = lines.into_iter();
        lines.find(|line| line.declared.id == *id).unwrap().times
    }
}

async fn run(spec: &Spec, scale: f64) -> Ran {
    let courses = vec![Keeps::default(); spec.party.len()];
    run_on(spec, scale, courses).await
}

/// The same with what each party keeps, where this kind of training keeps anything.
async fn run_on(spec: &Spec, scale: f64, courses: Vec<Keeps>) -> Ran {
    let keeps = spec.kept_points().is_some();
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
    let (columns, names) = (columns(spec), ids.clone());
    let held: BTreeMap<usize, f64> = spec.row_weights().into_iter().collect();
    let (rows, labels) = sample(scale);
    let (solver, books) = (solver(spec), ledgers.clone());
    let stepwise = spec.stepwise().map(|asked| Stepwise {
        enter: asked.entering(),
        leave: asked.leaving(),
        most: asked.max_steps as u32,
    });
    let rounds = Arc::new(Mutex::new(vec![0; parties]));
    let count = Arc::clone(&rounds);
    let fits = world
        .run(
            move |me, ctx| {
                let own = columns[me].clone();
                let input = LogisticInput {
                    x: rows
                        .iter()
                        .flat_map(|row| row[own.clone()].to_vec())
                        .collect(),
                    cols: own.len(),
                    rows: ROWS,
                    label: (me == 0).then(|| labels.clone()),
                    row_weights: held.get(&me).map(|max| vec![*max; ROWS]),
                    offset: None,
                    signs: Vec::new(),
                };
                let (solver, book) = (solver.clone(), Book(Arc::clone(&books[me]), names.clone()));
                let count = Arc::clone(&count);
                let mut course = courses[me].clone();
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let mut engine = Engine::new(&ctx, source, Box::new(book))?;
                    let quiet = &mut |_: u32, _: u32, _: bool| {};
                    let fit = match stepwise {
                        None => {
                            let course = keeps.then_some(&mut course as &mut dyn Course);
                            logistic::train_on(&mut engine, &solver, input, course, quiet).await
                        }
                        Some(rule) => {
                            let made = train_stepwise(&mut engine, &solver, &rule, input, quiet);
                            made.await.map(|(fit, steps)| {
                                assert!(steps.is_empty(), "{steps:?}");
                                fit
                            })
                        }
                    };
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
    let ledger = Arc::clone(&ledgers[0]);
    let rounds = rounds.lock().unwrap().clone();
    Ran {
        fits,
        links,
        rounds,
        ledger,
    }
}

/// The plan for the sample's size.
fn planned(spec: &Spec) -> Plan {
    let plan = plan(spec, &assumed(spec)).unwrap();
    assert_eq!(plan.train_rows, ROWS as u64);
    plan
}

fn assumed(spec: &Spec) -> Assumptions {
    let mut assumptions = Assumptions::usual(spec);
    for (party, columns) in spec.party.iter().zip(columns(spec)) {
        let size = PartySize {
            rows: 10_000,
            design_columns: columns.len() as u64,
        };
        assumptions.parties.insert(party.id.clone(), size);
    }
    // Of 10 tenths, 7 are to train on.
    assumptions.matched = ROWS as u64 * 10 / 7;
    assumptions
}

/// Bytes by sender and receiver, and each party's rounds, of what the engine does.
fn of_engine(plan: &Plan) -> (BTreeMap<(String, String), u64>, Vec<u64>) {
    let mut links = BTreeMap::new();
    let mut rounds = vec![0; plan.assumptions.parties.len()];
    let outside = ["match customers", "test scores", "metrics"];
    for step in &plan.steps {
        if outside.contains(&step.step.as_str()) && (plan.batches == 0 || plan.solver.is_some()) {
            continue;
        }
        if step.step == "match customers" {
            continue;
        }
        let parties = plan.memory.iter().map(|need| &need.node);
        for (rounds, party) in rounds.iter_mut().zip(parties) {
            *rounds += step.waits_of(party);
        }
        for link in &step.links {
            let pair = (link.from.to_string(), link.to.to_string());
            *links.entry(pair).or_insert(0) += link.bytes;
        }
    }
    (links, rounds)
}

#[tokio::test]
async fn bytes_of_a_fixed_number_of_passes_are_exactly_those_planned() {
    for (parties, range, passes, hessian_rows) in [
        (2, AutoOr::Auto, 10, AutoOr::Auto),
        // weights of rows at the label party and at another
        (3, AutoOr::Auto, 9, AutoOr::Auto),
        (2, AutoOr::Is(8), 7, AutoOr::Is(1_500)),
        (2, AutoOr::Is(32), 8, AutoOr::Auto),
        (2, AutoOr::Is(64), 8, AutoOr::Auto),
        (3, AutoOr::Auto, 8, AutoOr::Auto),
        (5, AutoOr::Is(8), 7, AutoOr::Is(1_500)),
        // with an L1 penalty
        (2, AutoOr::Auto, 11, AutoOr::Auto),
        (5, AutoOr::Auto, 11, AutoOr::Auto),
    ] {
        let mut spec = spec_of(parties);
        if passes == 11 {
            spec.model.l1 = Decimal::new(20.0).unwrap();
        }
        if passes == 9 {
            let number = |n| Decimal::new(n).unwrap();
            spec.model.class_weight = Some(ClassWeight {
                good: number(1.0),
                bad: number(2.0),
            });
            spec.party[2].columns = Columns::Listed {
                numeric: ["exposure", "balance"].map(str::to_owned).to_vec(),
                categorical: Vec::new(),
            };
            spec.model.weight = Some(RowWeight {
                party: spec.party[2].id.clone(),
                column: "exposure".to_owned(),
                max: number(1.5),
            });
        }
        spec.solver.stop = Stop::Fixed;
        spec.solver.range = range;
        spec.solver.hessian_rows = hessian_rows;
        spec.solver.max_passes = passes;
        spec.outputs.standard_errors = passes == 7;
        // Wide series are noisier, and the one bit at the end must say that training has settled.
        spec.solver.tolerance = Decimal::new(1e-4).unwrap();
        let ran = run(&spec, 1.0).await;
        let facts = &ran.fits[0].as_ref().unwrap().facts;
        let first = Series::tried(&spec)[0];
        assert_eq!(
            (facts.range, facts.terms),
            (f64::from(first.range), first.terms as usize)
        );
        let exact = if first.range == 8 { 5e-5 } else { 3e-6 };
        assert!(facts.sigmoid_error < exact, "{}", facts.sigmoid_error);
        let plan = planned(&spec);
        assert_eq!(u64::from(facts.passes), plan.passes);
        assert_eq!(facts.hessian_rows as u64, plan.hessian_rows);
        for fit in &ran.fits {
            assert_eq!(fit.as_ref().unwrap().errors.is_some(), passes == 7);
        }
        let (links, rounds) = of_engine(&plan);
        assert_eq!(ran.links, links);
        assert_eq!(ran.rounds, rounds, "{parties} parties, {passes} passes");
    }
}

#[tokio::test]
async fn bytes_a_pass_of_a_run_until_it_settles_are_near_those_planned() {
    let spec = spec();
    let ran = run(&spec, 1.5).await;
    let passes = ran.fits[0].as_ref().unwrap().facts.passes;
    let plan = planned(&spec);
    let (links, _) = of_engine(&plan);
    let (planned, measured) = (links.values().sum::<u64>(), ran.links.values().sum::<u64>());
    let of_pass = |bytes: u64, passes: u64| bytes as f64 / passes as f64;
    let apart = of_pass(planned, plan.passes) / of_pass(measured, passes.into());
    assert!(
        (0.9..1.1).contains(&apart),
        "{planned} bytes planned, {measured} measured in {passes} passes of {} planned",
        plan.passes
    );
    // Data as tame as these settle sooner than most: the plan is on the careful side.
    assert!(u64::from(passes) <= plan.passes);
    // not after the first two passes
    assert_eq!(ran.opened(&DisclosureId::TrainConverged), passes - 2);
    assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 1);
}

#[tokio::test]
async fn a_score_out_of_a_fixed_range_ends_the_job_with_one_bit() {
    let mut spec = spec();
    spec.solver.range = AutoOr::Is(8);
    let ran = run(&spec, 1.5).await;
    for fit in &ran.fits {
        assert_eq!(fit.as_ref().unwrap_err().code(), "out_of_range");
    }
    assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 1);
}

#[tokio::test]
async fn training_that_never_settles_opens_every_declared_bit_and_no_other() {
    for (stop, bits) in [(Stop::Bit, 6), (Stop::Fixed, 3)] {
        let mut spec = spec();
        spec.solver.stop = stop;
        spec.solver.max_passes = 4;
        let ran = run(&spec, 1.0).await;
        for fit in &ran.fits {
            assert_eq!(fit.as_ref().unwrap_err().code(), "not_converged");
        }
        // The ledger refuses one more: it is the contract that allows so many.
        assert_eq!(ran.opened(&DisclosureId::TrainConverged), bits);
        let again = ran
            .ledger
            .lock()
            .unwrap()
            .record(&DisclosureId::TrainConverged, 1);
        assert!(again.is_err(), "{stop:?}");
        // Only an attempt that has settled is checked for its range.
        assert_eq!(ran.opened(&DisclosureId::TrainRangeCheck), 0);
    }
}

#[test]
fn alignment_is_planned_as_its_protocol_declares() {
    let params = align::Params::new([1; 32]);
    assert_eq!(u64::from(params.batch), constants::ALIGN_FRAME_ITEMS);
    assert_eq!(align::ecdh::MIN_PADDING, constants::ALIGN_MIN_PADDING);
    let methods = [
        (AlignMethod::Curve, align::Method::Curve),
        (AlignMethod::Vole, align::Method::Vole),
    ];
    for (named, method) in methods {
        let mut spec = spec();
        spec.align.method = named;
        for (bank, partner) in [
            (10_000, 10_000),
            (16_320, 16_321),
            (1_000_000, 50_000),
            (50_000, 1_000_000),
            (10_000_000, 10_000_000),
        ] {
            let mut assumptions = Assumptions::usual(&spec);
            for (party, rows) in spec.party.iter().zip([bank, partner]) {
                let size = PartySize {
                    rows,
                    design_columns: 3,
                };
                assumptions.parties.insert(party.id.clone(), size);
            }
            assumptions.matched = 5_000;
            let plan = plan(&spec, &assumptions).unwrap();
            let step = plan
                .steps
                .iter()
                .find(|step| step.step == "match customers");
            let sent: Vec<_> = step.unwrap().links.iter().map(|link| link.bytes).collect();
            let declared = |index, own, peer| {
                align::declared_cost(method, &params, index, own, peer).bytes_sent
            };
            let want = [declared(0, bank, partner), declared(1, partner, bank)];
            assert_eq!(sent, want, "{named} {bank} {partner}");
        }
    }
}
