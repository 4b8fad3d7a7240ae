//! Check 9 where a job adds noise: accounts of privacy that do not add up.

use super::*;

const ALPHAS: usize = 345;

/// Order by its place: 1.1 to 10.9 by tenths, then 11 to 256.
fn order(at: usize) -> f64 {
    match at {
        ..99 => (at + 11) as f64 / 10.0,
        _ => (at - 88) as f64,
    }
}

fn epsilon(slope: f64) -> f64 {
    let of = |at| {
        let alpha = order(at);
        slope * alpha + (-1.0 / alpha).ln_1p() - (1e-5f64.ln() + alpha.ln()) / (alpha - 1.0)
    };
    (0..ALPHAS).map(of).fold(f64::INFINITY, f64::min).max(0.0)
}

/// 60 sums over all rows with noise of 10 lengths: divergences of 0.3 times their order; as much before.
fn spent() -> DpSpent {
    let curve = || {
        (0..ALPHAS)
            .map(|at| (0.3 * order(at)).to_string())
            .collect()
    };
    DpSpent {
        dataset: "applications".into(),
        training: epsilon(0.3).to_string(),
        evaluation: epsilon(0.005).to_string(),
        total: epsilon(0.6).to_string(),
        delta: "0.00001".into(),
        job: curve(),
        before: curve(),
    }
}

/// A contract with noise.
fn private() -> String {
    let noise = "\"horizontal\":{\"privacy\":{\"delta\":\"0.00001\",\"evaluation_noise\":\"10\",\"noise\":\"10\",\
                 \"sampling\":\"1\"},\"training\":{\"rounds\":60}},\"legal_basis\"";
    contract().replacen("\"legal_basis\"", noise, 1)
}

/// Both parties write these accounts.
fn writing(mut world: World, of: impl Fn() -> Vec<DpSpent>) -> Bundle {
    for id in ["bank", "partner"] {
        let script = world.script(id);
        let first = script.after[0].clone();
        for body in of() {
            let draft = Draft::new(JOB, script.role, script.person.id, first.at, body.into());
            script.after.insert(0, draft);
        }
    }
    world.bundle()
}

pub(crate) fn add_to(add: &mut Add<'_>) {
    let honest = writing(World::of(&private()), || vec![spent()]);
    add("privacy-accounted", 0, "", honest);
    add(
        "privacy-not-accounted",
        18,
        "run.completed",
        World::of(&private()).bundle(),
    );
    let twice = writing(World::of(&private()), || vec![spent(), spent()]);
    add("privacy-accounted-twice", 18, "dp.spent", twice);
    let without = writing(World::new(), || vec![spent()]);
    add("privacy-of-a-job-without-noise", 18, "dp.spent", without);
    let mut wrong = |name, change: fn(&mut DpSpent)| {
        let bundle = writing(World::of(&private()), || {
            let mut body = spent();
            change(&mut body);
            vec![body]
        });
        add(name, 18, "dp.spent", bundle);
    };
    wrong("privacy-total-lowered", |s| {
        s.total = epsilon(0.5).to_string();
    });
    wrong("privacy-before-forgotten", |s| {
        s.before.iter_mut().for_each(|d| *d = "0".into());
    });
    wrong("privacy-of-job-lowered", |s| {
        s.job = (0..ALPHAS)
            .map(|at| (0.1 * order(at)).to_string())
            .collect();
        s.total = epsilon(0.4).to_string();
    });
    wrong("privacy-order-lowered", |s| s.job[14] = "0.5".into());
    wrong("privacy-orders-missing", |s| drop(s.before.pop()));
    wrong("privacy-delta-of-another", |s| s.delta = "0.001".into());
    wrong("privacy-no-number", |s| s.before[3] = "NaN".into());
    wrong("privacy-test-rows-lowered", |s| s.evaluation = "0".into());
    wrong("privacy-training-raised", |s| {
        s.training = epsilon(0.9).to_string();
    });

    let limited = |limit: &str| {
        let mut world = World::signed_of(&private(), |_, policy| {
            let rule = "\"id\":\"jobs_per_day\",\"is\":\"unspent\",\"number\":\"3\"";
            assert!(policy.contains(rule));
            let privacy = format!("\"id\":\"privacy\",\"is\":\"unspent\",\"number\":\"{limit}\"");
            *policy = policy.replacen(rule, &privacy, 1);
        });
        edit(world.script("bank"), |body| {
            if let Body::PolicyEvaluated(verdict) = body {
                let rules = verdict.rules.iter_mut();
                rules
                    .filter(|rule| rule.id == "jobs_per_day")
                    .for_each(|rule| rule.id = "privacy".into());
            }
        });
        writing(world, || vec![spent()])
    };
    let within = limited(&format!("epsilon {} at delta 0.00001", epsilon(0.7)));
    add("privacy-within-the-limit", 0, "", within);
    let above = limited(&format!("epsilon {} at delta 0.00001", epsilon(0.5)));
    add("privacy-above-the-limit", 18, "dp.spent", above);
}
