//! Paths in JSON without loss: a string when the path is UTF-8, else an array of its bytes.
//!
//! For `#[serde(with = "path_json")]`. The sub-module `option` does the same for a path that may be absent.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path as it stands in JSON.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Form {
    /// One that is UTF-8.
    Text(String),
    /// One that is not.
    Bytes(Vec<u8>),
}

impl From<&Path> for Form {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }
}

impl From<Form> for PathBuf {
    fn from(form: Form) -> Self {
        match form {
            Form::Text(text) => text.into(),
            Form::Bytes(bytes) => OsString::from_vec(bytes).into(),
        }
    }
}

/// Writes a path.
pub fn serialize<S: Serializer>(path: &Path, s: S) -> Result<S::Ok, S::Error> {
    Form::from(path).serialize(s)
}

/// Reads a path.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PathBuf, D::Error> {
    Form::deserialize(d).map(Into::into)
}

/// The same for `Option<PathBuf>`; `null` is none.
pub mod option {
    use super::{Form, PathBuf};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes a path or `null`.
    pub fn serialize<S: Serializer>(path: &Option<PathBuf>, s: S) -> Result<S::Ok, S::Error> {
        path.as_deref().map(Form::from).serialize(s)
    }

    /// Reads a path or `null`.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
        Ok(Option::<Form>::deserialize(d)?.map(Into::into))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Holder {
        #[serde(with = "super")]
        path: PathBuf,
    }

    // Fault 46: such a path in JSON.
    #[test]
    fn utf8_is_a_string_and_other_bytes_survive() {
        for (bytes, json) in [
            (&b"/a/b"[..], r#"{"path":"/a/b"}"#),
            (&b"/\xff"[..], r#"{"path":[47,255]}"#),
        ] {
            let holder = Holder {
                path: OsString::from_vec(bytes.to_vec()).into(),
            };
            let text = serde_json::to_string(&holder).unwrap();
            assert_eq!(text, json);
            assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), holder);
        }
    }
}
