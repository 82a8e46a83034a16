//! The name of a row: what it asks, and which of those that ask the same it is.

use std::fmt;

use hedgerow::crates::cache::DigestBuilder;

/// What begins each `custom_id`.
const PREFIX: &str = "hr-";
/// How many bytes of a digest tell contents apart.
const DIGEST: usize = 16;

/// What a row asks: endpoint and body, byte for byte.
pub(super) type Content = [u8; DIGEST];

/// A row's name, which is its `custom_id`: `hr-<32 hexadecimal digits>-<number>`.
///
/// The digits are a digest of endpoint and body; the number tells rows apart that are alike and open at once.
/// So a row that comes again after a restart is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    content: Content,
    occurrence: u32,
}

impl RowId {
    #[cfg(feature = "journal")]
    pub(super) const BYTES: usize = DIGEST + 4;

    /// The first of all rows with this content.
    #[must_use]
    pub fn of(endpoint: &str, body: &[u8]) -> Self {
        Self::new(content(endpoint, body), 0)
    }

    pub(super) const fn new(content: Content, occurrence: u32) -> Self {
        Self {
            content,
            occurrence,
        }
    }

    pub(super) const fn occurrence(&self) -> u32 {
        self.occurrence
    }

    /// The name that a `custom_id` is, if it is one of these.
    #[must_use]
    pub fn parse(custom_id: &str) -> Option<Self> {
        let (digits, number) = custom_id.strip_prefix(PREFIX)?.split_once('-')?;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if digits.len() != 2 * DIGEST || !plain(digits) || !plain(number) {
            return None;
        }
        let mut content = [0; DIGEST];
        for (at, byte) in content.iter_mut().enumerate() {
            *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self::new(content, number.parse().ok()?))
    }

    #[cfg(feature = "journal")]
    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..DIGEST].copy_from_slice(&self.content);
        bytes[DIGEST..].copy_from_slice(&self.occurrence.to_be_bytes());
        bytes
    }

    #[cfg(feature = "journal")]
    pub(super) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut content = [0; DIGEST];
        content.copy_from_slice(&bytes[..DIGEST]);
        let mut occurrence = [0; 4];
        occurrence.copy_from_slice(&bytes[DIGEST..]);
        Self::new(content, u32::from_be_bytes(occurrence))
    }
}

pub(super) fn content(endpoint: &str, body: &[u8]) -> Content {
    let mut hash = DigestBuilder::new("hedgerow batch row 1");
    let digest = hash.part(endpoint.as_bytes()).part(body).finish();
    let mut content = [0; DIGEST];
    content.copy_from_slice(&digest.as_bytes()[..DIGEST]);
    content
}

// === impl Display, Debug ===

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        for byte in self.content {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "-{}", self.occurrence)
    }
}

impl fmt::Debug for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_and_nothing_else_is_one() {
        for occurrence in [0, 7, u32::MAX] {
            let id = RowId::new(content("/v1/embeddings", b"{}"), occurrence);
            assert_eq!(RowId::parse(&id.to_string()), Some(id));
        }
        let id = RowId::of("/v1/embeddings", b"{}").to_string();
        for other in [
            "",
            "hr-",
            "row-1",
            &id[..id.len() - 1],
            &id.replace('-', "+"),
            &id[1..],
        ] {
            assert_eq!(RowId::parse(other), None, "{other}");
        }
        assert_eq!(RowId::parse(&format!("{id}é")), None);
        assert_eq!(RowId::parse(&id.replace("-0", "-+0")), None);
    }

    #[test]
    fn a_name_tells_endpoint_and_body_apart() {
        let id = RowId::of("/v1/a", b"b");
        assert_ne!(id, RowId::of("/v1/ab", b""));
        assert_ne!(id, RowId::of("/v1/a", b"c"));
        assert_eq!(id, RowId::of("/v1/a", b"b"));
    }
}
