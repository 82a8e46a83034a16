//! A writer of SVG text: a few shapes, everything escaped.

use std::borrow::Cow;
use std::fmt::{self, Write};

const FONT: &str =
    "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

/// An SVG that is being written.
pub(super) struct Svg {
    text: String,
}

/// Which end of a text stands at its position.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// The title and the description are what a screen reader says.
    pub(super) fn new(width: f64, height: f64, title: &str, description: &str) -> Self {
        let mut svg = Self {
            text: String::new(),
        };
        svg.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\" font-family=\"{FONT}\">"
        ));
        svg.put(format_args!("<title>{}</title>", escape(title)));
        svg.put(format_args!("<desc>{}</desc>", escape(description)));
        svg
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        self.put(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{fill}\"/>"
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, width: f64) {
        self.put(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], colour: &str, dashes: &str) {
        let mut steps = String::new();
        for (number, (x, y)) in points.iter().enumerate() {
            let step = if number == 0 { 'M' } else { 'L' };
            write!(steps, "{step}{x:.1} {y:.1}").expect("a String takes all text");
        }
        self.put(format_args!(
            "<path d=\"{steps}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\" \
             stroke-linejoin=\"round\" stroke-dasharray=\"{}\"/>",
            if dashes.is_empty() { "none" } else { dashes }
        ));
    }

    pub(super) fn dot(&mut self, x: f64, y: f64, radius: f64, colour: &str, rim: &str) {
        self.put(format_args!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\" \
             stroke=\"{rim}\" stroke-width=\"1.5\"/>"
        ));
    }

    pub(super) fn text(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        colour: &str,
        anchor: Anchor,
        text: &str,
    ) {
        let anchor = anchor.as_str();
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{colour}\" \
             text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        ));
    }

    /// Bold text that starts at its position.
    pub(super) fn heading(&mut self, x: f64, y: f64, size: f64, colour: &str, text: &str) {
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"600\" \
             fill=\"{colour}\">{}</text>",
            escape(text)
        ));
    }

    /// Bold text with a rim of `paper` around the letters, readable across a line.
    pub(super) fn halo(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        colour: &str,
        paper: &str,
        text: &str,
    ) {
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" font-weight=\"600\" \
             fill=\"{colour}\" stroke=\"{paper}\" stroke-width=\"4\" stroke-linejoin=\"round\" \
             paint-order=\"stroke\">{}</text>",
            escape(text)
        ));
    }

    /// A name and, after it in its own colour, a note.
    pub(super) fn legend_text(
        &mut self,
        x: f64,
        y: f64,
        size: f64,
        name: (&str, &str),
        note: (&str, &str),
    ) {
        self.put(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" fill=\"{}\">{}\
             <tspan dx=\"10\" fill=\"{}\">{}</tspan></text>",
            name.0,
            escape(name.1),
            note.0,
            escape(note.1)
        ));
    }

    /// Text that reads upwards, centred on its position.
    pub(super) fn upright(&mut self, x: f64, y: f64, size: f64, colour: &str, text: &str) {
        self.put(format_args!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" font-size=\"{size}\" \
             fill=\"{colour}\" text-anchor=\"middle\">{}</text>",
            escape(text)
        ));
    }

    pub(super) fn finish(mut self) -> String {
        self.put(format_args!("</svg>"));
        self.text
    }

    fn put(&mut self, line: fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes all text");
    }
}

impl Anchor {
    fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// Makes text safe inside an element or a quoted attribute. What XML cannot carry at all (control
/// characters) becomes U+FFFD.
fn escape(text: &str) -> Cow<'_, str> {
    let special = |c: char| matches!(c, '&' | '<' | '>' | '"' | '\'') || forbidden(c);
    if !text.contains(special) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ if forbidden(c) => safe.push('\u{fffd}'),
            _ => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

fn forbidden(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_wherever_it_stands() {
        let mut svg = Svg::new(1.0, 1.0, "a<b", "\"c\"&");
        svg.text(0.0, 0.0, 1.0, "#000", Anchor::Start, "</text>\u{1}");
        let text = svg.finish();
        assert!(text.contains("<title>a&lt;b</title>"));
        assert!(text.contains("<desc>&quot;c&quot;&amp;</desc>"));
        assert!(text.contains(">&lt;/text&gt;\u{fffd}</text>"));
    }
}
