//! What a reader trusts: certificates, witnesses, limits.
