//! What devices say that concerns their gateway alone, and must have one outcome all the same.

use streamz_protocol::MessageId;

use crate::history::{Act, Written};
use crate::world::World;

/// A ping, tokens good and bad, what no gateway takes.
const TEXTS: [&str; 5] = [
    r#""type":"ping""#,
    r#""type":"auth","payload":{"token":"good"}"#,
    r#""type":"auth","payload":{"token":"bad"}"#,
    r#""type":"dance""#,
    r#""type":"sdp_offer","payload":{"sdp":5}"#,
];

impl World {
    pub(crate) fn trouble_the_gateway(&mut self, device: usize) {
        let id = self.fresh_id(device);
        self.own(device, id, false);
    }

    /// One of the texts; `reuses` the `id` of another message.
    pub(crate) fn own(&mut self, device: usize, id: Option<MessageId>, reuses: bool) {
        let tag = self.written.len();
        self.written.push(Written { device, id: id.clone(), to: None, act: Act::Own });
        let body = self.dice.pick(&TEXTS);
        let text = match &id {
            Some(id) => format!(r#"{{{body},"id":"{}"}}"#, id.as_str()),
            None => format!("{{{body}}}"),
        };
        self.send_new(device, id, tag, text, reuses);
    }
}
