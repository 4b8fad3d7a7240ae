//! What a contract says, as a page for the person who decides.

use paripassu_job::{
    Contract,
    spec::{Columns, PartyRole},
};

use crate::screen::{Grid, Paint};

/// One line of a page: a name and its value.
pub(super) fn fact(name: &str, value: &str, paint: Paint) -> String {
    let name = paint.faint(format_args!("{name:<12}"));
    format!("  {name} {value}\n")
}

/// What the job is for, who submitted it, and what each member brings.
pub(super) fn facts(contract: &Contract, paint: Paint) -> String {
    let spec = contract.spec();
    let purpose = format!("{}, legal basis {}", spec.purpose, spec.legal_basis);
    let submitter = contract.submitter();
    let submitter = format!("{}/{}", submitter.kind, submitter.id);
    let mut text = fact("name", &spec.name, paint);
    text.push_str(&fact("purpose", &purpose, paint));
    text.push_str(&fact("submitter", &submitter, paint));
    text.push_str(&fact("created", &contract.created().to_string(), paint));
    if let Some(expires) = contract.expires_at() {
        text.push_str(&fact("expires", &expires.to_string(), paint));
    }
    text.push_str(&fact("helper", contract.helper().as_str(), paint));
    for party in spec.seats() {
        let role = match party.role {
            PartyRole::Label => "label and features",
            PartyRole::Features => "features",
            PartyRole::Bank => "label and features of its own customers",
            PartyRole::Member => "ids alone",
        };
        let brings = match party.role {
            PartyRole::Member => format!("{role}: data set {}", party.dataset),
            _ => format!("{role}: data set {}, {}", party.dataset, party.columns),
        };
        text.push_str(&fact(party.id.as_str(), &brings, paint));
        if let Columns::Listed {
            numeric,
            categorical,
        } = &party.columns
        {
            for (kind, names) in [("numeric", numeric), ("categorical", categorical)] {
                if !names.is_empty() {
                    let names = format!("{kind}: {}", names.join(", "));
                    text.push_str(&fact("", &names, paint));
                }
            }
        }
    }
    text
}

/// Everything that the job opens, to whom.
pub(super) fn opens(contract: &Contract, paint: Paint) -> String {
    let mut table = Grid::new(paint, &["disclosure", "to", "shape", "at most"]);
    for disclosure in contract.disclosures() {
        let to: Vec<_> = disclosure.to.iter().map(ToString::to_string).collect();
        table.row([
            disclosure.id.to_string(),
            to.join(", "),
            disclosure.shape.to_string(),
            disclosure.at_most.to_string(),
        ]);
    }
    let mut text = format!("What it opens\n{table}\n");
    for disclosure in contract.disclosures() {
        let name = paint.strong(&disclosure.id);
        text.push_str(&format!("  {name}: {}\n", disclosure.what));
    }
    text.push('\n');
    text
}

/// The digest on a line of its own.
pub(super) fn digest(contract: &Contract, paint: Paint) -> String {
    format!("Contract {}\n", paint.strong(contract.digest()))
}
