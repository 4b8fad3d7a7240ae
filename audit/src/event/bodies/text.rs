//! The canonical text of a body.

use serde_json::Value;

use super::{Body, Visibility, visibility};
use crate::{
    canonical,
    event::{EventError, MAX_BODY, envelope::within, hex, unhex},
};

impl Body {
    /// The canonical text with this salt.
    ///
    /// # Errors
    /// When it is longer than 64 KiB or a count is beyond 2^53 − 1.
    pub fn to_text(&self, salt: &[u8; 16]) -> Result<String, EventError> {
        let mut value = self.to_value().map_err(canonical::CanonicalError::from)?;
        if let Value::Object(members) = &mut value {
            members.insert("salt".into(), hex(salt).into());
        }
        let text = canonical::to_string(&value)?;
        within("body", text.len(), MAX_BODY)?;
        Ok(text)
    }

    /// Reads the body of an event: canonical text of exactly its members and a salt.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(event: &str, text: &str) -> Result<Self, EventError> {
        within("body", text.len(), MAX_BODY)?;
        let wrong = |reason: String| EventError::Json {
            want: format!(
                "the body of `{}`",
                event.chars().take(80).collect::<String>()
            ),
            reason,
        };
        let mut value: Value = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        // two members of one name become one here, and so another text
        if canonical::to_string(&value)? != text {
            return Err(EventError::NotCanonical { part: "body" });
        }
        let Value::Object(members) = &mut value else {
            return Err(wrong("it is no object".into()));
        };
        match members.remove("salt") {
            Some(Value::String(salt)) if unhex::<16>(&salt).is_some() => {}
            _ => return Err(EventError::Salt),
        }
        Self::from_value(event, value)
    }

    /// Who is given it.
    pub fn visibility(&self) -> Visibility {
        visibility(self.event()).unwrap_or(Visibility::Private)
    }
}
