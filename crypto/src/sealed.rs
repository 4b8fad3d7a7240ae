//! Sealed links: frames that only the addressed party of a job can read.
