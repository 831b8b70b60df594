//! What can be wrong with a packet.

use std::error::Error;

use minicbor::decode;

/// Why a packet was not understood. The others of its envelope are not touched by it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Its length reaches beyond the envelope: neither it nor what comes after it can be read.
    #[error("a packet reaches beyond its envelope")]
    Truncated,
    /// A later version says something that this one has no word for. To be dropped and counted.
    #[error("a packet of the unknown kind {0}")]
    UnknownKind(i64),
    /// The frame that a link carries was not understood, but its place in the link was. The link has to go on after
    /// it: sent again, it would be understood no better.
    #[error("frame {seq} of a link: {fault}")]
    Frame {
        /// The place of the frame in the link.
        seq: u64,
        /// What the other side confirms with it.
        ack: u64,
        /// What is wrong.
        fault: Fault,
    },
    /// Anything else.
    #[error("a packet: {0}")]
    Undecodable(Fault),
}

/// What is wrong with the bytes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A word that this version does not know: the sender is of a later one.
    #[error("a word of a later version: {0}")]
    Unknown(String),
    /// Not what any version writes. The text tells where and what was expected, never what was there.
    #[error("malformed: {0}")]
    Malformed(String),
}

impl From<decode::Error> for Fault {
    fn from(error: decode::Error) -> Self {
        let word = error.source().and_then(|source| source.downcast_ref::<UnknownWord>());
        match word {
            Some(word) => Fault::Unknown(word.to_string()),
            None if error.is_unknown_variant() => Fault::Unknown(error.to_string()),
            None => Fault::Malformed(error.to_string()),
        }
    }
}

/// A number that stands for nothing in this version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnknownWord {
    /// Of an enumeration without fields.
    #[error("{what} {number}")]
    Number {
        /// What it should have been.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// Of an enumeration with fields, in the words of the derived decoder.
    #[error("{0}")]
    Variant(String),
}

impl UnknownWord {
    /// The decoder's error for a number at a position.
    pub(crate) fn error(what: &'static str, number: u64, at: usize) -> decode::Error {
        decode::Error::custom(UnknownWord::Number { what, number }).at(at)
    }

    /// Makes an unknown variant an error that no optional field swallows.
    pub(crate) fn insist(error: decode::Error) -> decode::Error {
        if error.is_unknown_variant() {
            decode::Error::custom(UnknownWord::Variant(error.to_string()))
        } else {
            error
        }
    }
}
