//! Merkle trees with proofs of inclusion and of consistency (RFC 9162, 2.1).
