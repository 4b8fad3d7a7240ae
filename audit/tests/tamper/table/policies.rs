//! Check 7: insiders whose policy, verdict and approval do not go together.

use super::*;

/// A node's verdict, changed.
fn verdict(change: impl Fn(&mut PolicyEvaluated)) -> Bundle {
    inside(|world| {
        edit(world.script("bank"), |body| {
            if let Body::PolicyEvaluated(policy) = body {
                change(policy);
            }
        });
    })
}

/// Another policy written down, in one piece; its digest in the verdict, too, where `named`.
fn policy(named: bool, change: impl Fn(&str) -> String) -> Bundle {
    let text = change(&script::policy("bank"));
    inside(|world| {
        let script = world.script("bank");
        let mut first = true;
        script.before.retain_mut(|draft| match &mut draft.body {
            Body::PolicyStated(piece) => {
                (piece.parts, piece.text) = (1, text.clone());
                std::mem::take(&mut first)
            }
            _ => true,
        });
        edit(script, |body| {
            if let Body::PolicyEvaluated(policy) = body
                && named
            {
                policy.policy = sha(text.as_bytes());
            }
        });
    })
}

/// The bank's drafts before its work, without some.
fn without(event: &str) -> Bundle {
    inside(|world| {
        let before = &mut world.script("bank").before;
        let all = before.len();
        before.retain(|draft| draft.body.event() != event);
        assert_ne!(before.len(), all);
    })
}

pub(crate) fn add_to(add: &mut Add<'_>) {
    const VERDICT: &str = "policy.evaluated";
    let deny = |rule: usize| {
        move |policy: &mut PolicyEvaluated| {
            policy.rules[rule].verdict = "deny".into();
            policy.verdict = "deny".into();
        }
    };
    add(
        "policy-verdict-not-of-its-rules",
        16,
        VERDICT,
        verdict(|policy| policy.rules[0].verdict = "deny".into()),
    );
    add(
        "approved-against-policy",
        16,
        "job.approved",
        verdict(deny(1)),
    );
    add("policy-verdict-altered", 16, VERDICT, verdict(deny(0)));
    add(
        "policy-verdict-made-milder",
        16,
        VERDICT,
        verdict(|policy| {
            policy.rules[4].verdict = "allow".into();
            policy.verdict = "allow".into();
        }),
    );
    add(
        "policy-rule-left-out",
        16,
        VERDICT,
        verdict(|policy| drop(policy.rules.remove(1))),
    );
    add(
        "policy-of-another-version",
        16,
        VERDICT,
        verdict(|policy| policy.version = 8),
    );
    let automatic = |text: &str| text.replace("\"officer\"", "\"automatic\"");
    add("policy-altered", 16, VERDICT, policy(false, automatic));
    add(
        "policy-altered-and-named",
        16,
        VERDICT,
        policy(true, automatic),
    );
    let elsewhere = |text: &str| text.replace("\"applications\"", "\"loans\"");
    add(
        "policy-offers-something-else",
        16,
        VERDICT,
        policy(true, elsewhere),
    );
    let unlabelled = |text: &str| text.replace("\"label\":true", "\"label\":false");
    add(
        "policy-offers-no-label",
        16,
        VERDICT,
        policy(true, unlabelled),
    );
    let partners = |_: &str| script::policy("partner");
    add("policy-swapped", 16, VERDICT, policy(false, partners));
    add(
        "policy-swapped-and-named",
        16,
        VERDICT,
        policy(true, partners),
    );
    let later = |text: &str| text.replace("policy.v2", "policy.v9");
    add(
        "policy-of-an-unknown-form",
        16,
        VERDICT,
        policy(true, later),
    );
    let spaced = |text: &str| text.replace(":7}", ": 7}");
    add("policy-not-canonical", 16, VERDICT, policy(true, spaced));
    add(
        "policy-never-written-down",
        16,
        VERDICT,
        without("policy.stated"),
    );
    add("policy-never-asked", 16, "job.approved", without(VERDICT));
    let submitter = inside(|world| {
        edit(world.script("bank"), |body| {
            if let Body::JobProposed(proposed) = body {
                proposed.submitter = "user/somebody".into();
            }
        });
    });
    add("policy-saw-another-submitter", 16, VERDICT, submitter);
    let stricter = |text: &str| text.replace("\"min_matched\":100", "\"min_matched\":101");
    add(
        "policy-asks-for-more-in-common",
        16,
        "min_matched deny",
        policy(true, stricter),
    );
    let spent = |text: &str| text.replace("\"spent\":[]", "\"spent\":[\"partner\"]");
    add(
        "policy-allows-no-more-runs",
        16,
        "max_runs deny",
        policy(true, spent),
    );
    let uncounted = |text: &str| text.replace("\"spent\":[],", "");
    add(
        "policy-counts-no-runs",
        16,
        VERDICT,
        policy(true, uncounted),
    );
    let shorter = |text: &str| text.replace("\"ttl_hours\":96", "\"ttl_hours\":2");
    add(
        "approval-holds-longer-than-policy-allows",
        16,
        "job.approved",
        policy(true, shorter),
    );
    let half = inside(|world| {
        let before = &mut world.script("bank").before;
        let at = before
            .iter()
            .rposition(|d| d.body.event() == "policy.stated");
        before.remove(at.unwrap());
    });
    add("policy-half-written-down", 16, VERDICT, half);
    add(
        "policy-text-altered-by-an-outsider",
        10,
        "policy.stated",
        body(BANK, "policy.stated", "officer", "nobodyy"),
    );
    signed(add);
}

