//! One file with everything a verifier needs of one job.
