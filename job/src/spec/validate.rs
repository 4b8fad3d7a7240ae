//! What must hold in a specification beyond the types of its values.

use std::{collections::BTreeSet, fmt::Display, ops::RangeInclusive};

use super::{
    AutoOr, Columns, Party, PartyRole, Profile, Spec,
    error::{Problem, nearest},
    evaluation, held, keys,
    locate::KeyPath,
    network, overlap, reject, rows, scorecard, selection, solver, tuning,
};
use crate::{
    constants,
    id::{NodeId, excerpt},
};

pub(super) type Found = Vec<(KeyPath, Problem)>;

/// Everything wrong with `spec`, with the keys at fault.
pub(super) fn check(spec: &Spec) -> Found {
    let mut found = Found::new();
    names(spec, &mut found);
    parties(spec, &mut found);
    numbers(spec, &mut found);
    keys::check(spec, &mut found);
    match (&spec.horizontal, &spec.overlap) {
        (_, Some(only)) => {
            network::misplaced(spec, &mut found);
            found.extend(overlap::check(spec, only));
        }
        (Some(horizontal), None) => {
            network::misplaced(spec, &mut found);
            found.extend(super::horizontal::check(spec, horizontal));
        }
        (None, None) => {
            vertical(spec, &mut found);
            network::check(spec, &mut found);
            rows::check(spec, &mut found);
            held::check(spec, &mut found);
            if let Some(binning) = &spec.binning {
                super::binning::check(spec, binning, &mut found);
            }
            outputs(spec, &mut found);
            evaluation::check(spec, &mut found);
            scorecard::check(spec, &mut found);
            tuning::check(spec, &mut found);
        }
    }
    selection::check(spec, &mut found);
    reject::check(spec, &mut found);
    if spec.evaluation.is_some() && (spec.horizontal.is_some() || spec.overlap.is_some()) {
        let why = "an evaluation by the label party is for jobs of parties with different columns";
        let problem = Problem::Rows {
            why: why.to_owned(),
        };
        found.push((KeyPath::of("evaluation"), problem));
    }
    if spec.horizontal.is_some() && spec.sizes_only() {
        let why = "banks of a horizontal job match nobody, so there is no number to tell: leave reveal out";
        found.push((KeyPath::of("align.reveal"), Problem::Overlap { why }));
    }
    if spec.tuning.is_some() && (spec.horizontal.is_some() || spec.overlap.is_some()) {
        let problem = Problem::Rows {
            why: "trials are for jobs of parties with different columns".to_owned(),
        };
        found.push((KeyPath::of("tuning"), problem));
    }
    if spec.scorecard.is_some() && (spec.horizontal.is_some() || spec.overlap.is_some()) {
        let why = "points by party are for jobs of parties with different columns; `paripassu model export` makes \
            them of a horizontal job's model";
        let problem = Problem::Rows {
            why: why.to_owned(),
        };
        found.push((KeyPath::of("scorecard"), problem));
    }
    found
}

