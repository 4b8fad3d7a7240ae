//! The job contract: specification, plan, disclosures, life cycle.
