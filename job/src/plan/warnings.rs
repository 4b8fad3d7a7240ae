//! What to think about before submitting.

use super::{Plan, batches, duration};
use crate::{
    constants,
    spec::{Spec, Steps},
};

/// Those of the time that the job takes.
pub(super) fn warnings_of_time(spec: &Spec, plan: &Plan) -> Vec<String> {
    let mut list = Vec::new();
    if plan.seconds > spec.limits.job_deadline_s as f64 {
        list.push(format!(
            "the expected {} is beyond limits.job_deadline_s = {}: raise it, or the job will \
                be aborted",
            duration(plan.seconds),
            spec.limits.job_deadline_s
        ));
    } else if let Some(extents) = plan.extents
        && extents.most.seconds > spec.limits.job_deadline_s as f64
    {
        list.push(format!(
            "where as many columns go or come as [selection] allows, the expected {} are beyond limits.job_deadline_s = {}, and \
                the job would be aborted: raise it, or lower selection.stepwise.max_steps",
            duration(extents.most.seconds),
            spec.limits.job_deadline_s
        ));
    }
    list
}

/// Warnings of a plan, which is complete but for them.
pub(super) fn warnings(spec: &Spec, plan: &Plan) -> Vec<String> {
    let mut list = warnings_of_time(spec, plan);
    let kind = plan.solver.map_or(Steps::Newton, |chosen| chosen.steps);
    let terms = plan.series.iter().filter(|_| kind != Steps::Sgd);
    for series in terms {
        let wanted = constants::terms_for_range(series.range);
        if series.terms < wanted {
            list.push(format!(
                "solver.terms = {} is less than the {wanted} that make the series on ±{} exact to \
                    {error}: coefficients will be off by more",
                series.terms,
                series.range,
                error = if series.range == 8 { "5e-5" } else { "3e-6" },
            ));
        }
    }
    if plan.train_rows < 10 * plan.design_columns {
        list.push(format!(
            "{} training rows for {} design columns: expect an overfitted model, and scores \
                that say much about single customers",
            plan.train_rows, plan.design_columns
        ));
    }
    let most = spec.solver.most_passes(kind);
    let (usual, whose) = match kind {
        Steps::Newton => (constants::USUAL_PASSES, "Newton"),
        Steps::Accelerated => {
            let (coarse, fine) = constants::usual_accelerated_passes(plan.design_columns);
            (coarse + fine, "so many columns' accelerated training")
        }
        Steps::Sgd => {
            list.extend(batches::warning(spec, plan));
            return list;
        }
    };
    if most < usual && plan.batches == 0 {
        list.push(format!(
            "{most} passes are fewer than the {usual} that {whose} usually needs: where training has not \
                settled after them, the next range is tried or the job ends",
        ));
    }
    list
}