fn names(spec: &Spec, found: &mut Found) {
    let code = "1 to 64 characters of a-z, 0-9 and `_`, starting with a letter";
    let is_code = |text: &str| {
        text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if !is_name(&spec.name) || spec.name.bytes().any(|b| b.is_ascii_uppercase()) {
        let want =
            "1 to 64 characters of a-z, 0-9, `.`, `_` and `-`, starting with a letter or digit";
        found.push((
            KeyPath::of("name"),
            name_problem("job name", &spec.name, want),
        ));
    }
    for (key, what, text) in [
        ("purpose", "purpose code", &spec.purpose),
        ("legal_basis", "legal basis code", &spec.legal_basis),
    ] {
        if !is_code(text) {
            found.push((KeyPath::of(key), name_problem(what, text, code)));
        }
    }
}

pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

pub(super) fn name_problem(what: &'static str, got: &str, want: &'static str) -> Problem {
    Problem::Name {
        what,
        got: excerpt(got),
        want,
    }
}

/// What must hold where parties have different columns.
fn vertical(spec: &Spec, found: &mut Found) {
    let path = KeyPath::of("party");
    if let Some(at) = spec.party.iter().position(|p| p.role == PartyRole::Bank) {
        let why = "role = \"bank\" is for horizontal jobs, which have a [horizontal] section";
        let path = path.element(at).key("role");
        found.push((path, Problem::Horizontal { why }));
    }
    if let Some(at) = spec.party.iter().position(|p| p.role == PartyRole::Member) {
        let why = "role = \"member\" is for jobs that only match customers, which have an [overlap] section";
        let path = path.element(at).key("role");
        found.push((path, Problem::Overlap { why }));
    }
    if spec.security.profile == Profile::MaskedSums {
        let why =
            "the profile `masked-sums` is for horizontal jobs, which have a [horizontal] section";
        found.push((KeyPath::of("security.profile"), Problem::Horizontal { why }));
    }
    let got = spec.party.len();
    if !(2..=constants::MAX_MATCHED_PARTIES).contains(&got) {
        found.push((path.clone(), Problem::PartyCount { got }));
    }
    if spec.sizes_only() {
        let why = "reveal = \"size\" is for jobs that only match customers, which have an [overlap] section: to train, \
                   each party must know which of its rows are common";
        found.push((KeyPath::of("align.reveal"), Problem::Overlap { why }));
    }
    if overlap::pairwise(spec) {
        let problem = Problem::Method {
            why: overlap::PAIRWISE,
        };
        found.push((KeyPath::of("align.method"), problem));
    }
    let labels: Vec<_> = (0..)
        .zip(&spec.party)
        .filter(|(_, party)| party.role == PartyRole::Label)
        .map(|(position, _)| position)
        .collect();
    if labels.len() != 1 {
        let at = labels
            .get(1)
            .map_or(path.clone(), |second| path.element(*second).key("role"));
        found.push((at, Problem::LabelParties { got: labels.len() }));
    }
}

fn parties(spec: &Spec, found: &mut Found) {
    let path = KeyPath::of("party");
    let mut seen = BTreeSet::new();
    for (position, party) in spec.party.iter().enumerate() {
        let path = path.element(position);
        if !seen.insert(&party.id) {
            found.push((
                path.key("id"),
                Problem::DuplicateParty {
                    id: party.id.clone(),
                },
            ));
        }
        if !is_name(&party.dataset) {
            let want = "1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, starting with a \
                letter or digit";
            found.push((
                path.key("dataset"),
                name_problem("data set name", &party.dataset, want),
            ));
        }
        if spec.overlap.is_none() {
            columns(party, &path.key("columns"), found);
        }
    }
    if seen.contains(&spec.helper.id) {
        let problem = Problem::HelperIsParty {
            id: spec.helper.id.clone(),
        };
        found.push((KeyPath::of("helper.id"), problem));
    }
}

fn columns(party: &Party, path: &KeyPath, found: &mut Found) {
    let Columns::Listed {
        numeric,
        categorical,
    } = &party.columns
    else {
        return;
    };
    let count = numeric.len() + categorical.len();
    if count == 0 {
        found.push((
            path.clone(),
            Problem::NoColumns {
                party: party.id.clone(),
            },
        ));
    }
    if count > constants::MAX_COLUMNS {
        let problem = Problem::TooManyColumns {
            party: party.id.clone(),
            got: count,
            limit: constants::MAX_COLUMNS,
        };
        found.push((path.clone(), problem));
    }
    let mut seen = BTreeSet::new();
    for (list, names) in [("numeric", numeric), ("categorical", categorical)] {
        for (position, column) in names.iter().enumerate() {
            let path = path.key(list).element(position);
            let plain = !column.is_empty()
                && column.len() <= constants::MAX_COLUMN_NAME
                && column.trim() == column
                && !column.chars().any(char::is_control);
            if !plain {
                let want = "1 to 128 bytes without control characters or white space at the ends";
                found.push((path.clone(), name_problem("column name", column, want)));
            }
            if !seen.insert(column) {
                let problem = Problem::DuplicateColumn {
                    party: party.id.clone(),
                    column: excerpt(column),
                };
                found.push((path, problem));
            }
        }
    }
}

fn within<T: PartialOrd + Display>(
    key: &str,
    got: T,
    range: &RangeInclusive<T>,
    found: &mut Found,
) {
    if !range.contains(&got) {
        let problem = Problem::Range {
            got: got.to_string(),
            low: range.start().to_string(),
            high: range.end().to_string(),
        };
        found.push((KeyPath::of(key), problem));
    }
}

fn numbers(spec: &Spec, found: &mut Found) {
    within(
        "align.min_matched",
        spec.align.min_matched,
        &constants::MIN_MATCHED,
        found,
    );
    within(
        "align.size_step",
        spec.align.size_step,
        &constants::SIZE_STEP,
        found,
    );
    if constants::SIZE_STEP.contains(&spec.align.size_step)
        && !spec.align.size_step.is_power_of_two()
    {
        let why = "sizes are told in steps of a power of two: 256, 512, 1024 … 16384";
        found.push((KeyPath::of("align.size_step"), Problem::Overlap { why }));
    }
    within(
        "split.test_tenths",
        spec.split.test_tenths,
        &constants::TEST_TENTHS,
        found,
    );
    within(
        "design.rare_level_rows",
        spec.design.rare_level_rows,
        &constants::RARE_LEVEL_ROWS,
        found,
    );
    if let Some(retention) = &spec.retention {
        within(
            "retention.results_days",
            retention.results_days,
            &constants::RESULTS_DAYS,
            found,
        );
    }
    within("model.l2", spec.model.l2.value(), &constants::L2, found);
    solver::check(spec, found);
    within(
        "limits.message_deadline_s",
        spec.limits.message_deadline_s,
        &constants::MESSAGE_DEADLINE_S,
        found,
    );
    within(
        "limits.job_deadline_s",
        spec.limits.job_deadline_s,
        &constants::JOB_DEADLINE_S,
        found,
    );
    for (key, setting, range) in [
        ("solver.terms", spec.solver.terms, &constants::TERMS),
        (
            "solver.hessian_rows",
            spec.solver.hessian_rows,
            &constants::HESSIAN_ROWS,
        ),
    ] {
        if let AutoOr::Is(number) = setting {
            within(key, u64::from(number), range, found);
        }
    }
    if let AutoOr::Is(range) = spec.solver.range
        && !spec.solver.nameable().contains(&range)
    {
        let named = spec.solver.nameable().iter().map(u32::to_string);
        let available = ["auto".to_owned()].into_iter().chain(named);
        found.push((
            KeyPath::of("solver.range"),
            Problem::NotAvailable {
                got: range.to_string(),
                suggestion: None,
                available: available.collect(),
            },
        ));
    }
    if !spec.model.intercept {
        found.push((
            KeyPath::of("model.intercept"),
            Problem::NotAvailable {
                got: "false".into(),
                suggestion: None,
                available: vec!["true".into()],
            },
        ));
    }
    if spec.limits.message_deadline_s > spec.limits.job_deadline_s {
        let (message, job) = (spec.limits.message_deadline_s, spec.limits.job_deadline_s);
        found.push((
            KeyPath::of("limits.message_deadline_s"),
            Problem::Deadlines { message, job },
        ));
    }
}

fn outputs(spec: &Spec, found: &mut Found) {
    let parties: Vec<_> = spec
        .party
        .iter()
        .map(|party| party.id.to_string())
        .collect();
    let stranger = |id: &NodeId| {
        let known = spec.party.iter().any(|party| party.id == *id);
        (!known).then(|| Problem::NotAParty {
            id: id.clone(),
            suggestion: nearest(id.as_str(), &parties),
            parties: parties.clone(),
        })
    };
    let label = spec.label_party().map(|party| &party.id);
    if let Some(scores) = &spec.outputs.scores {
        let path = KeyPath::of("outputs.scores");
        if let Some(problem) = stranger(&scores.to) {
            found.push((path.key("to"), problem));
        } else if let Some(label) = label.filter(|label| **label != scores.to) {
            let problem = Problem::ScoresNotToLabel {
                to: scores.to.clone(),
                label: label.clone(),
            };
            found.push((path.key("to"), problem));
        }
        let step = scores.step.value();
        within("outputs.scores.step", step, &constants::SCORE_STEP, found);
        if let Some(most) = scores.max_rows {
            within(
                "outputs.scores.max_rows",
                most,
                &constants::SCORED_ROWS,
                found,
            );
        }
        // A power of two is a float whose fraction bits are all zero.
        let is_power = step.to_bits() & ((1 << 52) - 1) == 0;
        if constants::SCORE_STEP.contains(&step) && !is_power {
            let nearest = step.log2().round().exp2().to_string();
            found.push((
                path.key("step"),
                Problem::PowerOfTwo {
                    got: scores.step.to_string(),
                    nearest,
                },
            ));
        }
    }
    let path = KeyPath::of("outputs.metrics_to");
    let mut seen = BTreeSet::new();
    for (position, id) in spec.outputs.metrics_to.iter().enumerate() {
        if let Some(problem) = stranger(id) {
            found.push((path.element(position), problem));
        }
        if !seen.insert(id) {
            found.push((
                path.element(position),
                Problem::DuplicateReceiver { id: id.clone() },
            ));
        }
    }
    if let (Some(label), false) = (label, seen.is_empty()) {
        if spec.outputs.scores.is_none() {
            found.push((
                path.clone(),
                Problem::MetricsWithoutScores {
                    label: label.clone(),
                },
            ));
        }
        if !seen.contains(label) {
            found.push((
                path,
                Problem::MetricsWithoutLabelParty {
                    label: label.clone(),
                },
            ));
        }
    }
}
