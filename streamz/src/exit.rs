//! How a command fails: in a sentence, and with an exit code that scripts can tell apart.

use std::fmt;
use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 2: the configuration is not valid; nothing was tried.
    Configuration(String),
    /// 1: something that is needed is not there or refused.
    Unable(String),
    /// 1: what was asked for was said, and it is that something is wrong.
    Unwell,
    /// 2: nobody could be asked.
    CannotAsk(String),
}

impl Failure {
    pub(crate) fn unable(what: impl fmt::Display) -> Self {
        Self::Unable(what.to_string())
    }

    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) | Self::CannotAsk(_) => ExitCode::from(2),
            Self::Unable(_) | Self::Unwell => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(text) => {
                write!(f, "The configuration is not valid; nothing was started.\n{text}")
            }
            Self::Unable(text) | Self::CannotAsk(text) => write!(f, "streamz: {text}"),
            Self::Unwell => Ok(()),
        }
    }
}

impl From<streamz_platform::ConfigErrors> for Failure {
    fn from(errors: streamz_platform::ConfigErrors) -> Self {
        Self::Configuration(errors.to_string())
    }
}
