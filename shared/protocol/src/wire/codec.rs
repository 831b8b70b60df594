//! How values are written whose types say nothing of CBOR, or more than CBOR does.

use std::sync::Arc;

use minicbor::data::{Int, Type};
use minicbor::decode::{self, Decode, Decoder};
use minicbor::encode::{self, Encode, Encoder, Write};
use uuid::Uuid;

use super::Now;
use super::error::UnknownWord;
use crate::cluster::Slot;
use crate::server::Body;
use crate::{CloseCode, DeviceId, MessageId, Millis};

type Encoded<W> = Result<(), encode::Error<<W as Write>::Error>>;
type Decoded<T> = Result<T, decode::Error>;

/// A time is a distance to the present: clocks of two machines agree on that, not on the hour.
impl<C: Now> Encode<C> for Millis {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, ctx: &mut C) -> Encoded<W> {
        let distance = i128::from(self.0) - i128::from(ctx.now().0);
        // CBOR has 64 bits beside the sign.
        e.int(Int::try_from(distance).map_err(encode::Error::custom)?)?.ok()
    }
}

impl<'b, C: Now> Decode<'b, C> for Millis {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Decoded<Self> {
        let time = i128::from(ctx.now().0) + i128::from(d.int()?);
        Ok(Millis(u64::try_from(time.max(0)).unwrap_or(u64::MAX)))
    }
}

macro_rules! checked_text {
    ($($name:ident)*) => {$(
        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
                e.str(self.as_str())?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Decoded<Self> {
                let at = d.position();
                $name::new(d.str()?).map_err(|error| decode::Error::custom(error).at(at))
            }
        }
    )*};
}

checked_text!(DeviceId MessageId);

