//! A node's transcript: what it did, signed, in a log that the other members of a job countersign.

mod export;

pub use export::{ExportError, bundle_path, bundles, export};
