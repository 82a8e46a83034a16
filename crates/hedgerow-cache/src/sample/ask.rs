//! What callers ask for, and what they get.

use std::sync::Arc;

/// Asks for some answers to a request, none of which its namespace has seen.
///
/// # Examples
///
/// ```
/// use hedgerow_cache::SampleRequest;
///
/// let ask = SampleRequest::new("Name a colour.").n(3).namespace("experiment 7");
/// assert_eq!((ask.n, &*ask.namespace), (3, "experiment 7"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampleRequest<Req> {
    /// What is asked.
    pub request: Req,
    /// How many answers.
    pub n: u32,
    /// For whom: a namespace is given each answer once, other namespaces are given them again.
    pub namespace: Arc<str>,
}

/// Answers, in the order of their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Samples<V> {
    /// The answers.
    pub samples: Vec<Sample<V>>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample<V> {
    /// The answer.
    pub value: V,
    /// Which of the key's answers it is, from 0: the same for every namespace, and after a restart.
    pub index: u32,
    /// It was in the store.
    pub cached: bool,
    /// Another call that was under way brought it.
    pub duplicated: bool,
}

impl<Req> SampleRequest<Req> {
    /// Asks for one answer, in the namespace without a name.
    #[must_use]
    pub fn new(request: Req) -> Self {
        Self {
            request,
            n: 1,
            namespace: "".into(),
        }
    }

    /// Sets how many answers. Defaults to 1; 0 brings none, and costs nothing.
    #[must_use]
    pub fn n(mut self, n: u32) -> Self {
        self.n = n;
        self
    }

    /// Sets for whom. Defaults to the namespace without a name.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<Arc<str>>) -> Self {
        self.namespace = namespace.into();
        self
    }
}

impl<V> Samples<V> {
    /// The answers alone.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> {
        self.samples.iter().map(|sample| &sample.value)
    }

    /// The answers that this very call has paid for. Over all calls each answer is among them once.
    pub fn paid(&self) -> impl Iterator<Item = &V> {
        let paid = self.samples.iter().filter(|sample| sample.is_paid());
        paid.map(|sample| &sample.value)
    }
}

impl<V> Sample<V> {
    /// Whether the call that it was given to has paid for it.
    #[must_use]
    pub const fn is_paid(&self) -> bool {
        !self.cached && !self.duplicated
    }
}
