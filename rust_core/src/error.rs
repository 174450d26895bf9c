//! The failures a caller can cause. Problems inside the data are values, see [`crate::record::Malformed`].

use std::fmt;
use std::path::Path;

/// Why a kernel could not do what it was asked.
#[derive(Debug)]
pub enum CoreError {
    /// A file could not be opened, read or written.
    Io { path: String, reason: String },
    /// A file as a whole is not what it was taken for.
    Format { path: String, reason: String },
    /// The caller broke the kernel's contract.
    Contract(String),
}

impl CoreError {
    pub(crate) fn io(path: &Path, error: impl fmt::Display) -> Self {
        Self::Io { path: path.display().to_string(), reason: error.to_string() }
    }

    pub(crate) fn format(path: &Path, reason: impl fmt::Display) -> Self {
        Self::Format { path: path.display().to_string(), reason: reason.to_string() }
    }
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, reason } | Self::Format { path, reason } => write!(f, "{path}: {reason}"),
            Self::Contract(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for CoreError {}

pub type Result<T> = std::result::Result<T, CoreError>;
