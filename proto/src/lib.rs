//! Wire messages, generated code and conversions.
