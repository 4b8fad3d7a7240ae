//! What of a policy file bears on a contract: its rules, each with what was measured and what would satisfy it.

use std::collections::BTreeSet;

use paripassu_audit::policy::{Asked, Is, Person, Rule};

use super::file::{PolicyFile, Purpose, end_of};
use crate::config::AlignPolicy;

/// What of its quotas a party has used up, and whether its customers' privacy allows the job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Jobs begun in the last 24 hours.
    pub today: u64,
    /// Jobs begun with each other party in the period.
    pub with: Vec<(String, u64)>,
    /// Jobs begun over the data set in the period.
    pub dataset: u64,
    /// Scores that others got, or may yet get, in the last 24 hours.
    pub scores_today: u64,
    /// The same of each other party in the period.
    pub scores_with: Vec<(String, u64)>,
    /// The same of the data set's customers in the period.
    pub scores_dataset: u64,
    /// Why the limits of `[privacy]` do not allow it.
    pub privacy: Option<String>,
}

/// A rule, held against a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruled {
    /// As it is written down.
    pub rule: Rule,
    /// Whether the contract keeps to it.
    pub holds: bool,
    /// What was found.
    pub measured: String,
    /// What would satisfy it.
    pub remedy: String,
}

/// What a policy file says of one contract.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// The rules, in their order.
    pub rules: Vec<Ruled>,
    /// Roles that must each have signed an approval.
    pub roles: Vec<String>,
    /// Who may sign in them now.
    pub people: Vec<Person>,
    /// An approval ends within so many hours.
    pub ttl_hours: Option<u64>,
    /// Least `align.min_matched`.
    pub min_matched: u64,
}

impl Ruling {
    /// The first rule that denies.
    pub fn refusal(&self) -> Option<&Ruled> {
        self.rules.iter().find(|ruled| !ruled.holds)
    }
}

/// Judges one thing after another.
struct Judge<'a> {
    asked: &'a Asked,
    rules: Vec<Ruled>,
}

impl Judge<'_> {
    fn values(&self, of: &str) -> Vec<String> {
        self.asked.values(of).unwrap_or_default()
    }

    fn push(&mut self, rule: Rule, measured: String, remedy: &str) {
        let holds = rule.holds(self.asked);
        self.rules.push(Ruled {
            holds,
            measured,
            remedy: remedy.to_owned(),
            rule,
        });
    }

    /// All that the contract says is allowed; of what is allowed only that which it says is written down.
    fn within(&mut self, id: &str, of: &str, allowed: impl Fn(&str) -> bool, remedy: &str) {
        let said = self.values(of);
        let (yes, no): (Vec<_>, Vec<_>) = said.into_iter().partition(|value| allowed(value));
        let measured = match no.is_empty() {
            true => format!("{} allowed", listed(&yes)),
            false => format!("{} not allowed", listed(&no)),
        };
        let rule = rule(id, Is::Within, of, String::new(), yes);
        self.push(rule, measured, remedy);
    }

    fn without(&mut self, id: &str, of: &str, forbidden: impl Fn(&str) -> bool, remedy: &str) {
        let mut found = self.values(of);
        found.retain(|value| forbidden(value));
        let measured = match found.is_empty() {
            true => "none forbidden".to_owned(),
            false => format!("{} forbidden", listed(&found)),
        };
        let rule = rule(id, Is::Without, of, String::new(), found);
        self.push(rule, measured, remedy);
    }

    fn limit(&mut self, id: &str, is: Is, of: &str, number: Option<String>, remedy: &str) {
        let Some(number) = number else { return };
        let said = self.values(of);
        let word = if is == Is::Most {
            "at most"
        } else {
            "at least"
        };
        let measured = match said.is_empty() {
            true => "the contract says nothing of it".to_owned(),
            false => format!("{} of {word} {number}", listed(&said)),
        };
        self.push(rule(id, is, of, number, Vec::new()), measured, remedy);
    }

    /// A limit of the party's own count; `spent` is what has been used up.
    fn unspent(&mut self, id: &str, limit: Option<String>, spent: Vec<String>, remedy: &str) {
        let Some(limit) = limit else { return };
        let measured = match spent.is_empty() {
            true => format!("within {limit}"),
            false => format!("{limit} used up: {}", listed(&spent)),
        };
        self.push(rule(id, Is::Unspent, "", limit, spent), measured, remedy);
    }
}

