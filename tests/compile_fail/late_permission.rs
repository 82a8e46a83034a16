// How requests are copied is said before what is changed on the copies, which would be lost.
//
// says: no method named `clone_requests` found

use hedgerow::{Attempt, HedgeLayer};

fn main() {
    let _ = HedgeLayer::percentile(95)
        .edit(|_: &mut String, _: Attempt| ())
        .clone_requests();
}
