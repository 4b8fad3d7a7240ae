//! The job contract: what a joint training job is, what it opens, what it costs and how it lives.
//!
//! A modeler writes a [`Spec`] (`job.toml`). [`plan()`](plan::plan) says what each role will learn and
//! what the job costs, before anyone is asked. [`Contract`] binds the specification to a job id, a
//! submitter and the list of every value the job opens; parties sign its digest. While the job runs, a
//! [`Ledger`] on every node refuses any opening that the contract does not declare. [`State`] is the
//! life cycle that all nodes agree on.
//!
//! ```
//! use paripassu_job::{Contract, JobId, Ledger, Spec, Submitter, Timestamp, DisclosureId};
//! use paripassu_job::spec::{TemplateKind, template};
//!
//! let spec = Spec::from_toml(template(TemplateKind::VerticalLogistic), "job.toml")?;
//! let contract = Contract::new(
//!     spec,
//!     JobId::from_bytes([7; 16]),
//!     Timestamp::from_unix(1_772_323_200)?,
//!     Submitter::user("modeler".parse()?),
//! )?;
//! let signed = contract.digest();
//! let received = Contract::parse(contract.canonical().as_bytes())?;
//! assert_eq!(received.digest(), signed);
//!
//! let mut ledger = Ledger::new(&received);
//! ledger.record(&DisclosureId::AlignMembers, 1_000)?;
//! assert!(ledger.record(&DisclosureId::AlignMembers, 1_000).is_err(), "once per job");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here touches the network, the clock or a file: times and randomness are arguments.

pub mod constants;
pub mod contract;
mod decimal;
pub mod disclosure;
pub mod id;
mod ledger;
pub mod life;
pub mod plan;
mod privacy;
pub mod spec;
mod when;

pub use contract::{Contract, ContractDigest, ContractError, Seat};
pub use decimal::{Decimal, DecimalError};
pub use disclosure::{Audience, Disclosure, DisclosureId, Shape};
pub use id::{IdError, JobId, NodeId, NodeKind, Submitter};
pub use ledger::{Ledger, LedgerEntry, LedgerError, LedgerSummary};
pub use life::{Abort, Culprit, Progress, State};
pub use paripassu_audit::canonical;
pub use plan::{Assumptions, Plan};
pub use privacy::Guarantee;
pub use spec::{Spec, SpecError, SpecErrors};
pub use when::{Date, TimeError, Timestamp};

/// Version of the job protocol: the rules by which a contract is read and run.
///
/// Every contract names it, so that two nodes with different rules never run one job together.
pub const PROTOCOL_VERSION: u32 = 1;