fn rule(id: &str, is: Is, of: &str, number: String, values: Vec<String>) -> Rule {
    Rule {
        id: id.to_owned(),
        is,
        of: of.to_owned(),
        number,
        values,
    }
}

fn listed(values: &[String]) -> String {
    match values {
        [] => "nothing asked, nothing".to_owned(),
        all if all.len() > 6 => format!("{} and {} more", all[..6].join(", "), all.len() - 6),
        all => all.join(", "),
    }
}

/// Whether the output matrix allows an opening, `id>audience`, as [`Asked::values`] gives them.
fn opens(purpose: &Purpose, asked: &Asked, opening: &str) -> bool {
    let Some((id, to)) = opening.split_once('>') else {
        return false;
    };
    let party = to.strip_prefix("party:");
    let parties: BTreeSet<String> = asked
        .values("parties")
        .into_iter()
        .flatten()
        .chain([asked.party.clone()])
        .collect();
    let fits = |key: &str| match key.strip_suffix('*') {
        Some(beginning) => id.starts_with(beginning),
        None => id == key,
    };
    let mut receivers = purpose
        .outputs
        .iter()
        .filter(|(key, _)| fits(key))
        .flat_map(|(_, to)| to);
    receivers.any(|allowed| match (allowed.as_str(), party) {
        ("parties", Some(party)) => parties.contains(party),
        ("owner", Some(party)) => id.rsplit_once('.').is_some_and(|(_, owner)| owner == party),
        ("helper", None) => to.starts_with("helper:"),
        ("relay", None) => to == "relay",
        (named, Some(party)) => named == party,
        _ => false,
    })
}

impl AlignPolicy {
    /// Whether even the smallest set that a counterpart can announce is within the limit on rows, where there is one.
    pub(super) fn step_fits(&self, asked: &Asked) -> Option<Ruled> {
        let step = asked.values("size_step")?.first()?.parse::<u32>().ok()?;
        if self.max_rows >= NO_LIMIT {
            return None;
        }
        let rule = rule(
            "max_rows",
            Is::Most,
            "size_step",
            self.max_rows.to_string(),
            Vec::new(),
        );
        let fits = match self.most_rows(step) {
            0 => "no counterpart fits".to_owned(),
            most => format!("a counterpart may bring {most} customers"),
        };
        Some(Ruled {
            holds: rule.holds(asked),
            measured: format!(
                "sizes of sets are told in steps of {step}, of at most {}: {fits}",
                self.max_rows
            ),
            remedy: "set align.size_step to a power of two (256 or more) several times within that, or ask the party \
                     for a higher limit"
                .to_owned(),
            rule,
        })
    }
}

/// `max_rows` that is as good as none.
const NO_LIMIT: u32 = 100_000_000;

impl PolicyFile {
    /// Holds a contract against this policy at a time.
    pub fn rule(&self, asked: &Asked, used: &Used, now: i64) -> Ruling {
        let mut judge = Judge {
            asked,
            rules: Vec::new(),
        };
        let over = self
            .policy
            .expires
            .as_deref()
            .filter(|day| end_of(day).is_none_or(|end| end <= now));
        let limit = self.policy.expires.clone();
        judge.unspent(
            "policy_expires",
            limit,
            over.map(str::to_owned).into_iter().collect(),
            "the institution has to sign a new version of its policy",
        );
        judge.within(
            "purpose",
            "/spec/purpose",
            |purpose| self.purposes.contains_key(purpose),
            "propose it for a purpose that this party's policy names",
        );
        let forbidden: BTreeSet<String> = self
            .policy
            .forbidden_pairs
            .iter()
            .map(|[a, b]| format!("{}+{}", a.min(b), a.max(b)))
            .collect();
        judge.without(
            "forbidden_pairs",
            "pairs",
            |pair| forbidden.contains(pair),
            "propose it without one of them",
        );
        self.quotas(&mut judge, used, now);
        let purpose = judge.values("/spec/purpose");
        let purpose = purpose.first().and_then(|name| self.purposes.get(name));
        let Some(purpose) = purpose else {
            return Ruling {
                rules: judge.rules,
                min_matched: self.align.min_matched,
                ..Ruling::default()
            };
        };
        self.purpose(&mut judge, purpose);
        let roles: Vec<_> = purpose.approval.roles.clone();
        let mut people: Vec<Person> = Vec::new();
        for person in self.people.iter().filter(|person| person.holds(now)) {
            let theirs: BTreeSet<_> = person
                .roles
                .iter()
                .filter(|role| roles.contains(role))
                .collect();
            people.extend(theirs.into_iter().map(|role| Person {
                name: person.name.clone(),
                role: role.name().to_owned(),
                key: person.key.clone(),
            }));
        }
        people.sort();
        Ruling {
            rules: judge.rules,
            roles: roles.iter().map(|role| role.name().to_owned()).collect(),
            people,
            ttl_hours: purpose.approval.ttl_hours,
            min_matched: self.align.min_matched.max(purpose.min_matched),
        }
    }