impl<C> Encode<C> for Slot {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        e.u16(self.number())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Slot {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Decoded<Self> {
        let at = d.position();
        Slot::new(d.u16()?).map_err(|error| decode::Error::custom(error).at(at))
    }
}

impl<C> Encode<C> for CloseCode {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        e.u16(self.code())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for CloseCode {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Decoded<Self> {
        let (at, code) = (d.position(), d.u16()?);
        CloseCode::from_code(code).ok_or_else(|| UnknownWord::error("close code", u64::from(code), at))
    }
}

impl<C> Encode<C> for Body {
    fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        e.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Body {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Decoded<Self> {
        let (at, bytes) = (d.position(), d.bytes()?);
        let text = std::str::from_utf8(bytes).map_err(|error| decode::Error::custom(error).at(at))?;
        // A copy of its own: a body waits in windows for longer than the envelope that it came in should be held.
        Ok(Body::from_text(text.to_owned()))
    }
}

/// Implements CBOR for an enumeration without fields: each value is its number.
macro_rules! numbered {
    ($what:literal, $name:ident { $($variant:ident = $number:literal,)* }) => {
        impl<C> Encode<C> for $name {
            fn encode<W: Write>(&self, e: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
                e.u64(match self { $($name::$variant => $number,)* })?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(d: &mut Decoder<'b>, _: &mut C) -> Decoded<Self> {
                let at = d.position();
                match d.u64()? {
                    $($number => Ok($name::$variant),)*
                    number => Err(UnknownWord::error($what, number, at)),
                }
            }
        }
    };
}

mod numbers {
    use super::{Decode, Decoded, Decoder, Encode, Encoded, Encoder, UnknownWord, Write};
    use crate::ErrorCode;
    use crate::client::RelayKind;
    use crate::objects::{ConnectionType, StreamState, StreamType};

    numbered!("type of stream", StreamType { Video = 0, Audio = 1, Both = 2, Screen = 3, Data = 4, });
    numbered!("path of media", ConnectionType { P2p = 0, Relay = 1, });
    numbered!("state of a stream", StreamState { Ringing = 0, Active = 1, });
    numbered!("error", ErrorCode {
        MalformedFrame = 0, UnknownType = 1, InvalidPayload = 2, FrameTooLarge = 3, RateLimited = 4, IdReused = 5,
        UnknownStream = 6, WrongState = 7, StaleCandidate = 8, TooManyStreams = 9, InvalidToken = 10,
        Unavailable = 11, NotDelivered = 12,
    });
    numbered!("relayed frame", RelayKind { SdpOffer = 0, SdpAnswer = 1, IceCandidate = 2, });
}

/// `with` this module a field is written whose type is another crate's.
pub(crate) mod foreign {
    use super::{Decoded, Decoder, Encoded, Encoder, Foreign, Write};

    pub(crate) fn encode<C, T: Foreign, W: Write>(value: &T, e: &mut Encoder<W>, _: &mut C) -> Encoded<W> {
        value.write(e)
    }

    pub(crate) fn decode<C, T: Foreign>(d: &mut Decoder<'_>, _: &mut C) -> Decoded<T> {
        T::read(d)
    }
}

/// `with` this module the time of a row is written as it stands in the store, which all machines read alike.
pub(crate) use foreign as row_time;

/// What `with` [`foreign`] and [`row_time`] is written as it is.
pub(crate) trait Foreign: Sized {
    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Encoded<W>;
    fn read(d: &mut Decoder<'_>) -> Decoded<Self>;
}

impl Foreign for Uuid {
    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Encoded<W> {
        e.bytes(self.as_bytes())?.ok()
    }

    fn read(d: &mut Decoder<'_>) -> Decoded<Self> {
        let at = d.position();
        Uuid::from_slice(d.bytes()?).map_err(|error| decode::Error::custom(error).at(at))
    }
}

impl Foreign for Arc<str> {
    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Encoded<W> {
        e.str(self)?.ok()
    }

    fn read(d: &mut Decoder<'_>) -> Decoded<Self> {
        d.str().map(Into::into)
    }
}

/// The time of a row. Any other goes through the trait of CBOR and is a distance to the present.
impl Foreign for Millis {
    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Encoded<W> {
        e.u64(self.0)?.ok()
    }

    fn read(d: &mut Decoder<'_>) -> Decoded<Self> {
        d.u64().map(Millis)
    }
}

impl<T: Foreign> Foreign for Option<T> {
    fn write<W: Write>(&self, e: &mut Encoder<W>) -> Encoded<W> {
        match self {
            Some(value) => value.write(e),
            None => e.null()?.ok(),
        }
    }

    fn read(d: &mut Decoder<'_>) -> Decoded<Self> {
        if d.datatype()? == Type::Null {
            d.null()?;
            return Ok(None);
        }
        T::read(d).map(Some)
    }
}

/// `with` this module an optional field is refused if it holds a word of a later version.
///
/// A derived decoder would take such a field for absent and go on in the middle of it, unless the unknown word is the
/// field itself. Every optional field whose value has an enumeration with fields somewhere within needs this.
pub(crate) mod whole {
    use super::{Decode, Decoded, Decoder, Encode, Encoded, Encoder, UnknownWord, Write};

    pub(crate) fn encode<C, T: Encode<C>, W: Write>(
        value: &T,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Encoded<W> {
        value.encode(e, ctx)
    }

    pub(crate) fn decode<'b, C, T: Decode<'b, C>>(d: &mut Decoder<'b>, ctx: &mut C) -> Decoded<T> {
        T::decode(d, ctx).map_err(UnknownWord::insist)
    }
}

/// `with` this module a value is written that is shared in memory.
pub(crate) mod shared {
    use super::{Arc, Decode, Decoded, Decoder, Encode, Encoded, Encoder, Write};

    pub(crate) fn encode<C, T: Encode<C>, W: Write>(
        value: &Arc<T>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Encoded<W> {
        T::encode(value, e, ctx)
    }

    pub(crate) fn decode<'b, C, T: Decode<'b, C>>(d: &mut Decoder<'b>, ctx: &mut C) -> Decoded<Arc<T>> {
        T::decode(d, ctx).map(Arc::new)
    }
}
