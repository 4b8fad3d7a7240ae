//! `[horizontal.training]` and `[horizontal.privacy]`: a network fitted by masked sums of updates.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    AutoOr, Columns, Horizontal, Intercept, ModelKind, Spec, error::Problem, locate::KeyPath,
};
use crate::{constants, decimal::Decimal};

/// `[horizontal.training]`: how banks train a network together; goes with `model.kind = "mlp"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Widths of the hidden layers, at most 4 of 1 to 512; `[]` is a logistic regression. Default `[64, 32]`.
    pub hidden: Vec<u32>,
    /// `fedavg` (default): banks train at home, the mean of their updates is taken. `fedprox`: with a pull towards
    /// the joint model. `fedadam`: the mean update is a gradient for Adam. `private-sgd`: one step a round from
    /// clipped gradients of single customers, with noise; needs `[horizontal.privacy]`.
    pub method: Method,
    /// Most rounds, each one sum; 1 to 5000. Default 40.
    pub rounds: u64,
    /// Passes over its rows that a bank makes in a round; 1 to 50. Default 1.
    pub local_epochs: u64,
    /// Instead, batches that a bank makes in a round, 1 to 100000, or `auto` (default): as `local_epochs` says. Few
    /// where banks' books differ much, at the price of more rounds.
    pub local_steps: AutoOr,
    /// Rows of a batch of all banks together, 1 to 65536, of which each takes its share by rows. Default 256.
    pub batch: u64,
    /// Learning rate of the banks, or of the one step a round. Default 0.001.
    pub rate: Decimal,
    /// `constant` (default), `linear` or `cosine`: how the rate falls to 0 over the rounds.
    pub schedule: Schedule,
    /// `adam` (default; its moments stay at home) or `sgd`.
    pub optimiser: LocalOptimiser,
    /// Weight of the pull of `fedprox`. Default 0.01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proximal: Option<Decimal>,
    /// Rate of the joint step of `fedadam`. Default 0.01.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_rate: Option<Decimal>,
    /// A bank's weight in the mean: its `rows` (default), or `equal`.
    pub weights: Weights,
    /// Each bank keeps a last layer of its own, which nobody else learns. Default false.
    pub personal_last_layer: bool,
    /// Tenths of the training rows on which the loss is watched, 0 to 5. Default 1.
    pub validation_tenths: u64,
    /// Training ends when the joint validation loss has not fallen for so many rounds, and the best model is
    /// taken; 0: never. Default 10.
    pub patience: u64,
    /// Groups of banks, in turn by their order, whose sums are opened one by one; three banks or more each.
    /// Default 1.
    pub groups: u64,
    /// How many groups take part in a round, in turn, or `auto` (default): all.
    pub groups_per_round: AutoOr,
    /// How many banks take part in a round, three or more, drawn for each publicly, or `auto` (default): all. Sums over
    /// changing sets of banks say more of a single one than sums over all.
    pub banks_per_round: AutoOr,
    /// `none` (default). `votes`: a group's sum is taken if the model is better with it on the validation rows of
    /// more than half of the banks. `median`: of the groups' means, coordinate by coordinate; three groups or more.
    /// `proved`: each bank proves that its update is within `max_norm`; one that does not is named and left out. Works
    /// from four banks; needs `weights = "equal"` and `validation_tenths = 0`.
    pub robust: Robust,
    /// A bank cuts its update to this length, with `proved` times the schedule's factor; a group whose mean is longer is
    /// left out by all. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_norm: Option<Decimal>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            hidden: vec![64, 32],
            method: Method::Fedavg,
            rounds: 40,
            local_epochs: 1,
            local_steps: AutoOr::Auto,
            batch: 256,
            rate: Decimal::literal(0.001),
            schedule: Schedule::Constant,
            optimiser: LocalOptimiser::Adam,
            proximal: None,
            server_rate: None,
            weights: Weights::Rows,
            personal_last_layer: false,
            validation_tenths: 1,
            patience: 10,
            groups: 1,
            groups_per_round: AutoOr::Auto,
            banks_per_round: AutoOr::Auto,
            robust: Robust::None,
            max_norm: None,
        }
    }
}

