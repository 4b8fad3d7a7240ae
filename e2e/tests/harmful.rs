//! One of five banks does harm, with every node a process of its own, over TLS.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

mod common;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use common::{number, rig::Rig, wait_for};
use paripassu_party::{config::PartyConfig, testing::do_harm};
use paripassu_service::shutdown::Shutdown;
use serde_json::Value;

const BANKS: [&str; 5] = ["b1", "b2", "b3", "b4", "b5"];

const COLUMNS: &str = "id = \"id\"\nlabel = \"y\"\nnumeric = [\"a\", \"b\", \"c\"]\n";

/// Names of the configuration and of the ready file of the harmful node.
const ENV: [&str; 2] = [
    "PARIPASSU_TEST_HARMFUL_CONFIG",
    "PARIPASSU_TEST_HARMFUL_READY",
];

/// Not a test but the harmful node: a real one, but for what it sends.
#[test]
fn harmful_node() {
    let [Some(config), Some(ready)] = ENV.map(std::env::var_os) else {
        return;
    };
    do_harm(-10.0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let config = PartyConfig::load(&PathBuf::from(config)).unwrap();
        let mut running = paripassu_party::serve(config, Shutdown::new()).unwrap();
        running
            .connected
            .wait_for(|connected| *connected)
            .await
            .unwrap();
        fs::write(ready, "{}").unwrap();
        running.task.await.unwrap();
    });
}

/// Rows that a line and a product of two numbers tell apart.
fn rows(rig: &Rig, bank: usize) -> PathBuf {
    let mut state = bank as u64 * 7919 + 17;
    let mut unit = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as f64 / f64::from(1u32 << 30) - 1.0
    };
    let mut text = "id,a,b,c,y\n".to_owned();
    for row in 0..420 {
        let [a, b, c] = [unit(), unit(), unit()].map(|x| 1.5 * x);
        let bad = u8::from(a * b + 0.6 * c > 0.3);
        writeln!(text, "{}{row},{a:.6},{b:.6},{c:.6},{bad}", BANKS[bank]).unwrap();
    }
    rig.write(&format!("{}.csv", BANKS[bank]), &text)
}

/// Wide and long enough that AUC differs by a thousandth between runs, whose first weights are random.
fn job(training: &str) -> String {
    let banks: String = BANKS
        .iter()
        .map(|bank| {
            format!(
                "[[party]]\nid = \"{bank}\"\nrole = \"bank\"\ndataset = \"table\"\n\
                 columns = {{ numeric = [\"a\", \"b\", \"c\"], categorical = [] }}\n"
            )
        })
        .collect();
    format!(
        "name = \"harm\"\npurpose = \"test\"\nlegal_basis = \"test\"\n{banks}[helper]\nid = \"hub\"\n\
         [horizontal]\nthreshold = 4\nmin_rows = 100\n[horizontal.training]\nhidden = [24]\nrounds = 80\n\
         local_epochs = 2\nbatch = 160\nrate = 0.01\nschedule = \"cosine\"\nweights = \"equal\"\n\
         validation_tenths = 0\npatience = 0\n{training}\n[model]\nkind = \"mlp\"\nl2 = 0.01\n\
         [outputs]\ncoefficients = \"own\"\n[security]\nprofile = \"masked-sums\"\n\
         [limits]\nmessage_deadline_s = 30\n"
    )
}

/// The AUC over all banks' test rows, and what the first bank's report says.
fn run(rig: &Rig, spec: &str) -> (f64, String) {
    let job = rig.submit(spec);
    for bank in BANKS {
        rig.approve(bank, &job);
    }
    let said = rig.job("modeler", &["watch", &job, "--json", "--timeout", "120"]);
    assert_eq!(said.code, 0, "{said:?}");
    let folder = |bank: &str| rig.path(&format!("{bank}/results/{job}"));
    wait_for("the results", Duration::from_secs(10), || {
        folder("b1").exists()
    });
    let metrics: Value = json(&folder("b1").join("metrics.json"));
    let report = fs::read_to_string(folder("b1").join("report.json")).unwrap();
    (number(&metrics, "all_banks.auc"), report)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

const LONGER: &str = "The updates of b5 were longer than the job allows";

#[test]
fn a_node_that_sends_minus_ten_times_its_update_is_named_and_costs_a_hundredth_at_most() {
    let mut rig = Rig::new();
    for (place, bank) in BANKS.iter().enumerate() {
        let file = rows(&rig, place);
        rig.party(bank, &file, COLUMNS);
    }
    let proved = job("robust = \"proved\"\nmax_norm = 0.5");
    let (honest, report) = run(&rig, &proved);
    assert!(honest > 0.9 && !report.contains(LONGER), "{honest}");

    // the fifth bank's node comes back as another program over the same identity
    rig.kill("b5");
    let mut harmful = Command::new(std::env::current_exe().unwrap());
    harmful.args(["harmful_node", "--exact", "--nocapture"]);
    harmful
        .env(ENV[0], rig.path("b5.toml"))
        .env(ENV[1], rig.ready_path("b5"));
    rig.start_as("party", "b5", harmful);

    let (ruined, _) = run(&rig, &job("robust = \"none\""));
    assert!(
        ruined < honest - 0.1,
        "{ruined} without the option, {honest} of honest banks"
    );
    let (got, report) = run(&rig, &proved);
    assert!(report.contains(LONGER), "{report}");
    assert!(!report.contains("The updates of b1"), "{report}");
    assert!(
        got > honest - 0.01,
        "{got} with the option, {honest} of honest banks"
    );
    eprintln!("AUC: honest {honest:.4}, harmed {ruined:.4}, with proofs {got:.4}");
}
