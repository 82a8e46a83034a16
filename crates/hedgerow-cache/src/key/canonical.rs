//! JSON by what it says: members sorted, numbers by value, arrays in order.

use std::borrow::Cow;

/// Deeper than this it is no request but an attack: its bytes are compared as they are.
const MAX_DEPTH: usize = 128;

/// Members of a JSON document that say nothing about its answer.
///
/// Each is a path of names from the root, joined by dots: `"user"`, `"metadata.trace_id"`. Paths go through
/// objects alone, never into the elements of arrays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoredFields {
    paths: Vec<Vec<String>>,
}

impl IgnoredFields {
    /// Ignores the members at these paths.
    pub fn new(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let split = |path: &str| path.split('.').map(str::to_owned).collect();
        Self {
            paths: paths.into_iter().map(|path| split(path.as_ref())).collect(),
        }
    }

    fn has(&self, path: &[Cow<'_, str>]) -> bool {
        self.paths.iter().any(|ignored| {
            ignored.len() == path.len() && ignored.iter().zip(path).all(|(one, other)| one == other)
        })
    }
}

/// What a JSON document says, in a form that two documents share if and only if they say the same:
/// members of objects sorted, numbers by their exact value (`1`, `1.0` and `10e-1` are one number), arrays
/// in their order with every repetition, strings by their characters.
///
/// `None` for what is no JSON, or says two things at once (a member that is there twice), or is nested
/// deeper than 128: such a body is to be compared byte by byte.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::{IgnoredFields, canonical_json};
///
/// let say = |text: &str| canonical_json(text.as_bytes(), &IgnoredFields::new(["user"]));
/// assert_eq!(say(r#"{"b": [1.0], "a": "x"}"#), say(r#"{"a":"\u0078","b":[1],"user":"me"}"#));
/// assert_ne!(say("[1,2]"), say("[2,1]"));
/// assert_ne!(say("[1,1]"), say("[1]"));
/// assert_eq!(say("{"), None);
/// ```
#[must_use]
pub fn canonical_json(text: &[u8], ignored: &IgnoredFields) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut reader = Reader {
        text: text.as_bytes(),
        at: 0,
        ignored,
        path: Vec::new(),
        within_array: 0,
    };
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    reader.value(&mut out, 0)?;
    reader.space();
    (reader.at == reader.text.len()).then_some(out)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    ignored: &'a IgnoredFields,
    path: Vec<Cow<'a, str>>,
    within_array: usize,
}

impl<'a> Reader<'a> {
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn expect(&mut self, word: &[u8]) -> Option<()> {
        let found = self.text[self.at..].starts_with(word);
        self.at += word.len();
        found.then_some(())
    }

    fn value(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.space();
        match self.peek()? {
            b'{' => self.object(out, depth),
            b'[' => self.array(out, depth),
            b'"' => {
                let text = self.string()?;
                out.push(b'"');
                sized(out, text.as_bytes());
                Some(())
            }
            b't' => self.expect(b"true").map(|()| out.push(b't')),
            b'f' => self.expect(b"false").map(|()| out.push(b'f')),
            b'n' => self.expect(b"null").map(|()| out.push(b'n')),
            _ => self.number(out),
        }
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.at += 1;
        out.push(b'[');
        self.within_array += 1;
        self.space();
        if self.peek()? == b']' {
            self.at += 1;
        } else {
            loop {
                self.value(out, depth + 1)?;
                self.space();
                match self.next()? {
                    b',' => {}
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.within_array -= 1;
        out.push(b']');
        Some(())
    }

    fn object(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.at += 1;
        let mut members: Vec<(Cow<'a, str>, Option<Vec<u8>>)> = Vec::new();
        self.space();
        if self.peek()? == b'}' {
            self.at += 1;
        } else {
            loop {
                self.space();
                let name = self.string()?;
                self.space();
                self.expect(b":")?;
                self.path.push(name);
                let ignored = self.within_array == 0 && self.ignored.has(&self.path);
                let mut says = Vec::new();
                self.value(&mut says, depth + 1)?;
                let name = self.path.pop()?;
                members.push((name, (!ignored).then_some(says)));
                self.space();
                match self.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        members.sort_by(|(one, _), (other, _)| one.cmp(other));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        out.push(b'{');
        for (name, says) in members {
            if let Some(says) = says {
                sized(out, name.as_bytes());
                out.extend(says);
            }
        }
        out.push(b'}');
        Some(())
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.expect(b"\"")?;
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return borrowed(&self.text[start..self.at - 1]).map(Cow::Borrowed),
                b'\\' => break,
                ..b' ' => return None,
                _ => {}
            }
        }
        self.at -= 1;
        let mut text = borrowed(&self.text[start..self.at])?.to_owned();
        loop {
            let run = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | ..b' ') {
                self.at += 1;
            }
            text.push_str(borrowed(&self.text[run..self.at])?);
            match self.next()? {
                b'"' => return Some(Cow::Owned(text)),
                b'\\' => text.push(self.escaped()?),
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        Some(match self.next()? {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                self.expect(b"\\u")?;
                let second = self.four()?.checked_sub(0xdc00)?;
                if second >= 0x400 {
                    return None;
                }
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second);
            }
            _ => return None,
        })
    }

    fn four(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |sum, _| {
            Some(sum * 16 + char::from(self.next()?).to_digit(16)?)
        })
    }

    fn digits(&mut self) -> &'a [u8] {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }

    /// The digits that count, and the power of ten behind them.
    fn number(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let whole = self.digits();
        if whole.is_empty() || (whole.len() > 1 && whole[0] == b'0') {
            return None;
        }
        let mut fraction: &[u8] = &[];
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = self.digits();
            if fraction.is_empty() {
                return None;
            }
        }
        let mut power = 0_i64;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let minus = self.peek() == Some(b'-');
            self.at += usize::from(minus || self.peek() == Some(b'+'));
            let digits = self.digits();
            let value: i64 = borrowed(digits)?.parse().ok()?;
            power = if minus { -value } else { value };
        }
        let mut digits = [whole, fraction].concat();
        power = power.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        while digits.last() == Some(&b'0') {
            digits.pop();
            power = power.checked_add(1)?;
        }
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        let digits = &digits[leading..];
        if digits.is_empty() {
            out.extend(b"#0");
            return Some(());
        }
        out.extend(if negative { b"#-" } else { b"#+" });
        sized(out, digits);
        out.extend(power.to_le_bytes());
        Some(())
    }
}

/// A run of a text that ends where no character goes on.
fn borrowed(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}
