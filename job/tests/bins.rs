//! Jobs with bins: what they declare, what they cost, what of them is refused.
#![allow(clippy::unwrap_used, reason = "a test ends where a value is not there")]

use std::collections::BTreeMap;

use paripassu_job::{
    Assumptions, Spec,
    disclosure::disclosures,
    plan::{PartySize, Plan, plan},
    spec::{AlignMethod, Party, TemplateKind, template},
};
use paripassu_protocol::{
    channel::Role,
    correlation::{CorrelationSource, deal},
    testing::{
        World,
        dealt::{engine, seeds},
    },
    vertical::bins::{self, Assigned},
};

const ROWS: usize = 700;

fn with(lines: &str) -> String {
    let text = template(TemplateKind::VerticalLogistic);
    format!("{text}\n[binning]\n{lines}")
}

fn spec(lines: &str, parties: usize) -> Spec {
    let mut spec = Spec::from_toml(&with(lines), "job.toml").unwrap();
    let partner = spec.party[1].clone();
    for id in ["bureau", "shop"].iter().take(parties - 2) {
        spec.align.method = AlignMethod::Vole;
        spec.party.push(Party {
            id: id.parse().unwrap(),
            ..partner.clone()
        });
    }
    spec
}

#[test]
fn what_bins_open_is_declared() {
    let ids = |spec: &Spec| -> Vec<String> {
        let all = disclosures(spec).into_iter().map(|d| d.id.to_string());
        all.filter(|id| id.starts_with("binning")).collect()
    };
    let plain = Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml").unwrap();
    assert!(ids(&plain).is_empty());
    let want = ["enough", "rows", "bads", "woe"].map(|k| format!("binning.{k}.partner"));
    let spec_ = spec("", 2);
    assert_eq!(ids(&spec_)[0], "binning.fine-bins");
    assert_eq!(ids(&spec_)[1..], want);
    // nothing asked of small bins: no bit about them, and it is said that counts are exact
    let bare = spec("min_class = 0\nnoise_rows = 0", 2);
    assert_eq!(ids(&bare)[1..], want[1..]);
    let said = |spec: &Spec, id: &str| {
        let all = disclosures(spec).into_iter();
        all.filter(|d| d.id.to_string() == id)
            .map(|d| d.what)
            .next()
            .unwrap()
    };
    assert!(said(&bare, &want[3]).ends_with("have label 1, exactly."));
    assert!(said(&spec_, &want[3]).contains("noise of 2 rows"));
    assert_eq!(ids(&spec("", 3)).len(), 9);
    for d in disclosures(&spec("", 3)) {
        let id: paripassu_job::DisclosureId = d.id.to_string().parse().unwrap();
        assert_eq!(id, d.id);
    }
}

/// What a job says whose counts stay shared.
const STRICT: &str =
    "counts = \"strict\"\nmin_class = 0\nnoise_rows = 0\nsmoothing = \"all-cells\"\nmax_bins = 6";

#[test]
fn where_counts_stay_shared_nothing_by_bin_and_no_coefficient_of_the_others_is_declared() {
    for parties in [2, 3] {
        let job = spec(STRICT, parties);
        let all = disclosures(&job);
        let mut binning = vec!["binning.fine-bins".to_owned()];
        for id in ["partner", "bureau"].iter().take(parties - 1) {
            binning.extend(["columns", "iv", "monotone"].map(|k| format!("binning.{k}.{id}")));
        }
        let of = |prefix: &str| -> Vec<String> {
            let ids = all.iter().map(|d| d.id.to_string());
            ids.filter(|id| id.starts_with(prefix)).collect()
        };
        assert_eq!(of("binning."), binning);
        assert_eq!(of("release.coefficients."), ["release.coefficients.bank"]);
        for d in &all {
            let id: paripassu_job::DisclosureId = d.id.to_string().parse().unwrap();
            assert_eq!(id, d.id);
            let name = d.id.to_string();
            if name.starts_with("binning.iv") || name.starts_with("binning.monotone") {
                let to: Vec<String> = d.to.iter().map(ToString::to_string).collect();
                assert_eq!(to, ["party:bank"], "{name}");
            }
        }
        let strict = plan(&job, &Assumptions::usual(&job)).unwrap();
        let bytes = |step: &str| -> u64 {
            let of = strict.steps.iter().filter(|s| s.step == step);
            of.flat_map(|s| &s.links).map(|l| l.bytes).sum()
        };
        assert!(bytes("weights of evidence on shares") > bytes("information values"));
        // bins in the place of columns
        let open = plan(&spec("max_bins = 6", parties), &strict.assumptions).unwrap();
        let masked = |plan: &Plan| -> u64 {
            let of = plan.steps.iter().filter(|s| s.step == "masked features");
            of.flat_map(|s| &s.links).map(|l| l.bytes).sum()
        };
        assert!(masked(&strict) > 2 * masked(&open));
        // whose columns are hidden has no coefficients that could tell it anything
        let told = |plan: &Plan| {
            let coefficients =
                |l: &&paripassu_job::plan::Learns| l.never.contains("own coefficients say (they");
            plan.learns.iter().filter(coefficients).count()
        };
        assert_eq!((told(&strict), told(&open)), (0, parties - 1));
    }
}

