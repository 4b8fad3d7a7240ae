//! The report: one self-contained page, and every table as CSV and JSON.
