//! This party's own limit on what jobs spend of its customers' privacy, over all jobs.

use paripassu_job::{Contract, Guarantee};

use crate::{config::PrivacyPolicy, run::Site, store::Store};

fn text(e: impl std::fmt::Display) -> String {
    e.to_string()
}

/// Whether a horizontal job keeps to what this party allows.
///
/// # Errors
/// A sentence for the modeler.
pub(crate) fn allowed(
    policy: &PrivacyPolicy,
    store: &Store,
    contract: &Contract,
    dataset: &str,
) -> Result<(), String> {
    let Some(job) = Guarantee::of(contract.spec()).map_err(text)? else {
        return match policy.required {
            true => Err(
                "this party takes part in no horizontal job without [horizontal.privacy]".into(),
            ),
            false => Ok(()),
        };
    };
    let total = store.spent(dataset).map_err(text)?.and(&job.spent);
    match policy.allows(&total) {
        true => Ok(()),
        false => Err(policy.refusal(dataset, &job.spent, &total)),
    }
}

/// Counts what a job spends, before anything of a customer leaves this node; also where the job then fails.
///
/// # Errors
/// A sentence for the modeler, where it is more than this party allows: then nothing is counted.
pub(crate) fn spend(site: &Site, job: &str, contract: &Contract) -> Result<(), String> {
    let me = site.identity.peer().id.to_string();
    let seats = contract.spec().seats();
    let seat = seats.iter().find(|seat| seat.id.to_string() == me);
    let dataset = &seat.ok_or("this party is not in the contract")?.dataset;
    let (policy, now) = (&site.config.privacy, site.clock.now());
    counted(policy, &site.store, (job, now), contract, dataset)
}

fn counted(
    policy: &PrivacyPolicy,
    store: &Store,
    (job, now): (&str, i64),
    contract: &Contract,
    dataset: &str,
) -> Result<(), String> {
    let Some(of_job) = Guarantee::of(contract.spec()).map_err(text)? else {
        return Ok(());
    };
    let within = |total: &_| policy.allows(total);
    match store
        .spend(job, dataset, &of_job.spent, now, within)
        .map_err(text)?
    {
        true => Ok(()),
        false => {
            let total = store.spent(dataset).map_err(text)?.and(&of_job.spent);
            Err(policy.refusal(dataset, &of_job.spent, &total))
        }
    }
}

#[cfg(test)]
mod tests {
    use paripassu_job::{JobId, Spec, Submitter, Timestamp};

    use super::*;

    fn contract(text: &str) -> Contract {
        let spec = Spec::from_toml(text, "job.toml").unwrap();
        let user = Submitter::user("modeler".parse().unwrap());
        let now = Timestamp::from_unix(1_800_000_000).unwrap();
        Contract::new(spec, JobId::from_bytes([7; 16]), now, user).unwrap()
    }

    const PRIVATE: &str = include_str!("../../examples/five_banks_private.toml");
    const PLAIN: &str = include_str!("../../examples/five_banks.toml");

    #[test]
    fn jobs_are_refused_beyond_the_cap_of_their_data_set_over_all_jobs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let (private, plain) = (contract(PRIVATE), contract(PLAIN));
        let one = Guarantee::of(private.spec()).unwrap().unwrap().spent;
        let policy = PrivacyPolicy {
            // room for two of these jobs and not for three
            max_epsilon: Some(one.and(&one).epsilon(1e-6) + 0.01),
            delta: 1e-6,
            required: true,
        };
        let refused = allowed(&policy, &store, &plain, "loans").unwrap_err();
        assert!(
            refused.contains("without [horizontal.privacy]"),
            "{refused}"
        );
        for job in ["j1", "j2"] {
            allowed(&policy, &store, &private, "loans").unwrap();
            counted(&policy, &store, (job, 5), &private, "loans").unwrap();
        }
        let refused = allowed(&policy, &store, &private, "loans").unwrap_err();
        assert!(
            refused.contains("`loans`") && refused.contains("more than this party allows"),
            "{refused}"
        );
        // also where it was approved before another job spent what was left
        assert!(counted(&policy, &store, ("j3", 6), &private, "loans").is_err());
        assert_eq!(store.spent("loans").unwrap(), one.and(&one));
        allowed(&policy, &store, &private, "cards").unwrap();
        let none = PrivacyPolicy::default();
        allowed(&none, &store, &private, "loans").unwrap();
        allowed(&none, &store, &plain, "loans").unwrap();
        counted(&none, &store, ("j4", 7), &plain, "loans").unwrap();
        assert_eq!(
            store.spent("loans").unwrap(),
            one.and(&one),
            "nothing without noise"
        );
    }
}
