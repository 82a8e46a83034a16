//! A key of 32 bytes that nobody can forge.

use std::fmt;
use std::hash::{Hash, Hasher};

/// A blake3 hash over parts, each behind its length: no part can pass for another one's end.
///
/// What byte stores are keyed by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Makes a [`Digest`] of parts.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::DigestBuilder;
///
/// let digest = |parts: &[&str]| {
///     let mut hash = DigestBuilder::new("my service");
///     for part in parts { hash.part(part.as_bytes()); }
///     hash.finish()
/// };
/// assert_ne!(digest(&["a|b", "c"]), digest(&["a", "b|c"]));
/// assert_ne!(digest(&["ab"]), digest(&["a", "b"]));
/// ```
#[derive(Clone, Debug)]
pub struct DigestBuilder {
    hash: blake3::Hasher,
}

/// What a byte store can make a [`Digest`] of.
pub trait Digestible {
    /// Its digest.
    fn digest(&self) -> Digest;
}

impl Digest {
    /// The hash itself.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest that was written down before.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl DigestBuilder {
    /// Begins a digest for this purpose: those of different purposes never meet.
    #[must_use]
    pub fn new(purpose: &str) -> Self {
        let mut new = Self {
            hash: blake3::Hasher::new(),
        };
        new.part(purpose.as_bytes());
        new
    }

    /// Adds a part, its length first.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.hash.update(&(bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
        self
    }

    /// The digest of all parts.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(*self.hash.finalize().as_bytes())
    }
}

/// For `Hash`: what a type hands over is a part each time.
impl Hasher for DigestBuilder {
    fn write(&mut self, bytes: &[u8]) {
        self.part(bytes);
    }

    /// The first eight bytes of the digest.
    fn finish(&self) -> u64 {
        let digest = Self::finish(self);
        let mut first = [0; 8];
        first.copy_from_slice(&digest.0[..8]);
        u64::from_le_bytes(first)
    }
}

// === impl Digestible ===

impl Digestible for Digest {
    #[inline]
    fn digest(&self) -> Digest {
        *self
    }
}

macro_rules! by_bytes {
    ($($type:ty, $name:literal, $bytes:expr;)*) => {$(
        impl Digestible for $type {
            fn digest(&self) -> Digest {
                let mut hash = DigestBuilder::new($name);
                let bytes: fn(&Self) -> _ = $bytes;
                hash.part(bytes(self).as_ref());
                hash.finish()
            }
        }
    )*};
}

by_bytes! {
    u64, "u64", |number| number.to_le_bytes();
    String, "text", |text| text.as_bytes().to_vec();
}

/// One of several answers of a key.
impl<K: Digestible> Digestible for (K, u32) {
    fn digest(&self) -> Digest {
        let mut hash = DigestBuilder::new("one of several");
        hash.part(&self.0.digest().0);
        hash.part(&self.1.to_le_bytes());
        hash.finish()
    }
}

/// Eight of its bytes: they are as good as random already.
impl Hash for Digest {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        state.write_u64(u64::from_le_bytes(first));
    }
}

/// The hash in hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}