    fn quotas(&self, judge: &mut Judge<'_>, used: &Used, now: i64) {
        let quota = &self.quota;
        let day = paripassu_audit::event::format_time(now).unwrap_or_default();
        let spent = |had: u64, most: Option<u64>, what: &str| -> Vec<String> {
            let over = most.is_some_and(|most| had >= most);
            over.then(|| what.to_owned()).into_iter().collect()
        };
        let per =
            |most: Option<u64>| most.map(|most| format!("{most} in {} days", quota.period_days));
        judge.unspent(
            "jobs_per_day",
            quota.jobs_per_day.map(|most| format!("{most} in 24 hours")),
            spent(
                used.today,
                quota.jobs_per_day,
                day.get(..10).unwrap_or_default(),
            ),
            "propose it anew tomorrow",
        );
        let most = quota.jobs_per_counterpart;
        let with = used
            .with
            .iter()
            .flat_map(|(party, had)| spent(*had, most, party));
        judge.unspent(
            "jobs_per_counterpart",
            per(most),
            with.collect(),
            "wait until earlier jobs have left the period, or ask the party for more",
        );
        judge.unspent(
            "jobs_per_dataset",
            per(quota.jobs_per_dataset),
            spent(
                used.dataset,
                quota.jobs_per_dataset,
                &judge.asked.dataset.clone(),
            ),
            "wait until earlier jobs have left the period, or ask the party for more",
        );
        // who gets no scores of another party's columns uses up nothing
        let to = judge.values("/spec/outputs/scores/to");
        let to = to.first().filter(|to| **to != judge.asked.party).cloned();
        if let Some(to) = to {
            let with = used.scores_with.iter().find(|(party, _)| *party == to);
            let left = |most: Option<u64>, had: u64| {
                most.map(|most| most.saturating_sub(had).min(999_999_998).to_string())
            };
            for (id, most, had) in [
                ("scores_per_day", quota.scores_per_day, used.scores_today),
                (
                    "scores_per_counterpart",
                    quota.scores_per_counterpart,
                    with.map_or(0, |(_, had)| *had),
                ),
                (
                    "scores_per_dataset",
                    quota.scores_per_dataset,
                    used.scores_dataset,
                ),
            ] {
                judge.limit(
                    id,
                    Is::Most,
                    "scores_number",
                    left(most, had),
                    "say in outputs.scores.max_rows that no more are scored, wait until earlier jobs have left the \
                     period, or ask the party for more",
                );
            }
        }
        let limited = self.privacy.max_epsilon.is_some() || self.privacy.required;
        let limit = self.privacy.max_epsilon.map_or("noise".to_owned(), |e| {
            format!("epsilon {e} at delta {}", self.privacy.delta)
        });
        let refused = used.privacy.clone();
        let spent = refused.is_some().then(|| judge.asked.dataset.clone());
        judge.unspent(
            "privacy",
            limited.then_some(limit),
            spent.into_iter().collect(),
            refused
                .as_deref()
                .unwrap_or("take more noise, fewer rounds or a lower sampling"),
        );
    }

