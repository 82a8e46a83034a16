//! A run that is killed goes on where it was.

use std::collections::BTreeSet;
use std::path::Path;

use hedgerow::DiskStore;
use hedgerow::Store as _;
use hedgerow::cache::ByteStore;
use tempfile::tempdir;
use tokio::runtime::Builder;

use crate::experiment::{ALL, Asker};
use crate::layers::{Order, When};
use crate::model::Model;

type Given = BTreeSet<(String, u32, String)>;

/// A process: everything that it has is gone when this ends. What was given to its callers.
fn process(path: &Path, order: Order, model: &Model, killed_after: Option<usize>) -> Given {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let store = DiskStore::open(path)
        .expect("the process before has left the file")
        .of::<(String, u32), String>();
    let given = runtime.block_on(async {
        let asker = Asker::new(order.build(store, model, When::Linger, 5), "experiment");
        tokio::select! {
            biased;
            () = model.has_answered(killed_after.unwrap_or(usize::MAX)) => {}
            result = asker.run() => {
                result.expect("the model never fails");
                assert_eq!(killed_after, None, "it was to be killed");
            }
        }
        asker.given.into_inner()
    });
    given.into_iter().collect()
}

fn stored(path: &Path) -> usize {
    let entries = DiskStore::open(path)
        .expect("a file that was closed")
        .stats()
        .entries;
    usize::try_from(entries).expect("a few")
}

/// L4: what was paid for and stored is never paid for again, and everything that a caller was given is among
/// it; a third run makes no call.
#[test]
fn a_run_that_is_killed_half_way_pays_only_for_what_is_missing() {
    for order in Order::ALL {
        let folder = tempdir().unwrap();
        let path = folder.path().join("answers");
        let first = Model::of_run(1);
        let before = process(&path, order, &first, Some(ALL / 2));
        let kept = stored(&path);
        assert!(kept > 0 && kept < ALL, "{order:?}: half way, {kept} kept");
        assert!(
            before.len() <= kept && kept <= first.answered(),
            "{order:?}"
        );

        let second = Model::of_run(2);
        let whole = process(&path, order, &second, None);
        assert_eq!(second.calls(), ALL - kept, "{order:?}");
        assert!(before.is_subset(&whole), "{order:?}: answers have changed");
        assert_eq!((whole.len(), stored(&path)), (ALL, ALL), "{order:?}");

        let third = Model::of_run(3);
        assert_eq!(process(&path, order, &third, None), whole, "{order:?}");
        assert_eq!(third.calls(), 0, "{order:?}");
    }
}
