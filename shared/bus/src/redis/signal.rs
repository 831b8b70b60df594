//! What the transport says on the channels for its own purposes, beside the envelopes.
//!
//! A signal is 16 bytes that no envelope begins with, a byte for its kind, and what that needs:
//!
//! | kind | then | meaning |
//! |---|---|---|
//! | `L` | nonce (16 bytes), number (8, big-endian) | a loopback: a process tells itself that it hears |
//! | `P` | | a probe: somebody asks Redis whether anybody hears |
//!
//! A signal of an unknown kind is dropped, so that newer versions may add some.

use bytes::Bytes;

const PREFIX: &[u8; 16] = b"\0streamz-signal\0";

/// A signal of the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// The nonce of the process that sent it to itself, and which of them it is.
    Loopback([u8; 16], u64),
    /// Asks nothing of its receiver.
    Probe,
    /// Of a newer version, or garbage.
    Unknown,
}

impl Signal {
    pub(crate) fn encode(self) -> Bytes {
        let mut bytes = PREFIX.to_vec();
        match self {
            Self::Loopback(nonce, number) => {
                bytes.push(b'L');
                bytes.extend(nonce);
                bytes.extend(number.to_be_bytes());
            }
            Self::Probe => bytes.push(b'P'),
            Self::Unknown => {}
        }
        bytes.into()
    }

    /// `None`: it is no signal, but an envelope.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(PREFIX)?;
        Some(match rest {
            [b'P', ..] => Self::Probe,
            [b'L', rest @ ..] => match rest.split_first_chunk::<16>() {
                Some((nonce, number)) => match number.first_chunk() {
                    Some(number) => Self::Loopback(*nonce, u64::from_be_bytes(*number)),
                    None => Self::Unknown,
                },
                None => Self::Unknown,
            },
            _ => Self::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_survive_the_way() {
        for signal in [Signal::Probe, Signal::Loopback([7; 16], u64::MAX), Signal::Unknown] {
            assert_eq!(Signal::decode(&signal.encode()), Some(signal));
        }
    }

    #[test]
    fn anything_else_is_no_signal_and_nothing_panics() {
        assert_eq!(Signal::decode(b""), None);
        assert_eq!(Signal::decode(b"\0streamz-signal"), None);
        let whole = Signal::Loopback([7; 16], 1).encode();
        for length in PREFIX.len()..whole.len() {
            assert_eq!(Signal::decode(&whole[..length]), Some(Signal::Unknown));
        }
        assert_eq!(Signal::decode(b"\0streamz-signal\0Xyz"), Some(Signal::Unknown));
    }
}
