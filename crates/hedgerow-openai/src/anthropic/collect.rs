//! A streamed message, put together.

use std::collections::BTreeMap;

use super::event::{BlockDelta, MessageEvent};
use super::message::{Block, Message};
use crate::json::Raw;

/// Puts a streamed message together: what the same call would have answered without a stream.
///
/// # Examples
///
/// ```
/// use hedgerow_openai::anthropic::{Block, BlockDelta, Message, MessageCollector, MessageEvent};
///
/// let mut collector = MessageCollector::new();
/// collector.add(MessageEvent::start(Message::new("msg_1", "m")));
/// collector.add(MessageEvent::block_start(0, Block::text("")));
/// collector.add(MessageEvent::delta(0, BlockDelta::text("Ro")));
/// collector.add(MessageEvent::delta(0, BlockDelta::text("me")));
/// collector.add(MessageEvent::block_stop(0));
/// collector.add(MessageEvent::stop());
/// assert!(collector.is_finished());
/// assert_eq!(collector.finish().text(), "Rome");
/// ```
#[derive(Clone, Debug, Default)]
pub struct MessageCollector {
    whole: Message,
    blocks: BTreeMap<u64, Part>,
    finished: bool,
}

#[derive(Clone, Debug, Default)]
struct Part {
    block: Block,
    /// A tool's input as far as it has come.
    input: String,
    citations: Vec<Raw>,
}

impl MessageCollector {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event.
    pub fn add(&mut self, event: MessageEvent) {
        match event {
            MessageEvent::MessageStart(start) => {
                self.whole = start.message;
                // What a message brings along at its start would else be there twice.
                for (index, block) in (0..).zip(std::mem::take(&mut self.whole.content)) {
                    self.part(index).block = block;
                }
            }
            MessageEvent::ContentBlockStart(start) => {
                self.part(start.index).block = start.content_block;
            }
            MessageEvent::ContentBlockDelta(event) => self.part(event.index).add(event.delta),
            MessageEvent::MessageDelta(event) => {
                let (whole, change) = (&mut self.whole, event.delta);
                whole.stop_reason = change.stop_reason.or(whole.stop_reason.take());
                whole.stop_sequence = change.stop_sequence.or(whole.stop_sequence.take());
                for (name, raw) in &change.rest {
                    whole.rest.put(name, raw.clone());
                }
                if let Some(usage) = event.usage {
                    whole.usage.get_or_insert_default().update(&usage);
                }
            }
            MessageEvent::MessageStop(_) => self.finished = true,
            MessageEvent::ContentBlockStop(_)
            | MessageEvent::Ping(_)
            | MessageEvent::Error(_)
            | MessageEvent::Other(_) => {}
        }
    }

    /// Whether the message has ended.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// The message, as far as it has come.
    ///
    /// The input of a tool whose text is no JSON, because the message was cut off in it, is that text as a
    /// JSON string: so nothing is lost, and nothing is taken for an object that is none.
    #[must_use]
    pub fn finish(mut self) -> Message {
        self.whole.content = self.blocks.into_values().map(Part::finish).collect();
        self.whole
    }

    fn part(&mut self, index: u64) -> &mut Part {
        self.blocks.entry(index).or_default()
    }
}

impl Part {
    fn add(&mut self, delta: BlockDelta) {
        if let Some(text) = delta.text {
            self.block.text.get_or_insert_default().push_str(&text);
        }
        if let Some(thinking) = delta.thinking {
            self.block
                .thinking
                .get_or_insert_default()
                .push_str(&thinking);
        }
        if let Some(json) = delta.partial_json {
            self.input.push_str(&json);
        }
        if let Some(signature) = delta.signature {
            let before: Option<String> = self.block.rest.read("signature").ok().flatten();
            let signature = before.unwrap_or_default() + &signature;
            self.block.rest.put("signature", Raw::text(&signature));
        }
        for (name, raw) in &delta.rest {
            if name == "citation" {
                self.citations.push(raw.clone());
            } else {
                self.block.rest.put(name, raw.clone());
            }
        }
    }

    fn finish(mut self) -> Block {
        if !self.input.is_empty() {
            let whole = serde_json::from_str(&self.input);
            self.block.input = Some(whole.unwrap_or_else(|_| Raw::text(&self.input)));
        }
        if !self.citations.is_empty()
            && let Ok(citations) = Raw::of(&self.citations)
        {
            self.block.rest.put("citations", citations);
        }
        self.block
    }
}
