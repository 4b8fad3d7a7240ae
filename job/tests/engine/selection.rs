//! The plan and the contract of a selection of columns.

use paripassu_job::{
    Contract, DisclosureId, JobId, Ledger, Submitter, Timestamp,
    spec::{Selection, SelectionCorrelations, StepDirection, Stepwise},
};
use paripassu_protocol::vertical::selection::{SelectionInput, SelectionSpec, select};

use super::*;

/// Bytes by link, rounds of each party, and the first party's ledger of a selection.
async fn selected(spec: &Spec) -> (BTreeMap<(String, String), u64>, Vec<u64>, Ledger) {
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
    let asked = spec.selection.as_ref().unwrap();
    let asked = SelectionSpec {
        max_correlation: asked.max_correlation.map(|r| r.value()),
        max_vif: asked.max_vif.map(|v| v.value()),
        table: asked.correlations == SelectionCorrelations::All,
    };
    let world = World::new(parties as u8);
    let (columns, names) = (columns(spec), ids.clone());
    let (rows, labels) = sample(1.0);
    let mean = labels.iter().map(|y| f64::from(*y)).sum::<f64>() / ROWS as f64;
    let label: Vec<f64> = labels.iter().map(|y| f64::from(*y) - mean).collect();
    let (books, rounds) = (ledgers.clone(), Arc::new(Mutex::new(vec![0; parties])));
    let count = Arc::clone(&rounds);
    let made = world
        .run(
            move |me, ctx| {
                let own = columns[me].clone();
                let input = SelectionInput {
                    x: rows.iter().flat_map(|r| r[own.clone()].to_vec()).collect(),
                    cols: own.len(),
                    rows: ROWS,
                    label: (me == 0).then(|| label.clone()),
                };
                let (asked, book) = (asked.clone(), Book(Arc::clone(&books[me]), names.clone()));
                let count = Arc::clone(&count);
                async move {
                    let source = HelperSource::new(&ctx, &[me as u8 + 1; 32])?;
                    let mut engine = Engine::new(&ctx, source, Box::new(book))?;
                    let made = select(&mut engine, &asked, input).await;
                    // the last request, which a job's training makes
                    engine.source_mut().done().await?;
                    count.lock().unwrap()[me] = ctx.meter().rounds();
                    made
                }
            },
            move |ctx| async move { deal(&ctx, &seeds(parties as u8)).await.map(drop) },
        )
        .await;
    made.into_iter()
        .for_each(|made| assert!(made.unwrap().dropped.is_empty()));
    let name = |role: Role| match role {
        Role::Party(p) => ids[usize::from(p)].to_string(),
        Role::Helper => "coordinator".to_owned(),
    };
    let mut links = BTreeMap::new();
    for (from, to, _, body) in world.log() {
        *links.entry((name(from), name(to))).or_insert(0) += body.len() as u64;
    }
    let rounds = rounds.lock().unwrap().clone();
    let first = ledgers.into_iter().next().unwrap();
    (
        links,
        rounds,
        Arc::into_inner(first).unwrap().into_inner().unwrap(),
    )
}

#[tokio::test]
async fn bytes_of_a_selection_are_exactly_those_planned() {
    let number = |n| Some(Decimal::new(n).unwrap());
    for (parties, max_correlation, max_vif, correlations) in [
        (2, None, None, SelectionCorrelations::Hidden),
        (2, number(0.9), number(50.0), SelectionCorrelations::All),
        (3, None, number(50.0), SelectionCorrelations::Hidden),
        (5, number(0.9), None, SelectionCorrelations::Hidden),
    ] {
        let mut spec = spec_of(parties);
        spec.selection = Some(Selection {
            max_correlation,
            max_vif,
            correlations,
            stepwise: None,
        });
        let (links, rounds, ledger) = selected(&spec).await;
        let mut plan = planned(&spec);
        plan.steps.retain(|step| step.step.starts_with("selection"));
        let (mut expected, expected_rounds) = of_engine(&plan);
        // word to the helper that all is done
        for party in &spec.party {
            let pair = (party.id.to_string(), "coordinator".to_owned());
            *expected.entry(pair).or_insert(0) += constants::REQUEST;
        }
        assert_eq!(links, expected, "{parties} parties");
        assert_eq!(rounds, expected_rounds, "{parties} parties");
        let happened = |id: &DisclosureId| {
            let lines = ledger.summary().lines;
            lines
                .into_iter()
                .find(|line| line.declared.id == *id)
                .map(|line| line.times)
        };
        assert_eq!(happened(&DisclosureId::SelectionInflated), Some(1));
        let asked = max_correlation.map(|_| 1);
        assert_eq!(happened(&DisclosureId::SelectionPairs), asked);
        let table = (correlations == SelectionCorrelations::All).then_some(1);
        assert_eq!(happened(&DisclosureId::SelectionCorrelations), table);
        let own = DisclosureId::SelectionInflation(spec.party[0].id.clone());
        assert_eq!(happened(&own), Some(1));
        assert_eq!(own.to_string().parse::<DisclosureId>().unwrap(), own);
    }
}

#[tokio::test]
async fn bytes_of_steps_that_move_no_column_are_exactly_those_planned() {
    let number = |n| Some(Decimal::new(n).unwrap());
    for (parties, direction) in [
        (2, StepDirection::Backward),
        (3, StepDirection::Backward),
        (2, StepDirection::Forward),
        (3, StepDirection::Both),
    ] {
        let backward = direction == StepDirection::Backward;
        let mut spec = spec_of(parties);
        spec.selection = Some(Selection {
            stepwise: Some(Stepwise {
                direction,
                enter: number(0.0001).filter(|_| !backward),
                leave: number(0.9).filter(|_| backward),
                ..Stepwise::default()
            }),
            ..Selection::default()
        });
        spec.solver.stop = Stop::Fixed;
        spec.solver.max_passes = 9;
        spec.solver.tolerance = Decimal::new(1e-4).unwrap();
        // all columns tell of the label, or none does
        let ran = run(&spec, if backward { 1.0 } else { 0.0 }).await;
        assert!(ran.fits.iter().all(Result::is_ok), "{:?}", ran.fits);
        let mut plan = planned(&spec);
        let extents = plan.extents.unwrap();
        let same = (extents.least.rounds, extents.least.bytes) == (plan.rounds, plan.bytes);
        assert!(same && extents.least.steps == 0);
        assert_eq!(
            extents.most.steps,
            if direction == StepDirection::Both {
                50
            } else {
                11
            }
        );
        assert!(extents.most.rounds > 8 * plan.rounds && extents.most.bytes > 4 * plan.bytes);
        plan.steps
            .retain(|step| !step.step.starts_with("selection"));
        let (links, rounds) = of_engine(&plan);
        assert_eq!(ran.links, links, "{parties} {direction:?}");
        assert_eq!(ran.rounds, rounds, "{parties} {direction:?}");
        let asked = match backward {
            true => DisclosureId::SelectionLeaving,
            false => DisclosureId::SelectionEntering,
        };
        assert_eq!(ran.opened(&asked), 1);
    }
}
