//! Several packets for one destination, with a tag that only the processes of one deployment can make.

use std::fmt;

use super::{PacketError, decode_packet, encode_packet};
use crate::cluster::Packet;
use crate::{Millis, ProcessId};

/// What every envelope begins with.
pub const MAGIC: [u8; 4] = *b"szb\xe5";
/// Raised by a change that older processes must not read.
pub const MAJOR: u8 = 1;
/// Raised by a change that older processes read as well as they need to.
pub const MINOR: u8 = 0;
/// The largest envelope that is read or written, in bytes.
pub const ENVELOPE_MAX: usize = 16 * 1024 * 1024;
/// What an envelope without packets takes, in bytes.
pub const ENVELOPE_OVERHEAD: usize = HEADER + TAG;
/// For what [`BusKey::derive`] makes keys, in the words of `blake3::derive_key`.
pub const KEY_CONTEXT: &str = "Streamz bus v1: tags of envelopes between processes";

/// The same for the public name of a key.
const NAME_CONTEXT: &str = "Streamz bus v1: the public name of a key";
const HEADER: usize = 26;
const TAG: usize = 32;
/// The length in front of each packet.
const LENGTH: usize = 4;

/// What the processes of one deployment share. Its `Debug` shows the public name only.
#[derive(Clone)]
pub struct BusKey {
    key: [u8; 32],
    name: [u8; 4],
}

impl BusKey {
    /// From the deployment's secret, for this purpose alone.
    #[must_use]
    pub fn derive(secret: &[u8]) -> Self {
        let key = blake3::derive_key(KEY_CONTEXT, secret);
        let [a, b, c, d, ..] = blake3::derive_key(NAME_CONTEXT, &key);
        Self { key, name: [a, b, c, d] }
    }

    /// Its public name: whoever has another key has another name.
    #[must_use]
    pub fn name(&self) -> u32 {
        u32::from_be_bytes(self.name)
    }

    /// The tag of a message.
    #[must_use]
    pub fn tag(&self, message: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.key, message).as_bytes()
    }
}

impl fmt::Debug for BusKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusKey").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// A packet that was not put into an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// There are others in it and no room for this one: seal it and try again.
    #[error("the envelope is full")]
    Full,
    /// It fits into no envelope.
    #[error("a packet of {0} bytes fits into no envelope")]
    TooLarge(usize),
}

/// Writes envelopes from one process to one other, into memory that it keeps.
#[derive(Debug)]
pub struct EnvelopeWriter {
    key: BusKey,
    limit: usize,
    buffer: Vec<u8>,
    packets: usize,
    sealed: bool,
}

impl EnvelopeWriter {
    /// Takes packets up to `limit` bytes in all; the first one may be larger, up to [`ENVELOPE_MAX`].
    #[must_use]
    pub fn new(key: BusKey, from: ProcessId, to: ProcessId, limit: usize) -> Self {
        let mut buffer = Vec::with_capacity(ENVELOPE_OVERHEAD);
        buffer.extend_from_slice(&MAGIC);
        buffer.extend_from_slice(&[MAJOR, MINOR]);
        buffer.extend_from_slice(&key.name);
        buffer.extend_from_slice(&from.0.to_be_bytes());
        buffer.extend_from_slice(&to.0.to_be_bytes());
        Self { key, limit: limit.min(ENVELOPE_MAX), buffer, packets: 0, sealed: false }
    }

    /// Adds a packet that is sent at `now`. After [`Self::seal`] it is the first of a new envelope.
    ///
    /// # Errors
    /// [`PushError`] if there is no room; what is in the envelope stays there.
    pub fn push(&mut self, packet: &Packet, now: Millis) -> Result<(), PushError> {
        self.push_with(|buffer| encode_packet(packet, now, buffer))
    }

    /// The same for what [`encode_packet`] wrote at this very moment, as for several destinations.
    ///
    /// # Errors
    /// [`PushError`] if there is no room; what is in the envelope stays there.
    pub fn push_encoded(&mut self, packet: &[u8]) -> Result<(), PushError> {
        self.push_with(|buffer| buffer.extend_from_slice(packet))
    }

    fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), PushError> {
        self.reopen();
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; LENGTH]);
        write(&mut self.buffer);
        let (size, total) = (self.buffer.len() - start - LENGTH, self.buffer.len() + TAG);
        let refused = match u32::try_from(size) {
            Ok(length) if total <= self.limit || (self.packets == 0 && total <= ENVELOPE_MAX) => {
                self.buffer[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
                self.packets += 1;
                return Ok(());
            }
            _ if size + LENGTH + ENVELOPE_OVERHEAD > ENVELOPE_MAX => PushError::TooLarge(size),
            _ => PushError::Full,
        };
        self.buffer.truncate(start);
        Err(refused)
    }

    /// How many packets are in it.
    #[must_use]
    pub fn packets(&self) -> usize {
        if self.sealed { 0 } else { self.packets }
    }

    /// Whether there are none. Such an envelope is valid: it proves that its way is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets() == 0
    }

    /// Ends the envelope. The next packet begins another.
    pub fn seal(&mut self) -> &[u8] {
        self.reopen();
        let tag = self.key.tag(&self.buffer);
        self.buffer.extend_from_slice(&tag);
        self.sealed = true;
        &self.buffer
    }

    /// Ends the last envelope, and gives it away.
    #[must_use]
    pub fn into_sealed(mut self) -> Vec<u8> {
        self.seal();
        self.buffer
    }

    fn reopen(&mut self) {
        if self.sealed {
            self.buffer.truncate(HEADER);
            // One large packet must not hold its memory for good.
            self.buffer.shrink_to(self.limit);
            self.packets = 0;
            self.sealed = false;
        }
    }
}

/// Why an envelope was not opened. All of it is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Shorter than one without packets.
    #[error("too short for an envelope")]
    TooShort,
    /// Longer than [`ENVELOPE_MAX`].
    #[error("{0} bytes are too many for an envelope")]
    TooLarge(usize),
    /// It does not begin as an envelope does.
    #[error("not an envelope")]
    NotOurs,
    /// Written by a version that this one must not read.
    #[error("an envelope of version {0}, not {MAJOR}")]
    UnknownVersion(u8),
    /// Written with another secret.
    #[error("an envelope under the key of another secret")]
    OtherKey,
    /// Addressed to another process.
    #[error("an envelope for process {:#x}", .0.0)]
    WrongDestination(ProcessId),
    /// Changed on the way, or not written by one of us.
    #[error("an envelope with a bad tag")]
    BadTag,
}

/// An envelope whose tag was good.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// Who wrote it.
    pub from: ProcessId,
    /// The sender's [`MINOR`] version.
    pub minor: u8,
    packets: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Checks the envelope of a message that came for the process `me`.
    ///
    /// # Errors
    /// [`EnvelopeError`] if it is to be dropped.
    pub fn open(key: &BusKey, me: ProcessId, bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_MAX {
            return Err(EnvelopeError::TooLarge(bytes.len()));
        }
        let (signed, tag) = bytes.split_last_chunk::<TAG>().ok_or(EnvelopeError::TooShort)?;
        let (header, packets) = signed.split_first_chunk::<HEADER>().ok_or(EnvelopeError::TooShort)?;
        let ([major, minor], name): ([u8; 2], [u8; 4]) = (field(header, 4), field(header, 6));
        let (from, to) = (process(header, 10), process(header, 18));
        if field(header, 0) != MAGIC {
            return Err(EnvelopeError::NotOurs);
        }
        if major != MAJOR {
            return Err(EnvelopeError::UnknownVersion(major));
        }
        if name != key.name {
            return Err(EnvelopeError::OtherKey);
        }
        if to != me {
            return Err(EnvelopeError::WrongDestination(to));
        }
        // The hash's own comparison takes the same time wherever the difference is.
        if blake3::keyed_hash(&key.key, signed) != *tag {
            return Err(EnvelopeError::BadTag);
        }
        Ok(Self { from, minor, packets })
    }

    /// Its packets in order, decoded one by one as they came at `now`.
    #[must_use]
    pub fn packets(&self, now: Millis) -> Packets<'a> {
        Packets { rest: self.packets, now }
    }
}

fn field<const N: usize>(header: &[u8; HEADER], at: usize) -> [u8; N] {
    std::array::from_fn(|i| header[at + i])
}

fn process(header: &[u8; HEADER], at: usize) -> ProcessId {
    ProcessId(u64::from_be_bytes(field(header, at)))
}

/// The packets of an [`Envelope`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
    now: Millis,
}

impl Iterator for Packets<'_> {
    type Item = Result<Packet, PacketError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let packet = self.rest.split_first_chunk::<LENGTH>().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
        });
        match packet {
            Some((packet, rest)) => {
                self.rest = rest;
                Some(decode_packet(packet, self.now))
            }
            None => {
                self.rest = &[];
                Some(Err(PacketError::Truncated))
            }
        }
    }
}
