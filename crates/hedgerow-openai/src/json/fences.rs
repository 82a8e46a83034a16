//! Blocks between fences, as Markdown has them.

/// The contents of fenced blocks.
pub(super) struct Blocks<'a> {
    rest: &'a str,
}

impl<'a> Blocks<'a> {
    pub(super) const fn of(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// One line with its end, and what follows.
    fn line(text: &'a str) -> Option<(&'a str, &'a str)> {
        let end = text.find('\n').map_or(text.len(), |at| at + 1);
        (!text.is_empty()).then(|| text.split_at(end))
    }

    /// What fences in `line`, how long it is, and what stands behind it.
    fn fence(line: &str) -> Option<(char, usize, &str)> {
        let line = line.trim_start_matches([' ', '\t']);
        let mark = line
            .chars()
            .next()
            .filter(|mark| matches!(mark, '`' | '~'))?;
        let behind = line.trim_start_matches(mark);
        let long = line.len() - behind.len();
        (long >= 3).then_some((mark, long, behind))
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (mark, long) = loop {
            let (line, rest) = Self::line(self.rest)?;
            self.rest = rest;
            // Behind the fence stands the language; a fence of backticks has none in it.
            if let Some((mark, long, behind)) = Self::fence(line)
                && !(mark == '`' && behind.contains('`'))
            {
                break (mark, long);
            }
        };
        let content = self.rest;
        let mut taken = 0;
        while let Some((line, rest)) = Self::line(&content[taken..]) {
            self.rest = rest;
            if let Some((end, as_long, behind)) = Self::fence(line)
                && end == mark
                && as_long >= long
                && behind.trim().is_empty()
            {
                return Some(&content[..taken]);
            }
            taken += line.len();
        }
        Some(content)
    }
}