impl Training {
    /// How many groups take part in a round.
    pub fn groups_in_a_round(&self) -> usize {
        let all = u32::try_from(self.groups).unwrap_or(u32::MAX);
        usize::try_from(self.groups_per_round.unwrap_or_else(|| all)).unwrap_or(usize::MAX)
    }

    /// The groups of so many banks: positions, in turn.
    pub fn groups_of(&self, banks: usize) -> Vec<Vec<usize>> {
        let groups = usize::try_from(self.groups)
            .unwrap_or(usize::MAX)
            .clamp(1, banks.max(1));
        let of = |group| (group..banks).step_by(groups).collect();
        (0..groups).map(of).collect()
    }

    /// Weight of the pull towards the joint model.
    pub fn pull(&self) -> f64 {
        let usual = Decimal::literal(0.01);
        match self.method {
            Method::Fedprox => self.proximal.unwrap_or(usual).value(),
            _ => 0.0,
        }
    }

    /// Rate of the joint step.
    pub fn joint_rate(&self) -> f64 {
        self.server_rate.unwrap_or(Decimal::literal(0.01)).value()
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$of])* $variant),* }
    };
}

choice! {
    /// How updates become a model.
    Method {
        /// The mean of updates.
        Fedavg,
        /// The same, each bank drawn towards the joint model.
        Fedprox,
        /// The mean update as a gradient for Adam.
        Fedadam,
        /// One step a round from clipped gradients with noise.
        PrivateSgd,
    }
}
choice! {
    /// How a rate changes over the rounds.
    Schedule {
        /// It does not.
        Constant,
        /// It falls evenly.
        Linear,
        /// It falls as half a cosine.
        Cosine,
    }
}
choice! {
    /// How steps are made.
    LocalOptimiser {
        /// With moments.
        Adam,
        /// Plainly.
        Sgd,
    }
}
choice! {
    /// Whose update counts how much.
    Weights {
        /// By rows.
        Rows,
        /// All the same.
        Equal,
    }
}
choice! {
    /// What is done against banks that send harmful updates.
    Robust {
        /// Nothing.
        None,
        /// Banks vote on each group's sum.
        Votes,
        /// The median of the groups.
        Median,
        /// Each bank proves that its update is short.
        Proved,
    }
}

/// `[horizontal.privacy]`: differential privacy for each customer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privacy {
    /// Chance of a training row to be in a round, drawn in secret by its bank: 0.0001 to 1.
    pub sampling: Decimal,
    /// Length to which the gradient of one customer is cut: 0.001 to 1000. Default 1.
    #[serde(default = "one")]
    pub clip: Decimal,
    /// Standard deviation of the noise in a sum, in units of `clip`: 0.3 to 100.
    pub noise: Decimal,
    /// The δ of the statement: 1e-12 to 0.001.
    pub delta: Decimal,
    /// The noise of so many banks alone is all that `noise` says: banks in a sum beyond them may be lost, or
    /// tell. 1 to the threshold; `auto` (default): more than half of the threshold.
    #[serde(default = "auto")]
    pub honest: AutoOr,
    /// About how many training rows all banks have together, as they say: it scales steps, and is not counted.
    pub rows: u64,
    /// Standard deviation of the noise in each count of the evaluation, in rows: 1 to 10000. Default 10.
    #[serde(default = "ten")]
    pub evaluation_noise: Decimal,
    /// For each numeric column the least and largest usual value, known beforehand: it is scaled by them, not by
    /// the data.
    pub bounds: BTreeMap<String, [Decimal; 2]>,
}

fn one() -> Decimal {
    Decimal::literal(1.0)
}

fn ten() -> Decimal {
    Decimal::literal(10.0)
}

fn auto() -> AutoOr {
    AutoOr::Auto
}

