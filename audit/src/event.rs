//! Events: signed envelopes and typed bodies.
