//! How processes write down for each other what they say: the bytes on the bus.
//!
//! An [`Envelope`] goes from one process to another and holds any number of [`Packet`]s:
//!
//! ```text
//! magic  major  minor  key   from   to     length packet   length packet  …   tag
//! 4      1      1      4     8      8      4      length   4      length      32 bytes
//! ```
//!
//! Numbers are big-endian. The tag is keyed BLAKE3 over all that stands before it: whoever has no key can neither
//! read a packet into a process nor change one.
//!
//! A packet is CBOR (RFC 8949), written by the derived traits of its types: a structure is an array with each field at
//! the place that its `#[n(…)]` names, an enumeration the number of the variant and the array of its fields. Ids are
//! byte strings of 16, text for devices is a byte string that nobody on the way looks into.
//!
//! # Time
//!
//! A [`Millis`] crosses as its distance to the sender's present and becomes as far from the receiver's, so that machines
//! whose clocks differ agree on how long something has waited; what the way takes is not counted. The times of rows
//! (`created_at`, `last_seen` and the like) are the store's, and cross as they are.
//!
//! # Compatibility
//!
//! Neighbouring versions run side by side during an upgrade, so the format only grows:
//!
//! * A number, of a field or of a variant, is never used for anything else, and never moves.
//! * A new field goes to the end and is an `Option` or `#[cbor(default)]`: an older decoder skips it, a newer one takes
//!   its default from an older sender. A field that is not optional stays for ever.
//! * A new kind of [`Packet`] is refused alone, as [`PacketError::UnknownKind`]. A new variant anywhere within a
//!   frame of a link costs that frame, as [`PacketError::Frame`], which the link has to take for received. So nobody
//!   sends one before every process knows it, unless losing it does no harm.
//! * An optional field with an enumeration within needs the `codec::whole` module; see there.
//! * A change beyond that raises [`MAJOR`], and both sides refuse each other; [`MINOR`] only tells people.
//!
//! The files in `tests/golden-bus` fail a test if any byte changes.

pub(crate) mod codec;
mod envelope;
mod error;
#[cfg(test)]
mod versions;

use minicbor::{Decoder, Encoder};

use crate::Millis;
use crate::cluster::Packet;

pub use envelope::{
    BusKey, ENVELOPE_MAX, ENVELOPE_OVERHEAD, Envelope, EnvelopeError, EnvelopeWriter, KEY_CONTEXT, MAGIC,
    MAJOR, MINOR, Packets, PushError,
};
pub use error::{Fault, PacketError};

/// What encoding and decoding must know: the present of the process that does it.
pub trait Now {
    /// The present.
    fn now(&self) -> Millis;
}

impl Now for Millis {
    fn now(&self) -> Millis {
        *self
    }
}

/// Appends the bytes of a packet that is sent at `now`.
pub fn encode_packet(packet: &Packet, mut now: Millis, to: &mut Vec<u8>) {
    Encoder::new(to)
        .encode_with(packet, &mut now)
        .expect("memory takes all bytes, and the difference of two times fits");
}

/// Reads a packet that came at `now`.
///
/// # Errors
/// [`PacketError`] if it is of a later version, or damaged.
pub fn decode_packet(bytes: &[u8], mut now: Millis) -> Result<Packet, PacketError> {
    let mut decoder = Decoder::new(bytes);
    let error = match decoder.decode_with(&mut now) {
        Ok(packet) if decoder.position() == bytes.len() => return Ok(packet),
        // Unknown fields stand within; what is left over was not read as it was meant.
        Ok(_) => minicbor::decode::Error::message("bytes are left over").at(decoder.position()),
        Err(error) => error,
    };
    Err(explain(bytes, error))
}

/// The number of [`Packet::Frame`].
const FRAME: i64 = 0;

fn explain(bytes: &[u8], error: minicbor::decode::Error) -> PacketError {
    let mut decoder = Decoder::new(bytes);
    if let Ok(Some(2)) = decoder.array() {
        let at = decoder.position();
        match decoder.i64() {
            Ok(kind) if error.is_unknown_variant() && error.position() == Some(at) => {
                return PacketError::UnknownKind(kind);
            }
            Ok(FRAME) => {
                if let Ok((seq, ack)) = place(&mut decoder) {
                    return PacketError::Frame { seq, ack, fault: error.into() };
                }
            }
            _ => {}
        }
    }
    PacketError::Undecodable(error.into())
}

/// The place in a link stands before the frame and is read alone, whatever comes after it.
fn place(decoder: &mut Decoder<'_>) -> Result<(u64, u64), minicbor::decode::Error> {
    decoder.array()?;
    Ok((decoder.u64()?, decoder.u64()?))
}