impl Privacy {
    /// How many banks' noise suffices, for this threshold.
    pub fn honest_of(&self, threshold: usize) -> usize {
        let usual = || u32::try_from(threshold / 2 + 1).unwrap_or(u32::MAX);
        usize::try_from(self.honest.unwrap_or_else(usual)).unwrap_or(usize::MAX)
    }
}

type Found = Vec<(KeyPath, Problem)>;

fn within(key: &str, got: f64, low: f64, high: f64, found: &mut Found) {
    if !(low..=high).contains(&got) {
        let (got, low, high) = (got.to_string(), low.to_string(), high.to_string());
        found.push((KeyPath::of(key), Problem::Range { got, low, high }));
    }
}

/// What must hold of a network's training.
pub(super) fn check(spec: &Spec, horizontal: &Horizontal) -> Found {
    let mut found = Found::new();
    let mut refuse = |wrong: bool, key: &str, why: &'static str| {
        if wrong {
            found.push((KeyPath::of(key), Problem::Horizontal { why }));
        }
    };
    let Some(training) = &horizontal.training else {
        refuse(
            spec.model.kind == ModelKind::Mlp,
            "model.kind",
            "a network is trained as [horizontal.training] says: add that section",
        );
        refuse(
            horizontal.privacy.is_some(),
            "horizontal.privacy",
            "differential privacy goes with model.kind = \"mlp\" and [horizontal.training] with \
             method = \"private-sgd\"; hidden = [] makes it a logistic regression",
        );
        return found;
    };
    refuse(
        spec.model.kind != ModelKind::Mlp,
        "horizontal.training",
        "this section is for model.kind = \"mlp\"; a logistic regression takes Newton steps",
    );
    refuse(
        horizontal.weight.is_some() || horizontal.offset.is_some(),
        "horizontal.training",
        "weights and offsets of rows are for logistic regression",
    );
    refuse(
        horizontal.l1.value() != 0.0,
        "horizontal.l1",
        "l1 is for logistic regression",
    );
    refuse(
        horizontal.intercept != Intercept::Shared,
        "horizontal.intercept",
        "a network has personal_last_layer = true instead",
    );
    let private = training.method == Method::PrivateSgd;
    refuse(
        private != horizontal.privacy.is_some(),
        "horizontal.training.method",
        "method = \"private-sgd\" and [horizontal.privacy] go together",
    );
    refuse(
        training.proximal.is_some() && training.method != Method::Fedprox,
        "horizontal.training.proximal",
        "only for method = \"fedprox\"",
    );
    refuse(
        training.server_rate.is_some() && training.method != Method::Fedadam,
        "horizontal.training.server_rate",
        "only for method = \"fedadam\"",
    );
    refuse(
        training.robust == Robust::Votes && training.validation_tenths == 0,
        "horizontal.training.robust",
        "votes are cast on validation rows: take validation_tenths of 1 or more",
    );
    refuse(
        training.robust == Robust::Median && training.groups < 3,
        "horizontal.training.robust",
        "a median needs three groups or more, so nine banks or more",
    );
    let provable = training.max_norm.is_some()
        && training.weights == Weights::Equal
        && training.validation_tenths == 0
        && training.groups == 1;
    refuse(
        training.robust == Robust::Proved && !provable,
        "horizontal.training.robust",
        "proofs need a max_norm, weights = \"equal\" (how many rows a bank has cannot be proved), \
         validation_tenths = 0 (a wrong loss would choose the model) and one group",
    );
    let left = spec.party.len().saturating_sub(1);
    refuse(
        training.robust == Robust::Proved
            && (left < constants::MIN_BANKS || horizontal.threshold_of(spec.party.len()) > left),
        "horizontal.training.robust",
        "proofs are for four banks or more, and a threshold that can be reached without the one that \
         is left out",
    );
    refuse(
        training.banks_per_round != AutoOr::Auto
            && (training.groups != 1 || training.robust != Robust::None),
        "horizontal.training.banks_per_round",
        "banks are drawn for each round where there is one group and robust = \"none\"",
    );
    let plain = training.groups == 1
        && training.banks_per_round == AutoOr::Auto
        && training.robust == Robust::None
        && training.max_norm.is_none()
        && !training.personal_last_layer
        && training.validation_tenths == 0
        && training.local_epochs == 1
        && training.local_steps == AutoOr::Auto;
    refuse(
        private && !plain,
        "horizontal.training",
        "with private-sgd there is one group of all banks, no validation rows (validation_tenths = 0), no vote, no \
         max_norm, no last layer of one's own and no local_epochs or local_steps: none of these is covered by \
         the noise",
    );
    let t = "horizontal.training.";
    let banks = spec.party.len();
    for (key, got, low, high) in [
        ("rounds", training.rounds as f64, 1.0, 5000.0),
        ("local_epochs", training.local_epochs as f64, 1.0, 50.0),
        (
            "local_steps",
            f64::from(training.local_steps.unwrap_or_else(|| 1)),
            1.0,
            100_000.0,
        ),
        ("batch", training.batch as f64, 1.0, 65_536.0),
        ("rate", training.rate.value(), 1e-6, 100.0),
        ("proximal", training.pull(), 0.0, 100.0),
        ("server_rate", training.joint_rate(), 1e-6, 10.0),
        (
            "validation_tenths",
            training.validation_tenths as f64,
            0.0,
            5.0,
        ),
        ("patience", training.patience as f64, 0.0, 1000.0),
        (
            "groups",
            training.groups as f64,
            1.0,
            (banks / constants::MIN_BANKS).max(1) as f64,
        ),
        (
            "groups_per_round",
            training.groups_in_a_round() as f64,
            1.0,
            training.groups as f64,
        ),
        (
            "banks_per_round",
            f64::from(
                training
                    .banks_per_round
                    .unwrap_or_else(|| constants::MIN_BANKS as u32),
            ),
            constants::MIN_BANKS as f64,
            banks as f64,
        ),
        (
            "max_norm",
            training.max_norm.map_or(1.0, Decimal::value),
            1e-6,
            1e6,
        ),
        ("hidden", training.hidden.len() as f64, 0.0, 4.0),
    ] {
        within(&format!("{t}{key}"), got, low, high, &mut found);
    }
    for (i, width) in training.hidden.iter().enumerate() {
        let key = format!("{t}hidden[{i}]");
        within(&key, f64::from(*width), 1.0, 512.0, &mut found);
    }
    if let Some(privacy) = &horizontal.privacy {
        privately(spec, horizontal, privacy, &mut found);
    }
    found
}

