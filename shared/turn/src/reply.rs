//! The messages that a server sends.

use std::net::SocketAddr;

use stun_types::attribute::{ErrorCode, Nonce, Realm, UnknownAttributes, XorMappedAddress};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType, MessageWriteVec, Method,
    TransactionId,
};
use stun_types::prelude::{AttributeWrite, MessageWrite, MessageWriteExt};
use turn_types::attribute::{Data, XorPeerAddress};
use turn_types::channel::ChannelData;
use turn_types::message::DATA;

/// An answer in the making.
pub(crate) struct Reply(MessageWriteVec);

impl Reply {
    pub(crate) fn success(to: &Message<'_>) -> Self {
        Self(Message::builder_success(to, MessageWriteVec::with_capacity(128)))
    }

    /// Of a request that is not at hand any more.
    pub(crate) fn success_of(method: Method, transaction: TransactionId) -> Self {
        let kind = MessageType::from_class_method(MessageClass::Success, method);
        Self(Message::builder(kind, transaction, MessageWriteVec::with_capacity(128)))
    }

    /// The same.
    pub(crate) fn error_of(method: Method, transaction: TransactionId, code: u16) -> Self {
        let kind = MessageType::from_class_method(MessageClass::Error, method);
        Self(Message::builder(kind, transaction, MessageWriteVec::with_capacity(128))).with_code(code)
    }

    /// With the reason that the RFCs have for the code.
    pub(crate) fn error(to: &Message<'_>, code: u16) -> Self {
        Self(Message::builder_error(to, MessageWriteVec::with_capacity(128))).with_code(code)
    }

    fn with_code(self, code: u16) -> Self {
        self.with(&ErrorCode::builder(code).build().expect("the codes here are those of the RFCs"))
    }

    pub(crate) fn with(mut self, attribute: &dyn AttributeWrite) -> Self {
        self.0.add_attribute(attribute).expect("each attribute is added once, and before the integrity");
        self
    }

    pub(crate) fn with_unknown(self, attributes: &UnknownAttributes) -> Self {
        self.with(attributes)
    }

    /// That a client is to say who it is (RFC 8489 §9.2).
    pub(crate) fn with_challenge(self, realm: &str, nonce: &str) -> Self {
        let realm = Realm::new(realm).expect("a realm is shorter than 763 bytes");
        let nonce = Nonce::new(nonce).expect("a nonce is shorter than 763 bytes");
        self.with(&realm).with(&nonce)
    }

    pub(crate) fn signed(mut self, key: &IntegrityKey) -> Vec<u8> {
        let signed = self.0.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1);
        signed.expect("the key is one for SHA-1, and it is signed once");
        self.0.finish()
    }

    pub(crate) fn unsigned(self) -> Vec<u8> {
        self.0.finish()
    }
}

/// Where the client is seen.
pub(crate) fn mapped(client: SocketAddr, transaction: TransactionId) -> XorMappedAddress {
    XorMappedAddress::new(client, transaction)
}

/// What a peer said, for the client.
pub(crate) fn data_indication(transaction: TransactionId, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::with_capacity(data.len() + 48));
    message.add_attribute(&XorPeerAddress::new(peer, transaction)).ok()?;
    message.add_attribute(&Data::new(data)).ok()?;
    Some(message.finish())
}

/// The same over a channel.
pub(crate) fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; data.len() + 4];
    ChannelData::new(number, data).write_into_unchecked(&mut bytes);
    bytes
}
