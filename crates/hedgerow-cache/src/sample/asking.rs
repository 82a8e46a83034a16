//! How a service is asked for several answers.

use std::fmt;

/// How a service is asked for several answers: by a call for each, or by one call for all that is missing.
pub trait Asking<Req, Res>: Send + Sync + 'static {
    /// One answer.
    type Value: Clone + Send + 'static;

    /// How many answers one call may bring at most.
    fn per_call(&self) -> u32;

    /// The request for `n` answers, made of one that asks the same.
    fn request(&self, request: &Req, n: u32) -> Req;

    /// The answers in a response.
    fn split(&self, response: Res) -> Vec<Self::Value>;
}

/// A call for each answer. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Each;

/// One call for all that is missing: what [`many`](crate::SampleCacheLayer::many) sets.
#[derive(Clone, Copy)]
pub struct Many<F, G> {
    pub(super) ask: F,
    pub(super) split: G,
}

impl<Req, Res> Asking<Req, Res> for Each
where
    Req: Clone,
    Res: Clone + Send + 'static,
{
    type Value = Res;

    fn per_call(&self) -> u32 {
        1
    }

    fn request(&self, request: &Req, _: u32) -> Req {
        request.clone()
    }

    fn split(&self, response: Res) -> Vec<Res> {
        vec![response]
    }
}

impl<Req, Res, V, F, G> Asking<Req, Res> for Many<F, G>
where
    Req: Clone,
    V: Clone + Send + 'static,
    F: Fn(&mut Req, u32) + Send + Sync + 'static,
    G: Fn(Res) -> Vec<V> + Send + Sync + 'static,
{
    type Value = V;

    fn per_call(&self) -> u32 {
        u32::MAX
    }

    fn request(&self, request: &Req, n: u32) -> Req {
        let mut request = request.clone();
        (self.ask)(&mut request, n);
        request
    }

    fn split(&self, response: Res) -> Vec<V> {
        (self.split)(response)
    }
}

impl<F, G> fmt::Debug for Many<F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Many")
    }
}
