//! `POST /v1/embeddings`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hedgerow::Usage;
use thiserror::Error;

use super::chat::ChatUsage;
use crate::json::Raw;
use crate::wire::{required_fields, wire};

wire! {
    /// Asks for the vectors of texts.
    pub struct EmbeddingsRequest {
        /// Which model is asked.
        "model" => model: String,
        /// A text or tokens; several as a list.
        "input" => input: Raw,
        /// How the vectors are written: `float` or `base64`.
        "encoding_format" => encoding_format: Option<String>,
        /// How long the vectors are.
        "dimensions" => dimensions: Option<u64>,
    }

    /// The vectors, in the order of the texts.
    pub struct Embeddings {
        /// `list`.
        "object" => object: Option<String>,
        /// The vectors.
        "data" => data: Vec<Embedding>,
        /// Which model answered.
        "model" => model: Option<String>,
        /// What it used.
        "usage" => usage: Option<ChatUsage>,
    }

    /// The vector of one text.
    pub struct Embedding {
        /// `embedding`.
        "object" => object: Option<String>,
        /// Of which text.
        "index" => index: Option<u64>,
        /// Its numbers, as they were written.
        "embedding" => embedding: Vector,
    }
}

/// A vector as it was written: a list of numbers, or four bytes a number in base64.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Vector(Raw);

/// A vector that cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// It is neither a list of numbers nor a text.
    #[error("the embedding is neither a list of numbers nor base64")]
    Json(#[from] serde_json::Error),
    /// The text is not base64.
    #[error("the embedding is not base64")]
    Base64(#[from] base64::DecodeError),
    /// The bytes are no whole numbers of four bytes.
    #[error("the embedding has {bytes} bytes, no multiple of 4")]
    Length {
        /// How many there are.
        bytes: usize,
    },
}

impl EmbeddingsRequest {
    /// Asks `model` for the vector of one text.
    #[must_use]
    pub fn new(model: impl Into<String>, text: &str) -> Self {
        Self::with(model.into(), Raw::text(text))
    }

    /// Asks `model` for the vectors of several texts.
    #[must_use]
    pub fn of<T: AsRef<str>>(model: impl Into<String>, texts: &[T]) -> Self {
        Self::with(model.into(), Raw::texts(texts))
    }

    fn with(model: String, input: Raw) -> Self {
        Self {
            model,
            input,
            ..Self::default()
        }
    }

    /// The texts, if they are texts and not tokens.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<String>> {
        match self.input.read::<String>() {
            Ok(text) => Some(vec![text]),
            Err(_) => self.input.read().ok(),
        }
    }
}

impl Embeddings {
    /// An answer of `model`, as a server writes it.
    #[must_use]
    pub fn new(model: impl Into<String>, vectors: impl IntoIterator<Item = Vector>) -> Self {
        let embedding = |(index, embedding): (usize, Vector)| Embedding {
            object: Some("embedding".to_owned()),
            index: u64::try_from(index).ok(),
            embedding,
            ..Embedding::default()
        };
        Self {
            object: Some("list".to_owned()),
            data: vectors.into_iter().enumerate().map(embedding).collect(),
            model: Some(model.into()),
            ..Self::default()
        }
    }

    /// What it used, if it says so.
    #[must_use]
    pub fn used(&self) -> Option<Usage> {
        self.usage.as_ref().map(ChatUsage::used)
    }
}

impl Vector {
    /// A list of numbers. One that is not finite is written as 0, since JSON has none.
    ///
    /// # Panics
    ///
    /// Never: finite numbers are JSON.
    #[must_use]
    pub fn floats(numbers: &[f32]) -> Self {
        let finite = |number: &f32| if number.is_finite() { *number } else { 0.0 };
        let numbers: Vec<f32> = numbers.iter().map(finite).collect();
        Self(Raw::of(&numbers).expect("finite numbers are JSON"))
    }

    /// Four bytes a number, the lowest first, in base64: what OpenAI's Python client asks for.
    #[must_use]
    pub fn base64(numbers: &[f32]) -> Self {
        let bytes: Vec<u8> = numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        Self(Raw::text(&STANDARD.encode(bytes)))
    }

    /// Its numbers.
    ///
    /// # Errors
    ///
    /// [`EmbeddingError`], if it is written in neither way.
    pub fn read(&self) -> Result<Vec<f32>, EmbeddingError> {
        if !self.0.as_str().starts_with('"') {
            return Ok(self.0.read()?);
        }
        let bytes = STANDARD.decode(self.0.read::<String>()?)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(EmbeddingError::Length { bytes: bytes.len() });
        }
        Ok(numbers
            .iter()
            .map(|number| f32::from_le_bytes(*number))
            .collect())
    }

    /// As it was written.
    #[must_use]
    pub const fn raw(&self) -> &Raw {
        &self.0
    }
}

required_fields! {
    Vector;
}

// === impl Default ===

/// No numbers.
impl Default for Vector {
    fn default() -> Self {
        Self::floats(&[])
    }
}
