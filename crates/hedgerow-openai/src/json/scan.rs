//! Where a JSON value ends: a scanner of one pass, without recursion.

/// How deep arrays and objects may stand in each other where [`parse_object`](super::parse_object) reads.
pub const MAX_DEPTH: usize = 100;

/// Why there is no whole object at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// This is no JSON: the byte that spoils it.
    Not(usize),
    /// All that is there is right, and then the text ends.
    CutOff,
    /// Deeper than [`MAX_DEPTH`]: where it gets too deep.
    TooDeep(usize),
}

/// What may come next.
#[derive(Clone, Copy)]
enum Next {
    /// The first key of an object, or its end.
    FirstKey,
    /// A key, after a comma.
    Key,
    Colon,
    /// The first element of an array, or its end.
    FirstElement,
    Value,
    /// A comma, or the end of what is open.
    Rest,
}

/// The end of the object that begins at `start`, where a `{` stands; `steps` grows by the bytes looked at.
///
/// It says yes to what RFC 8259 calls an object, and to nothing else.
pub(super) fn object(text: &[u8], start: usize, steps: &mut usize) -> Result<usize, Fault> {
    debug_assert_eq!(text.get(start), Some(&b'{'));
    let mut scan = Scan {
        text,
        at: start + 1,
        open: [0; WORDS],
        depth: 0,
    };
    let end = scan.open(Bracket::Object).and_then(|()| scan.run());
    // Not beyond the text, however the scan has ended.
    *steps += scan.at.min(text.len()) - start;
    end
}

const WORDS: usize = MAX_DEPTH.div_ceil(64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    Object,
    Array,
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    /// One bit for each open bracket: whether it is an object's.
    open: [u64; WORDS],
    depth: usize,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<usize, Fault> {
        let mut next = Next::FirstKey;
        loop {
            self.blanks();
            let byte = self.peek()?;
            next = match (next, byte) {
                (Next::FirstKey | Next::Key, b'"') => {
                    self.string()?;
                    Next::Colon
                }
                (Next::Colon, b':') => {
                    self.at += 1;
                    Next::Value
                }
                (Next::Rest, b',') => {
                    self.at += 1;
                    match self.innermost() {
                        Bracket::Object => Next::Key,
                        Bracket::Array => Next::Value,
                    }
                }
                (Next::FirstKey | Next::Rest, b'}') if self.innermost() == Bracket::Object => {
                    if self.close() {
                        return Ok(self.at);
                    }
                    Next::Rest
                }
                (Next::FirstElement | Next::Rest, b']') if self.innermost() == Bracket::Array => {
                    // The outermost is an object.
                    self.close();
                    Next::Rest
                }
                (Next::Value | Next::FirstElement, byte) => self.value(byte)?,
                _ => return Err(Fault::Not(self.at)),
            };
        }
    }

    fn value(&mut self, byte: u8) -> Result<Next, Fault> {
        match byte {
            b'{' => {
                self.at += 1;
                self.open(Bracket::Object)?;
                return Ok(Next::FirstKey);
            }
            b'[' => {
                self.at += 1;
                self.open(Bracket::Array)?;
                return Ok(Next::FirstElement);
            }
            b'"' => self.string()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err(Fault::Not(self.at)),
        }
        Ok(Next::Rest)
    }

    fn peek(&self) -> Result<u8, Fault> {
        self.text.get(self.at).copied().ok_or(Fault::CutOff)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Fault> {
        for &wanted in word {
            if self.peek()? != wanted {
                return Err(Fault::Not(self.at));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            let byte = self.peek()?;
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.at += 1;
                    self.escape()?;
                }
                0..0x20 => return Err(Fault::Not(self.at)),
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.at += 1;
                Ok(())
            }
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek()?.is_ascii_hexdigit() {
                        return Err(Fault::Not(self.at));
                    }
                    self.at += 1;
                }
                Ok(())
            }
            _ => Err(Fault::Not(self.at)),
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        // A zero stands alone.
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let b'+' | b'-' = self.peek()? {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.peek()?.is_ascii_digit() {
            return Err(Fault::Not(self.at));
        }
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        Ok(())
    }

    fn open(&mut self, bracket: Bracket) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::TooDeep(self.at - 1));
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        match bracket {
            Bracket::Object => self.open[word] |= bit,
            Bracket::Array => self.open[word] &= !bit,
        }
        self.depth += 1;
        Ok(())
    }

    /// Closes what is innermost; whether nothing is open any more.
    fn close(&mut self) -> bool {
        self.at += 1;
        self.depth -= 1;
        self.depth == 0
    }

    fn innermost(&self) -> Bracket {
        let last = self.depth - 1;
        if self.open[last / 64] >> (last % 64) & 1 == 1 {
            Bracket::Object
        } else {
            Bracket::Array
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str) -> Result<usize, Fault> {
        object(text.as_bytes(), 0, &mut 0)
    }

    #[test]
    fn an_object_ends_at_its_own_bracket() {
        for whole in [
            "{}",
            "{ }",
            r#"{"a":1}"#,
            "{\"a\" : [ ] ,\r\n\t\"b\":{\"}\":\"\\\"}\"}}",
            r#"{"a":[1,-0,0.5,1e9,1E+9,1.0e-9,true,false,null,"\u00e9\/",[[{}]]]}"#,
        ] {
            assert_eq!(ends(whole), Ok(whole.len()), "{whole}");
            let more = format!("{whole}}} and more");
            assert_eq!(ends(&more), Ok(whole.len()), "{more}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_at_the_byte_that_spoils_it() {
        for (text, at) in [
            ("{a", 1),
            ("{,}", 1),
            (r#"{"a"}"#, 4),
            (r#"{"a":}"#, 5),
            (r#"{"a":1,}"#, 7),
            (r#"{"a":[1,]}"#, 8),
            (r#"{"a":1]"#, 6),
            (r#"{"a":[1}"#, 7),
            (r#"{"a":01}"#, 6),
            (r#"{"a":1.}"#, 7),
            (r#"{"a":.5}"#, 5),
            (r#"{"a":+1}"#, 5),
            (r#"{"a":1e}"#, 7),
            (r#"{"a":nope}"#, 6),
            (r#"{"a":NaN}"#, 5),
            (r#"{'a':1}"#, 1),
            ("{\"a\":\"\n\"}", 6),
            (r#"{"a":"\x"}"#, 7),
            (r#"{"a":"\u12g4"}"#, 10),
            (r#"{"a" "b"}"#, 5),
            ("{{", 1),
        ] {
            assert_eq!(ends(text), Err(Fault::Not(at)), "{text}");
        }
    }

    #[test]
    fn every_beginning_of_an_object_is_cut_off() {
        let whole = r#"{"a":[1,-0.5e+9,true,{"b":"\u00e9\"}"}],"c":null}"#;
        for cut in 1..whole.len() {
            assert_eq!(ends(&whole[..cut]), Err(Fault::CutOff), "{}", &whole[..cut]);
        }
    }

    #[test]
    fn depth_is_capped() {
        let deep = |n: usize| format!("{}{}", "{\"a\":".repeat(n - 1), "{") + &"}".repeat(n);
        assert!(ends(&deep(MAX_DEPTH)).is_ok());
        let too = deep(MAX_DEPTH + 1);
        assert_eq!(ends(&too), Err(Fault::TooDeep(MAX_DEPTH * 5)));
        let arrays = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert_eq!(ends(&arrays), Err(Fault::TooDeep(5 + MAX_DEPTH - 1)));
    }
}
