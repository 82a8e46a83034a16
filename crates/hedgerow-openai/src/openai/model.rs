//! `GET /v1/models`.

use crate::json::Number;
use crate::wire::wire;

wire! {
    /// The models that there are.
    pub struct Models {
        /// `list`.
        "object" => object: Option<String>,
        /// Each of them.
        "data" => data: Vec<Model>,
    }

    /// A model.
    pub struct Model {
        /// Its name, for requests.
        "id" => id: String,
        /// `model`.
        "object" => object: Option<String>,
        /// When it was made, in seconds of the Unix epoch.
        "created" => created: Option<Number>,
        /// Whose it is.
        "owned_by" => owned_by: Option<String>,
    }
}

impl Models {
    /// A list of models, as a server writes it.
    #[must_use]
    pub fn new(models: impl IntoIterator<Item = Model>) -> Self {
        Self {
            object: Some("list".to_owned()),
            data: models.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl Model {
    /// A model of `owner`'s, as a server writes it.
    #[must_use]
    pub fn new(id: impl Into<String>, owner: impl Into<String>, created: u64) -> Self {
        Self {
            id: id.into(),
            object: Some("model".to_owned()),
            created: Some(created.into()),
            owned_by: Some(owner.into()),
            ..Self::default()
        }
    }
}