    fn purpose(&self, judge: &mut Judge<'_>, purpose: &Purpose) {
        let among = |list: &[String]| {
            let list: BTreeSet<String> = list.iter().cloned().collect();
            move |value: &str| list.contains(value)
        };
        judge.within(
            "legal_basis",
            "/spec/legal_basis",
            among(&purpose.legal_basis),
            "name a legal basis that this party accepts for the purpose",
        );
        judge.within(
            "parties",
            "parties",
            among(&purpose.parties),
            "propose it among parties that this one allows for the purpose",
        );
        judge.within(
            "helpers",
            "/spec/helper/id",
            among(&purpose.helpers),
            "take a helper that this party trusts for the purpose; none that a party runs",
        );
        if let Some(submitters) = &purpose.submitters {
            let named = among(submitters);
            let submitter = judge.asked.contract.get("submitter");
            let text = |member| {
                submitter
                    .and_then(|s| s.get(member))
                    .and_then(|v| v.as_str())
            };
            let whole = format!(
                "{}/{}",
                text("kind").unwrap_or("?"),
                text("id").unwrap_or("?")
            );
            let allowed = named(&whole);
            judge.within(
                "submitters",
                "/submitter/id",
                |_| allowed,
                "let somebody propose it whom this party allows to",
            );
        }
        for (id, of, list) in [
            ("kinds", "kind", &purpose.kinds),
            ("profiles", "/spec/security/profile", &purpose.profiles),
            ("models", "/spec/model/kind", &purpose.models),
        ] {
            let remedy =
                "choose one that this party allows for the purpose, or ask it to allow this one";
            judge.within(id, of, among(list), remedy);
        }
        if !judge.asked.counterparts.is_empty() {
            judge.within(
                "methods",
                "/spec/align/method",
                among(&purpose.methods),
                "match customers by a method that this party allows",
            );
            if !judge.values("/spec/align/fallback").is_empty() {
                judge.within(
                    "fallback_keys",
                    "/spec/align/fallback",
                    among(&purpose.fallback_keys),
                    "match customers by the id alone, or by further keys that this party allows: leave the others \
                     out of align.fallback",
                );
            }
        }
        let columns = purpose
            .columns
            .get(&judge.asked.dataset)
            .cloned()
            .unwrap_or_default();
        judge.within(
            "columns",
            "columns",
            among(&columns),
            "list columns by their names, and leave these out or ask the data owner to allow them",
        );
        if let Some(most) = purpose.max_grade {
            let grades = self
                .datasets
                .get(&judge.asked.dataset)
                .map(|d| d.grades.clone())
                .unwrap_or_default();
            judge.within(
                "max_grade",
                "columns",
                |column| grades.get(column).is_some_and(|grade| *grade <= most),
                "leave out columns of a higher grade than the purpose allows, or of none",
            );
        }
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        judge.limit(
            "min_level_rows",
            Is::Least,
            "/spec/design/rare_level_rows",
            number(purpose.min_level_rows),
            "raise design.rare_level_rows",
        );
        let to = judge.values("/spec/outputs/scores/to");
        if to.iter().any(|to| *to != judge.asked.party) {
            judge.limit(
                "min_own_columns",
                Is::Least,
                "columns_number",
                number(purpose.min_own_columns),
                "ask this party for more columns, or give no scores",
            );
        }
        judge.limit(
            "min_score_step",
            Is::Least,
            "/spec/outputs/scores/step",
            purpose.min_score_step.clone(),
            "raise outputs.scores.step",
        );
        let raise = "raise it in [binning], or leave [binning] out";
        let counts = judge.values("/spec/binning/counts");
        let strict = counts.iter().any(|counts| *counts == "strict");
        for (id, of, least) in [
            (
                "min_bin_class",
                "/spec/binning/min_class",
                number(purpose.min_bin_class),
            ),
            (
                "min_bin_share",
                "/spec/binning/min_share",
                purpose.min_bin_share.clone(),
            ),
            (
                "min_bin_noise",
                "/spec/binning/noise_rows",
                number(purpose.min_bin_noise),
            ),
        ] {
            // they guard what is opened of counts: where these stay shared there is nothing
            if !strict || id == "min_bin_share" {
                judge.limit(id, Is::Least, of, least, raise);
            }
        }
        if let Some(counts) = &purpose.bin_counts {
            judge.within(
                "bin_counts",
                "/spec/binning/counts",
                among(counts),
                "choose a way of counting that this party allows: binning.counts",
            );
        }
        judge.limit(
            "max_results_days",
            Is::Most,
            "results_days",
            number(purpose.max_results_days),
            "say in [retention] results_days that results are erased as soon as this party asks",
        );
        judge.limit(
            "min_parties",
            Is::Least,
            "parties_number",
            number(purpose.min_parties),
            "propose it among more parties",
        );
        judge.limit(
            "max_open_days",
            Is::Most,
            "open_days",
            number(purpose.max_open_days),
            "set `expires` to an earlier day",
        );
        let asked = judge.asked;
        judge.within(
            "outputs",
            "openings",
            |opening| opens(purpose, asked, opening),
            "leave these outputs out of the job, or ask the party to allow them",
        );
    }
}
