//! Prints the plan (to standard error) and the canonical contract (to standard output) of a `job.toml`,
//! or of the template where no file is named.
//!
//! With no file, standard output is `tests/vectors/contract.json`.

use std::error::Error;

use paripassu_job::{
    Assumptions, Contract, JobId, Spec, Submitter, Timestamp,
    plan::plan,
    spec::{TemplateKind, template},
};

fn main() -> Result<(), Box<dyn Error>> {
    let spec = match std::env::args().nth(1) {
        Some(path) => Spec::from_toml(&std::fs::read_to_string(&path)?, &path)?,
        None => Spec::from_toml(template(TemplateKind::VerticalLogistic), "template")?,
    };
    eprintln!("{}", plan(&spec, &Assumptions::usual(&spec))?);
    let created = Timestamp::from_unix(1_772_323_200)?;
    let contract = Contract::new(
        spec,
        JobId::from_bytes([7; 16]),
        created,
        Submitter::user("modeler".parse()?),
    )?;
    println!("{}", contract.canonical());
    eprintln!("digest {}", contract.digest());
    Ok(())
}
