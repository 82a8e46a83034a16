//! Where the name of a model stands in JSON that comes in pieces.

use bytes::Bytes;
use hedgerow_openai::json::Raw;

use super::Changed;

/// Longer keys are none of those that are looked for.
const LONGEST_KEY: usize = 8;

/// Finds the values of `model` in JSON, cut anywhere, and puts another text in their place.
#[derive(Debug)]
pub(super) struct Scan {
    /// The new name, as JSON.
    name: Box<[u8]>,
    /// Which lines are JSON, if only some are.
    lines: Option<Line>,
    /// How many objects and lists are open.
    depth: u32,
    /// Whether the outermost, and the one in it, are objects.
    objects: [bool; 2],
    /// Whether the key of the outermost is one in which a model is named too.
    within: bool,
    at: At,
    /// The text that was read last at a depth where keys count: its first bytes, and how long it is.
    key: [u8; LONGEST_KEY],
    key_len: usize,
}

/// Where the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a key, or a value of a list, or between things.
    Between,
    /// In a key or in any other text; after a backslash or not.
    Text { escaped: bool },
    /// After a key, before its value.
    Value,
    /// In the old name.
    Name { escaped: bool },
}

/// Where the next byte of a stream of events stands in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At its start, after so many bytes that are like `data:`.
    Start(usize),
    /// In the data.
    Data,
    /// In something else.
    Other,
}

const DATA: &[u8] = b"data:";

impl Scan {
    pub(super) fn json(name: &str) -> Self {
        Self {
            name: Raw::text(name).as_str().as_bytes().into(),
            lines: None,
            depth: 0,
            objects: [false; 2],
            within: false,
            at: At::Between,
            key: [0; LONGEST_KEY],
            key_len: 0,
        }
    }

    pub(super) fn events(name: &str) -> Self {
        Self {
            lines: Some(Line::Start(0)),
            ..Self::json(name)
        }
    }

    /// The piece with what changes in it.
    pub(super) fn pass(&mut self, piece: Bytes) -> Bytes {
        let mut changed = Changed::default();
        for (at, byte) in piece.iter().enumerate() {
            if self.is_json(*byte) {
                self.step(*byte, at, &piece, &mut changed);
            }
        }
        if matches!(self.at, At::Name { .. }) {
            // The rest of the old name.
            changed.leave_out(piece.len());
        }
        changed.finish(piece)
    }

    /// Whether the byte is one of JSON's, by its line.
    fn is_json(&mut self, byte: u8) -> bool {
        let Some(line) = self.lines else {
            return true;
        };
        let is_end = matches!(byte, b'\n' | b'\r');
        let next = match line {
            _ if is_end => {
                // An empty line ends the event, and with it whatever was open.
                if line == Line::Start(0) {
                    self.restart();
                }
                Line::Start(0)
            }
            Line::Start(like) if DATA[like] == byte => {
                if like + 1 == DATA.len() {
                    Line::Data
                } else {
                    Line::Start(like + 1)
                }
            }
            Line::Start(_) => Line::Other,
            line => line,
        };
        self.lines = Some(next);
        line == Line::Data && !is_end
    }

    fn restart(&mut self) {
        self.depth = 0;
        self.within = false;
        self.at = At::Between;
    }

    fn step(&mut self, byte: u8, at: usize, piece: &[u8], changed: &mut Changed) {
        match (self.at, byte) {
            (At::Text { escaped: false }, b'"') => self.at = At::Between,
            (At::Text { escaped }, byte) => {
                if self.key_len < LONGEST_KEY {
                    self.key[self.key_len] = byte;
                }
                self.key_len = self.key_len.saturating_add(1);
                self.at = At::Text {
                    escaped: !escaped && byte == b'\\',
                };
            }
            (At::Name { escaped: false }, b'"') => {
                // Dropped with its last quote; what was put in its place came at its first.
                changed.leave_out(at + 1);
                self.at = At::Between;
            }
            (At::Name { escaped }, byte) => {
                self.at = At::Name {
                    escaped: !escaped && byte == b'\\',
                };
            }
            (At::Value, b' ' | b'\t' | b'\r' | b'\n') => {}
            (At::Value, b'"') if self.is_model() => {
                changed.replace(piece, at, &self.name, at);
                self.at = At::Name { escaped: false };
            }
            (At::Value | At::Between, b'"') => {
                self.key_len = 0;
                self.at = At::Text { escaped: false };
            }
            (At::Between, b':') if self.in_object() => {
                if self.depth == 1 {
                    self.within = matches!(self.key(), b"response" | b"message");
                }
                self.at = At::Value;
            }
            (At::Value | At::Between, b'{' | b'[') => {
                self.depth = self.depth.saturating_add(1);
                if let Some(object) = self.objects.get_mut(self.depth as usize - 1) {
                    *object = byte == b'{';
                }
                self.at = At::Between;
            }
            (At::Value | At::Between, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                self.at = At::Between;
            }
            // The first byte of a number or of a word.
            (At::Value, _) => self.at = At::Between,
            (At::Between, _) => {}
        }
    }

    /// Whether keys count here.
    fn in_object(&self) -> bool {
        match self.depth {
            1 => self.objects[0],
            2 => self.objects[0] && self.within && self.objects[1],
            _ => false,
        }
    }

    fn is_model(&self) -> bool {
        self.in_object() && self.key() == b"model"
    }

    /// The key before the value; one that is too long is none.
    fn key(&self) -> &[u8] {
        self.key.get(..self.key_len).unwrap_or_default()
    }
}
