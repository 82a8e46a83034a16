//! What HTTP means to a cascade.

use std::sync::Arc;

use hedgerow_core::HttpResponse;

use crate::cascade::build::CascadeBuilder;
use crate::cascade::info::CascadeInfo;
use crate::http::HttpJudge;

impl<Req, Res, X> CascadeBuilder<Req, Res, X>
where
    Res: HttpResponse,
{
    /// Makes the cascade speak HTTP: a 5xx or a 429 is no answer ([`HttpJudge`]), and every answer
    /// carries a [`CascadeInfo`] in its extensions.
    ///
    /// A later `.accept(judge)` replaces the judge and keeps the mark.
    pub fn http(self) -> Self {
        let mut builder = self.accept(HttpJudge);
        builder.inform = Some(Arc::new(|response: &mut Res, info: &CascadeInfo| {
            response.extensions_mut().insert(info.clone());
        }));
        builder
    }
}
