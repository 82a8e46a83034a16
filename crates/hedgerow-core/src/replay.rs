//! May this request be sent again, and how.

/// A request that may be sent more than once.
///
/// The safety catch of every layer that duplicates requests: hedging, racing and retrying ask for
/// it by default, so that nothing is sent twice by accident. It stands on the request's *type* and
/// still decides per request: `None` means "not this one".
///
/// `http::Request<B>` has it behind the feature `http`: idempotent methods, requests with an
/// `Idempotency-Key`, and those that carry the `Idempotent` mark; `reqwest::Request` has it behind
/// the feature `reqwest`. Plain data does not have it,
/// because nothing in a `String` says that it may be sent twice: call `.clone_requests()` on the
/// layer to allow it for a request that is `Clone`, or `.replay_with(f)` for any other. Your own
/// type takes one line.
///
/// # Examples
///
/// ```
/// use hedgerow_core::Replay;
///
/// #[derive(Clone)]
/// struct Lookup { id: u64 }
///
/// impl Replay for Lookup {
///     fn replay(&mut self) -> Option<Self> { Some(self.clone()) }
/// }
/// # assert_eq!(Lookup { id: 3 }.replay().map(|r| r.id), Some(3));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say that it may be sent twice: it does not implement `Replay`",
    label = "hedging, racing and retrying send copies of this request",
    note = "if every `{Self}` may be sent twice and it is `Clone`, write `.clone_requests()` on the layer",
    note = "for some of them, or for a request that is not `Clone`, write `.replay_with(|request: &mut {Self}| ...)` on the layer",
    note = "for your own type: `impl Replay for {Self} {{ fn replay(&mut self) -> Option<Self> {{ Some(self.clone()) }} }}`",
    note = "`http::Request<B>` implements it with hedgerow's feature `http`, for bodies that implement `ReplayBody`; `reqwest::Request` with the feature `reqwest`"
)]
pub trait Replay: Sized {
    /// A copy that may be sent beside this one, or `None` if this request may be sent only once.
    ///
    /// `&mut`, because making a body shareable may have to change the original. Called before the
    /// first attempt is sent, and again on the copy for every further one.
    fn replay(&mut self) -> Option<Self>;
}
