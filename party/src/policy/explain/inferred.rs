//! What each opening could tell whoever gets it, in an officer's words.

use paripassu_job::Disclosure;

/// What the receivers of a disclosure could infer in the worst case, where scores are made of `columns` columns of
/// the other parties, if that is known.
pub(super) fn inferred(disclosure: &Disclosure, columns: Option<usize>) -> String {
    let id = disclosure.id.to_string();
    let text = match id.as_str() {
        "relay.traffic" => {
            "That and when this party works on a job, and roughly how large its data are."
        }
        "align.sizes" => "About how many customers this party has.",
        "align.members" => {
            "For each id that the other puts in: whether it is a customer here, too. Who puts in ids of people who \
             are not its customers learns whether they are this party's; only limits on sizes, repeats and the \
             agreement between the institutions stand against that."
        }
        "align.matched" => "How much the customers of both overlap.",
        "design.width" => {
            "How many columns, with the levels of categories, this party brings; no name, no value."
        }
        "binning.fine-bins" => "How finely this party's columns are cut; no name, no value.",
        id if ["binning.rows.", "binning.bads.", "binning.goods."]
            .iter()
            .any(|p| id.starts_with(p)) =>
        {
            "How customers, bad and good ones are spread over each column's bins, as totals; no name, no edge, not \
             which customers."
        }
        id if id.starts_with("binning.columns.") => {
            "How many bins each of this party's columns has; no name, no edge, no number of customers."
        }
        id if id.starts_with("binning.iv.") || id.starts_with("binning.monotone.") => {
            "How much each of these columns says of the outcome as a whole, and whether it says it one way. Two jobs over \
             customers that differ by few tell of these few."
        }
        id if id.starts_with("binning.enough.") => {
            "Whether a bin holds few good or few bad customers. An owner that cuts bins around single customers learns \
             of their labels."
        }
        id if id.starts_with("binning.woe.") => {
            "How many bad customers are in each of the receiver's own bins, up to the declared noise; of single \
             customers, if it cuts bins around them or compares two jobs."
        }
        "selection.correlations" => {
            "How this party's columns move with another's, column by column, as totals; no name, not which customers. Who \
             knows what its own columns mean may guess what these are."
        }
        "selection.pairs" => {
            "Which columns, by their places, say again what others say, and which of two tells more of the outcome; no \
             name, no value. Who brings two columns that differ in one customer can learn that customer's outcome."
        }
        "selection.leaving" | "selection.entering" => {
            "Which columns, by their places and in order, say most of the outcome, or nothing that the others do not say; no \
             name, no value. Two jobs over customers that differ by few may tell of these few."
        }
        "selection.inflated" => {
            "Which columns, by their places, all others together say again; no name, no value."
        }
        id if id.starts_with("selection.vif.") => {
            "How closely all other columns together predict each of the receiver's own. One that makes a column up can \
             learn whether another party holds it."
        }
        "train.converged" | "train.range-check" => {
            "How hard the model was to fit. Nothing of a single customer."
        }
        "reject.rate" => {
            "One mean over the declined customers, a hundred or more: so many the label party's own node checks, and nobody \
             else can."
        }
        id if id.starts_with("reject.coefficients.") => {
            "What counting declined customers changes in the receiver's own coefficients, as a whole."
        }
        "reject.scores" | "release.scores" => return scores(columns),
        "release.metrics" => {
            "How well the model does on the held-out customers as a whole. Two jobs over customers that differ by few \
             tell of these few."
        }
        "sums.members" => "Which banks took part in each sum.",
        "sums.counts" | "sums.quantiles" | "sums.ranges" | "sums.bins" | "sums.moments" => {
            "Totals over all banks. Who knows all others' totals knows this party's: the more banks, the less."
        }
        "sums.start" | "sums.newton" | "sums.updates" => {
            "Totals over all banks that training needs. Who knows all others' share of a sum knows this party's."
        }
        "sums.gradients" => {
            "Noisy totals over all banks: how much they can tell of one customer is limited by the job's epsilon."
        }
        "sums.votes" => "Which groups of banks help which. Nothing of a single customer.",
        "sums.held" => {
            "Which rounds of an aborted job each bank still holds. Nothing of a customer."
        }
        "align.held" | "train.held" => {
            "How far an aborted job had come, as each party still holds it. Nothing of a customer."
        }
        "sums.evaluation" => "How scores are spread over all banks' held-out customers.",
        id if id.starts_with("release.coefficients.") => {
            "How strongly each of the receiver's own columns weighs beside all others; with few customers, averages of \
             groups of them."
        }
        id if id.starts_with("release.standard-errors.") => {
            "How surely each of the receiver's own columns weighs."
        }
        _ => "Not described in this version: ask who proposes the job before you approve.",
    };
    text.to_owned()
}

fn scores(columns: Option<usize>) -> String {
    let (grade, number) = match columns {
        None => (
            "the more surely, the fewer columns these are",
            String::new(),
        ),
        Some(columns) => {
            let grade = match columns {
                0..=2 => "almost surely",
                3..=5 => "often",
                6..=11 => "for many customers",
                _ => "for some customers",
            };
            (grade, format!("; here they are {columns}"))
        }
    };
    format!(
        "For each held-out customer a rounded number made of the other parties' columns{number}. A receiver who knew how \
         these weigh could guess their values, {grade}; it does not get these weights."
    )
}
