//! Wire messages: sources under `proto/`, generated code, limits, and the few names all nodes share.
//!
//! Identity is never a field of a message: who speaks is the owner of the certificate.

pub mod head;
pub mod ids;
pub mod limits;

pub use head::{Absence, ContractHead, HeadError, HeadReader};
pub use ids::{IdError, JobId, NodeId, NodeKind, Peer};

/// Control plane: the nodes' stream and the calls of the command line.
pub mod control {
    /// Version 1: additive changes only.
    #[allow(
        missing_docs,
        unused_qualifications,
        missing_debug_implementations,
        clippy::all
    )]
    pub mod v1 {
        tonic::include_proto!("paripassu.control.v1");
    }
}

/// Transcripts: heads, cosignatures and events between the nodes of a job.
pub mod audit {
    /// Version 1: additive changes only.
    #[allow(
        missing_docs,
        unused_qualifications,
        missing_debug_implementations,
        clippy::all
    )]
    pub mod v1 {
        tonic::include_proto!("paripassu.audit.v1");
    }
}

/// Data plane: sealed frames and credit.
pub mod exchange {
    /// Version 1: additive changes only.
    #[allow(
        missing_docs,
        unused_qualifications,
        missing_debug_implementations,
        clippy::all
    )]
    pub mod v1 {
        tonic::include_proto!("paripassu.exchange.v1");
    }
}

/// Version of the session protocol spoken on the nodes' stream.
pub const PROTOCOL_VERSION: u32 = 1;
