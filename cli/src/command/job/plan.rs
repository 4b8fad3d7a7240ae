//! `paripassu job plan`.

use std::{collections::BTreeMap, path::PathBuf};

use clap::Args;
use paripassu_job::{Assumptions, NodeId, Spec, plan};

use super::read_spec;
use crate::{failure::Failure, outcome::Outcome};

/// Say who learns what and what a job costs, before anyone is asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  paripassu job plan job.toml
  paripassu job plan job.toml --rows bank=100000,partner=250000 --matched 80000
  paripassu job plan job.toml --columns partner=40 --mbit 100 --rtt 20 --json")]
pub(crate) struct Plan {
    /// Job file
    #[arg(value_name = "JOB.toml")]
    job: PathBuf,
    /// Customers of each party (default 100,000 each)
    #[arg(long, value_name = "PARTY=ROWS,..", value_delimiter = ',', value_parser = sized)]
    rows: Vec<(NodeId, u64)>,
    /// Design columns of each party (default: from the listed columns)
    #[arg(long, value_name = "PARTY=COLUMNS,..", value_delimiter = ',', value_parser = sized)]
    columns: Vec<(NodeId, u64)>,
    /// Common customers (default: half of the smaller party's)
    #[arg(long, value_name = "ROWS")]
    matched: Option<u64>,
    /// Bandwidth between a node and the coordinator, Mbit/s (default 1000)
    #[arg(long, value_name = "MBIT/S")]
    mbit: Option<f64>,
    /// Round trip between a node and the coordinator, ms (default 1)
    #[arg(long, value_name = "MS")]
    rtt: Option<f64>,
}

/// Reads `party=number`.
fn sized(text: &str) -> Result<(NodeId, u64), String> {
    let (party, number) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not of the form party=number"))?;
    let party = party.trim().parse::<NodeId>().map_err(|e| e.to_string())?;
    let number = number.trim().replace(['_', '\''], "");
    let number = number
        .parse()
        .map_err(|_| format!("`{number}` is not a whole number"))?;
    Ok((party, number))
}

impl Plan {
    pub(super) fn run(self) -> Result<Outcome, Failure> {
        let spec = read_spec(&self.job)?;
        let assumptions = self.assumptions(&spec)?;
        let plan = plan::plan(&spec, &assumptions)?;
        Outcome::new(&plan, plan.to_string())
    }

    fn assumptions(&self, spec: &Spec) -> Result<Assumptions, Failure> {
        let mut assumed = Assumptions::usual(spec);
        for (party, rows) in &self.rows {
            size(&mut assumed.parties, party)?.rows = *rows;
        }
        for (party, columns) in &self.columns {
            size(&mut assumed.parties, party)?.design_columns = *columns;
        }
        let fewest = assumed.parties.values().map(|size| size.rows).min();
        if let Some(fewest) = fewest.filter(|_| !self.rows.is_empty()) {
            assumed.matched = fewest / 2;
        }
        assumed.matched = self.matched.unwrap_or(assumed.matched);
        assumed.mbit_per_s = self.mbit.unwrap_or(assumed.mbit_per_s);
        assumed.rtt_ms = self.rtt.unwrap_or(assumed.rtt_ms);
        Ok(assumed)
    }
}

fn size<'a>(
    sizes: &'a mut BTreeMap<NodeId, plan::PartySize>,
    party: &NodeId,
) -> Result<&'a mut plan::PartySize, Failure> {
    let names: Vec<_> = sizes.keys().map(ToString::to_string).collect();
    sizes.get_mut(party).ok_or_else(|| {
        Failure::user(format!("the job has no party `{party}`"))
            .hint(format!("its parties are {}", names.join(" and ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use paripassu_job::spec::{TemplateKind, template};

    fn plan(rows: &[&str], matched: Option<u64>) -> Plan {
        Plan {
            job: PathBuf::new(),
            rows: rows.iter().map(|text| sized(text).unwrap()).collect(),
            columns: Vec::new(),
            matched,
            mbit: None,
            rtt: None,
        }
    }

    #[test]
    fn sizes_are_read_and_strangers_refused() {
        let spec = Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml").unwrap();
        let assumed = plan(&["bank=10_000", "partner=4000"], None)
            .assumptions(&spec)
            .unwrap();
        assert_eq!(assumed.matched, 2_000);
        let assumed = plan(&["bank=10000"], Some(9_000))
            .assumptions(&spec)
            .unwrap();
        assert_eq!(assumed.matched, 9_000);
        let refused = plan(&["bnak=1"], None).assumptions(&spec).unwrap_err();
        assert!(refused.to_string().contains("bank and partner"));
        assert!(sized("bank").is_err() && sized("bank=many").is_err());
    }
}
