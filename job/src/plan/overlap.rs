//! Rounds, bytes, time and memory of a job of matching alone.

use std::collections::BTreeMap;

use super::{
    Assumptions, LinkBytes, Memory, PartySize, Plan, Series, align, cost, disclosures, learn,
    memory, passes,
};
use crate::{
    constants,
    spec::{Spec, Steps},
};

pub(super) fn plan(spec: &Spec, assumptions: &Assumptions, sizes: &[PartySize]) -> Plan {
    let facts = cost::Facts {
        spec,
        assumptions,
        sizes,
        train_rows: 0,
        test_rows: 0,
        columns: 0,
        steps: Steps::Newton,
        passes: passes::Passes::NONE,
        second: passes::Passes::NONE,
        trial_passes: None,
        series: Series::of(spec, constants::AUTO_RANGES[0]),
        stepped: 0,
        after: 0,
        is_taken: false,
        hessian_rows: 0,
    };
    let steps = vec![align::align(&facts).times(1)];
    let mut links = BTreeMap::new();
    for link in steps.iter().flat_map(|step| &step.links) {
        *links
            .entry((link.from.clone(), link.to.clone()))
            .or_insert(0) += link.bytes;
    }
    let parties = spec.seats().into_iter().zip(sizes);
    let mut needs: Vec<_> = parties
        .map(|(party, size)| Memory {
            node: party.id.clone(),
            role: "party".into(),
            bytes: memory::base() + memory::aligning(&facts, size.rows),
        })
        .collect();
    needs.push(Memory {
        node: spec.helper.id.clone(),
        role: "helper".into(),
        bytes: memory::base(),
    });
    memory::add_frames(&mut needs, &steps);
    let mut plan = Plan {
        name: spec.name.clone(),
        assumptions: assumptions.clone(),
        train_rows: 0,
        test_rows: 0,
        design_columns: 0,
        passes: 0,
        max_passes: 0,
        series: Vec::new(),
        hessian_rows: 0,
        solver: None,
        solver_why: String::new(),
        batches: 0,
        rounds: steps.iter().map(|step| step.rounds).sum(),
        bytes: links.values().sum(),
        bytes_per_row_pass: 0.0,
        seconds: steps.iter().map(|step| step.seconds).sum(),
        steps,
        links: links
            .into_iter()
            .map(|((from, to), bytes)| LinkBytes { from, to, bytes })
            .collect(),
        extents: None,
        memory: needs,
        learns: learn::overlap(spec),
        disclosures: disclosures(spec),
        warnings: Vec::new(),
    };
    plan.warnings = super::warnings_of_time(spec, &plan);
    plan
}
