//! The coordinator: registry, job life cycle, relay, helper.
