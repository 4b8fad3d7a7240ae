//! Countersigning the logs of others, only ever forward.
