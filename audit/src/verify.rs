//! The checks of a bundle, each with its own exit code.
