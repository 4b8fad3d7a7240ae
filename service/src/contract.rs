//! What the transport must know of a contract, read from the contract itself.

use std::time::Duration;

use paripassu_job::Contract;
use paripassu_proto::{Absence, ContractHead, HeadReader, JobId, NodeId};

/// Reads the head out of a contract's canonical bytes.
pub fn heads() -> HeadReader {
    HeadReader::new(|bytes| {
        let contract = Contract::parse(bytes).map_err(|e| e.to_string())?;
        let id = |id: &paripassu_job::NodeId| id.to_string().parse::<NodeId>();
        let parties = contract
            .parties()
            .into_iter()
            .map(id)
            .collect::<Result<_, _>>();
        Ok(ContractHead {
            job: contract
                .job()
                .to_string()
                .parse::<JobId>()
                .map_err(|e| e.to_string())?,
            parties: parties.map_err(|e| e.to_string())?,
            helper: Some(id(contract.helper()).map_err(|e| e.to_string())?),
            expires: contract
                .expires_at()
                .map_or(i64::MAX, |t| i64::try_from(t.unix()).unwrap_or(i64::MAX)),
            absence: contract
                .spec()
                .horizontal
                .as_ref()
                .map(|horizontal| Absence {
                    threshold: horizontal.threshold_of(contract.parties().len()),
                    // half as long as the adder waits, so that nobody waits for who waits
                    patience: Duration::from_secs(contract.spec().limits.message_deadline_s) / 16,
                }),
        })
    })
}