#[test]
fn what_counts_that_stay_shared_do_not_allow_is_refused() {
    for (from, to, want) in [
        ("min_class = 0", "min_class = 5", "write min_class = 0"),
        ("noise_rows = 0", "noise_rows = 2", "write noise_rows = 0"),
        ("smoothing = \"all-cells\"", "min_share = 0", "all-cells"),
        (
            "max_bins = 6",
            "method = \"monotone\"",
            "opens nothing to merge bins by",
        ),
        (
            "max_bins = 6",
            "max_vif = 5",
            "leave out max_correlation and max_vif",
        ),
        (
            "max_bins = 6",
            "column = [{ party = \"partner\", column = \"x\", method = \"tree\" }]",
            "opens nothing to merge bins by",
        ),
        (
            "max_bins = 6",
            "[tuning]\nfolds = 5\nl2 = [0.1, 1]",
            "leave out [tuning]",
        ),
        (
            "max_bins = 6",
            "[scorecard]\nreasons = true",
            "give no reasons",
        ),
    ] {
        let said = Spec::from_toml(&with(&STRICT.replace(from, to)), "job.toml").unwrap_err();
        assert!(said.to_string().contains(want), "{to}: {said}");
    }
}

#[test]
fn bins_that_do_not_fit_are_refused_at_their_line() {
    for (lines, want) in [
        ("max_bins = 1", "2 to 50"),
        ("min_share = 0.6", "0.5"),
        ("counts = \"nobody\"", "bank-sees"),
        ("method = \"optimal\"", "monotone"),
        (
            "column = [{ party = \"shop\", column = \"x\" }]",
            "`shop` is no party",
        ),
        (
            "column = [{ party = \"partner\", column = \"x\", edges = [2, 1] }]",
            "edges ascend: 2 is followed by 1",
        ),
        (
            "column = [{ party = \"partner\", column = \"x\" }, { party = \"partner\", column = \"x\" }]",
            "twice",
        ),
        (
            "column = [{ party = \"partner\", column = \"x\", edges = [1], method = \"chi\" }]",
            "replace the method",
        ),
    ] {
        let said = Spec::from_toml(&with(lines), "job.toml")
            .unwrap_err()
            .to_string();
        assert!(
            said.contains(want) && said.contains("job.toml:"),
            "{lines}: {said}"
        );
    }
    let weighed = with("").replace(
        "intercept = true",
        "intercept = true\nclass_weight = { good = 1, bad = 2 }",
    );
    let said = Spec::from_toml(&weighed, "job.toml")
        .unwrap_err()
        .to_string();
    assert!(said.contains("counted in bins as one each"), "{said}");
}

/// The engine's bytes and rounds of counting, against those of the plan.
#[tokio::test]
async fn bytes_of_counting_are_exactly_those_planned() {
    for parties in [2, 3] {
        let spec = spec("max_bins = 6", parties);
        let mut assumptions = Assumptions::usual(&spec);
        for party in &spec.party {
            let size = PartySize {
                rows: 2_000,
                design_columns: 3,
            };
            assumptions.parties.insert(party.id.clone(), size);
        }
        assumptions.matched = ROWS as u64 * 10 / 7;
        let plan = plan(&spec, &assumptions).unwrap();
        assert_eq!(plan.train_rows, ROWS as u64);
        let mut planned: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut rounds = 0;
        for step in &plan.steps {
            if ["bad rows of fine bins", "enough rows of both labels?"]
                .contains(&step.step.as_str())
            {
                rounds += step.rounds;
                for link in &step.links {
                    let pair = (link.from.to_string(), link.to.to_string());
                    *planned.entry(pair).or_default() += link.bytes;
                }
            }
        }
        let world = World::new(parties as u8);
        let counted = world.run(
            move |me, ctx| async move {
                let mut e = engine(&ctx);
                e.step("train/bins");
                let label: Vec<u8> = (0..ROWS).map(|i| u8::from(i % 3 == 0)).collect();
                let mine = Assigned {
                    columns: vec![(0..ROWS).map(|i| i as u32 % 6).collect(); 3],
                    bins: vec![6; 3],
                };
                let own = if me == 0 { Assigned::default() } else { mine };
                let widths = bins::announce(&mut e, ROWS, own.all()).await?;
                for (owner, width) in widths.into_iter().enumerate().skip(1) {
                    let mine = (me == owner).then_some(&own);
                    let y = (me == 0).then_some(label.as_slice());
                    let bads = bins::count(&mut e, owner, ROWS, width, mine, y).await?;
                    let sizes = mine.map(|_| vec![ROWS as u64 / 6; 18]);
                    bins::enough(&mut e, owner, &bads, sizes.as_deref(), 5).await?;
                }
                let rounds = ctx.meter().total().rounds;
                e.source_mut().done().await?;
                Ok(rounds)
            },
            move |ctx| async move { deal(&ctx, &seeds(parties as u8)).await.map(drop) },
        );
        let counted = counted.await;
        let names: Vec<String> = spec.seats().iter().map(|p| p.id.to_string()).collect();
        let name = |role: Role| match role {
            Role::Party(p) => names[usize::from(p)].clone(),
            Role::Helper => "coordinator".to_owned(),
        };
        let mut links: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (from, to, tag, body) in world.log() {
            if !tag.ends_with("done") {
                *links.entry((name(from), name(to))).or_default() += body.len() as u64;
            }
        }
        // the last word to the helper is another step's
        let request = 40;
        for (pair, bytes) in &planned {
            let got = links.get(pair).copied().unwrap_or(0);
            let more = if pair.1 == "coordinator" { request } else { 0 };
            assert!(
                got == *bytes || got == bytes + more,
                "{pair:?}: {got}, planned {bytes}"
            );
        }
        let most = counted.into_iter().map(|r| r.unwrap()).max().unwrap();
        assert!(most <= rounds, "{most} rounds, planned {rounds}");
    }
}
