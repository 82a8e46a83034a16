//! A whole message as the stream that it would have been.

use super::event::{BlockDelta, MessageChange, MessageEvent};
use super::message::{Block, Message, MessageUsage};
use crate::json::Raw;

impl Message {
    /// The events that stream this message: its start, each part, why it ends and what it used.
    /// [`MessageCollector`](super::MessageCollector) makes the message of them again.
    #[must_use]
    pub fn to_events(&self) -> Vec<MessageEvent> {
        let usage = self.usage.clone().unwrap_or_default();
        let begun = Self {
            content: Vec::new(),
            stop_reason: None,
            stop_sequence: None,
            // What is used of output is not known at the start.
            usage: Some(MessageUsage {
                output_tokens: Some(0),
                ..usage.clone()
            }),
            ..self.clone()
        };
        let begun = null_endings(begun);
        let mut events = vec![MessageEvent::start(begun)];
        for (index, block) in (0..).zip(&self.content) {
            block.tell(index, &mut events);
        }
        let change = MessageChange {
            stop_reason: self.stop_reason.clone(),
            stop_sequence: self.stop_sequence.clone(),
            ..MessageChange::default()
        };
        events.push(MessageEvent::change(change, usage));
        events.push(MessageEvent::stop());
        events
    }
}

/// The wire has them always.
fn null_endings(mut message: Message) -> Message {
    for name in ["stop_reason", "stop_sequence"] {
        message.rest.put(name, Raw::null());
    }
    message
}

impl Block {
    fn tell(&self, index: u64, events: &mut Vec<MessageEvent>) {
        let mut begun = self.clone();
        let mut deltas = Vec::new();
        if let Some(text) = begun.text.as_mut().filter(|_| self.kind == "text") {
            deltas.push(BlockDelta::text(std::mem::take(text)));
        }
        if let Some(thinking) = begun.thinking.as_mut().filter(|_| self.kind == "thinking") {
            deltas.push(BlockDelta {
                kind: "thinking_delta".to_owned(),
                thinking: Some(std::mem::take(thinking)),
                ..BlockDelta::default()
            });
            if let Ok(Some(signature)) = self.rest.read("signature") {
                begun.rest.put("signature", Raw::text(""));
                deltas.push(BlockDelta {
                    kind: "signature_delta".to_owned(),
                    signature: Some(signature),
                    ..BlockDelta::default()
                });
            }
        }
        if let Some(input) = begun
            .input
            .as_mut()
            .filter(|_| self.kind.ends_with("tool_use"))
        {
            deltas.push(BlockDelta::input_json(input.as_str()));
            *input = Raw::empty_object();
        }
        events.push(MessageEvent::block_start(index, begun));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| MessageEvent::delta(index, delta)),
        );
        events.push(MessageEvent::block_stop(index));
    }
}