fn privately(spec: &Spec, horizontal: &Horizontal, privacy: &Privacy, found: &mut Found) {
    let p = "horizontal.privacy.";
    let threshold = horizontal.threshold_of(spec.party.len());
    for (key, got, low, high) in [
        ("sampling", privacy.sampling.value(), 1e-4, 1.0),
        ("clip", privacy.clip.value(), 1e-3, 1e3),
        ("noise", privacy.noise.value(), 0.3, 100.0),
        ("delta", privacy.delta.value(), 1e-12, 1e-3),
        (
            "honest",
            privacy.honest_of(threshold) as f64,
            1.0,
            threshold as f64,
        ),
        ("rows", privacy.rows as f64, 20.0, 1e9),
        (
            "evaluation_noise",
            privacy.evaluation_noise.value(),
            1.0,
            1e4,
        ),
    ] {
        within(&format!("{p}{key}"), got, low, high, found);
    }
    let Some(Columns::Listed { numeric, .. }) = spec.party.first().map(|p| &p.columns) else {
        return;
    };
    let path = KeyPath::of("horizontal.privacy.bounds");
    for column in numeric {
        let bounds = privacy.bounds.get(column);
        if bounds.is_none_or(|[low, high]| low.value() >= high.value()) {
            let why = "each numeric column has [least, largest], the first below the second";
            found.push((path.key(column), Problem::Horizontal { why }));
        }
    }
    if let Some(stranger) = privacy.bounds.keys().find(|c| !numeric.contains(c)) {
        let why = "this is none of the listed numeric columns";
        found.push((path.key(stranger), Problem::Horizontal { why }));
    }
}