/// Policies with rules of their own, and approvals that people sign.
fn signed(add: &mut Add<'_>) {
    const VERDICT: &str = "policy.evaluated";
    let text = |from: &'static str, to: &'static str| {
        World::signed(|_, policy| {
            assert!(policy.contains(from), "{policy}");
            *policy = policy.replace(from, to);
        })
        .bundle()
    };
    add(
        "honest-with-people",
        0,
        "",
        text("data_owner", "data_owner"),
    );
    for (name, from, to) in [
        (
            "policy-of-another-purpose",
            "[\"application_score\"]",
            "[\"collection\"]",
        ),
        (
            "policy-forbids-a-pair",
            "\"pairs\",\"values\":[]",
            "\"pairs\",\"values\":[\"bank+partner\"]",
        ),
        (
            "policy-allows-an-opening-less",
            "\"release.metrics>party:bank\",",
            "",
        ),
        (
            "policy-asks-for-larger-levels",
            "\"number\":\"20\"",
            "\"number\":\"20.5\"",
        ),
        ("policy-asks-for-an-earlier-end", "\"999999999\"", "\"30\""),
        (
            "policy-has-used-up-its-quota",
            "\"number\":\"3\",\"of\":\"\",\"values\":[]",
            "\"number\":\"3\",\"of\":\"\",\"values\":[\"today\"]",
        ),
        ("policy-rule-of-an-unknown-kind", "\"within\"", "\"among\""),
        (
            "policy-rule-on-nothing-known",
            "\"of\":\"parties\"",
            "\"of\":\"everybody\"",
        ),
        (
            "policy-limit-that-is-no-number",
            "\"number\":\"20\"",
            "\"number\":\"twenty\"",
        ),
        (
            "policy-of-the-form-before-with-later-members",
            "policy.v3",
            "policy.v2",
        ),
    ] {
        add(name, 16, VERDICT, text(from, to));
    }
    // how long results are kept, against a contract that says 30 days and one that says nothing
    let contract_30 = contract().replacen(
        "\"security\":",
        "\"retention\":{\"results_days\":30},\"security\":",
        1,
    );
    for (name, code, of, most) in [
        (
            "results-kept-as-long-as-allowed",
            0,
            contract_30.as_str(),
            "30",
        ),
        ("results-kept-longer-than-allowed", 16, &contract_30, "29"),
        ("results-kept-without-an-end", 16, contract(), "999999998"),
    ] {
        let world = World::signed_of(of, |_, policy| {
            assert!(
                policy.contains("\"open_days\",\"values\"") && policy.contains("\"999999999\"")
            );
            *policy = policy
                .replace("\"of\":\"open_days\"", "\"of\":\"results_days\"")
                .replace("\"999999999\"", &format!("\"{most}\""));
        });
        let names = if code == 0 { "" } else { VERDICT };
        add(name, code, names, world.bundle());
    }
    add(
        "people-are-not-those-of-the-policy",
        16,
        "job.approved",
        text("\"name\":\"data-owner\"", "\"name\":\"owner\""),
    );
    add(
        "a-role-more-than-have-signed",
        16,
        "job.approved",
        text(
            "[\"data_owner\",\"compliance\"]",
            "[\"data_owner\",\"compliance\",\"validator\"]",
        ),
    );
    let consent = |change: fn(&mut Consent)| World::signed(|consent, _| change(consent)).bundle();
    let other_key = |consent: &mut Consent| {
        consent.people[1] = person_signs(contract(), "bank", "compliance", "compliance", 33);
    };
    add(
        "a-person-signs-with-another-key",
        16,
        "job.approved",
        consent(other_key),
    );
    add(
        "people-did-not-sign",
        16,
        "job.approved",
        consent(|consent| consent.people.clear()),
    );
    for (name, change) in [
        (
            "a-persons-signature-is-altered",
            (|consent| consent.people[1].signature[5] ^= 1) as fn(&mut Consent),
        ),
        ("a-persons-signature-is-of-another-role", |consent| {
            consent.people[1] = person_signs(contract(), "bank", "compliance", "validator", 32);
            consent.people[1].role = "compliance".into();
        }),
        ("a-persons-signature-is-for-another-party", |consent| {
            consent.people[1] = person_signs(contract(), "partner", "compliance", "compliance", 32);
        }),
        ("a-persons-signature-is-on-another-contract", |consent| {
            consent.people[1] = person_signs("another", "bank", "compliance", "compliance", 32);
        }),
        ("one-key-signs-twice", |consent| {
            consent.people[1] = person_signs(contract(), "bank", "compliance", "compliance", 31);
        }),
        ("one-person-signs-twice", |consent| {
            consent.second = "Data-Owner".into();
            consent.people[1] = person_signs(contract(), "bank", "Data-Owner", "compliance", 32);
        }),
        ("others-signed-than-it-names", |consent| {
            consent.people.reverse()
        }),
        ("fewer-signed-than-it-names", |consent| {
            consent.people.pop();
        }),
    ] {
        add(name, 15, "decision", consent(change));
    }
}
