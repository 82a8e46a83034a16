//! HTTP answers that several read while they arrive.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use futures::future::join_all;
use hedgerow_cache::{CoalesceLayer, FellBehind, FlightCrashed, SharedBodies};
use hedgerow_core::{BoxError, cause_ref};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use proptest::prelude::*;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};

use crate::support::{ms, secs};
use crate::wire::{Asked, Ticker, Told, data, get, read, waits};

fn by_path(request: &Asked) -> Option<String> {
    Some(request.uri().path().to_owned())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_streams_is_shared_from_its_first_byte() {
    let ticker = Ticker::new(10, 100);
    let service = CoalesceLayer::new(by_path).http().layer(ticker.clone());
    let start = Instant::now();
    let callers = (0..5_u64).map(|n| {
        let service = service.clone();
        async move {
            // They come while it arrives.
            sleep(ms(150 * n)).await;
            let response = service.oneshot(get("/a")).await.unwrap();
            (read(response.into_body()).await.unwrap().0, start.elapsed())
        }
    });
    let wanted: Vec<String> = (0..10).map(|n| format!("0.{n} ")).collect();
    for (frames, took) in join_all(callers).await {
        assert_eq!(frames, wanted);
        // Each has the last frame when it is there.
        assert!(took >= ms(1_000) && took <= ms(1_110), "{took:?}");
    }
    assert_eq!((ticker.calls(), ticker.alive()), (1, 0));
    // When it has ended, the next one is another.
    let next = service.oneshot(get("/a")).await.unwrap();
    assert_eq!(read(next.into_body()).await.unwrap().0[0], "1.0 ");
}

#[tokio::test(start_paused = true)]
async fn the_body_is_asked_once_a_frame_however_many_read() {
    let ticker = Ticker::new(20, 10);
    let service = CoalesceLayer::new(by_path).http().layer(ticker.clone());
    let callers = (0..30).map(|_| {
        let service = service.clone();
        #[expect(clippy::disallowed_methods, reason = "each reader is woken by itself")]
        tokio::spawn(async move {
            read(service.oneshot(get("/a")).await.unwrap().into_body())
                .await
                .unwrap()
                .0
        })
    });
    for frames in join_all(callers).await {
        assert_eq!(frames.unwrap().len(), 20);
    }
    assert_eq!(ticker.calls(), 1);
    // Pending and ready for each frame, and the end; those that are woken together ask at most once more.
    let polls = ticker.polls.load(Ordering::Relaxed);
    assert!(polls <= 3 * 21, "{polls} polls of the body");
}

#[tokio::test(start_paused = true)]
async fn the_leader_may_leave_in_the_middle_of_the_body() {
    let ticker = Ticker::new(10, 100);
    let service = CoalesceLayer::new(by_path).http().layer(ticker.clone());
    let (led, followed) = tokio::join!(
        service.clone().oneshot(get("/a")),
        service.clone().oneshot(get("/a"))
    );
    let mut led = led.unwrap().into_body();
    assert!(led.frame().await.is_some());
    drop(led);
    let (frames, _) = read(followed.unwrap().into_body()).await.unwrap();
    assert_eq!((frames.len(), ticker.calls()), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn the_last_reader_that_leaves_drops_the_body() {
    let ticker = Ticker::new(10, 100);
    let layer = CoalesceLayer::new(by_path).http();
    let service = layer.layer(ticker.clone());
    let mut body = service
        .clone()
        .oneshot(get("/a"))
        .await
        .unwrap()
        .into_body();
    assert!(body.frame().await.is_some());
    assert_eq!(ticker.alive(), 1);
    drop(body);
    assert_eq!(ticker.alive(), 0);
    // Nobody joins what is gone.
    let again = service.oneshot(get("/a")).await.unwrap();
    assert_eq!(read(again.into_body()).await.unwrap().0[0], "1.0 ");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_cut_and_holds_back_nobody() {
    let ticker = Ticker::new(100, 1);
    let share = SharedBodies::new().behind(40);
    let service = CoalesceLayer::new(by_path)
        .share(share)
        .layer(ticker.clone());
    let (quick, slow) = tokio::join!(
        service.clone().oneshot(get("/a")),
        service.clone().oneshot(get("/a"))
    );
    let mut slow = slow.unwrap().into_body();
    assert!(slow.frame().await.is_some());
    let (frames, _) = timeout(ms(250), read(quick.unwrap().into_body()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(frames.len(), 100);
    let cut = slow.frame().await.unwrap().unwrap_err();
    let behind = cause_ref::<FellBehind>(&*cut).expect("a typed error");
    assert_eq!((behind.read, behind.bound), (4, 40));
}

/// A follower whose task was busy when the answer came: it has nothing of it yet.
#[tokio::test(start_paused = true)]
async fn one_that_has_nothing_yet_makes_a_call_of_its_own() {
    let ticker = Ticker::new(100, 1);
    let share = SharedBodies::new().behind(40);
    let layer = CoalesceLayer::new(by_path).share(share);
    let service = layer.layer(ticker.clone());
    // Both wait for the head, and only one is polled on.
    let held = tower::service_fn({
        let ticker = ticker.clone();
        move |request: Asked| {
            let ticker = ticker.clone();
            async move {
                tokio::task::yield_now().await;
                ticker.oneshot(request).await
            }
        }
    });
    drop(service);
    let service = layer.layer(held);
    let mut busy = Box::pin(service.clone().oneshot(get("/a")));
    let mut quick = Box::pin(service.clone().oneshot(get("/a")));
    assert!(futures::poll!(&mut quick).is_pending() && futures::poll!(&mut busy).is_pending());
    let (frames, _) = read(quick.await.unwrap().into_body()).await.unwrap();
    assert_eq!(frames[0], "0.0 ");
    let (frames, _) = read(busy.await.unwrap().into_body()).await.unwrap();
    assert_eq!((frames.len(), &*frames[0]), (100, "1.0 "));
    assert_eq!((ticker.calls(), layer.handle().stats().passed), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_when_the_first_byte_is_gone() {
    let ticker = Ticker::new(100, 10);
    let share = SharedBodies::new().behind(40);
    let service = CoalesceLayer::new(by_path)
        .share(share)
        .layer(ticker.clone());
    let early = service.clone().oneshot(get("/a")).await.unwrap();
    let early = read(early.into_body());
    let late = async {
        sleep(ms(500)).await;
        let response = service.clone().oneshot(get("/a")).await.unwrap();
        read(response.into_body()).await.unwrap().0[0].clone()
    };
    let (early, late) = tokio::join!(early, late);
    assert_eq!((early.unwrap().0.len(), &*late), (100, "1.0 "));
}

#[tokio::test(start_paused = true)]
async fn errors_trailers_and_heads_reach_everybody() {
    let mut ticker = Ticker::new(0, 10);
    ticker.head = Arc::new(|_| {
        Response::builder()
            .status(203)
            .header("x", "y")
            .body(())
            .unwrap()
    });
    ticker.frames = Arc::new(|call| {
        let mut trailers = HeaderMap::new();
        trailers.insert("t", "1".parse().unwrap());
        let end = if call == 0 {
            Ok(Frame::trailers(trailers))
        } else {
            Err("broken off")
        };
        vec![data("a"), end]
    });
    let service = CoalesceLayer::new(by_path).http().layer(ticker.clone());
    let both = || join_all((0..2).map(|_| service.clone().oneshot(get("/a"))));
    for response in both().await {
        let response = response.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x"]),
            (203, &"y".parse::<http::HeaderValue>().unwrap())
        );
        let (frames, trailers) = read(response.into_body()).await.unwrap();
        assert_eq!((frames, trailers.unwrap().len()), (vec!["a".to_owned()], 1));
    }
    let bodies = both()
        .await
        .into_iter()
        .map(|response| response.unwrap().into_body());
    for body in bodies.collect::<Vec<_>>() {
        let error = read(body).await.unwrap_err();
        assert!(
            std::error::Error::source(&*error)
                .is_some_and(|source| source.to_string() == "broken off"),
            "{error:?}"
        );
    }
    assert_eq!((ticker.calls(), ticker.alive()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_503_is_a_failure_of_the_flight() {
    let mut ticker = Ticker::new(1, 10);
    ticker.head = Arc::new(|call| {
        Response::builder()
            .status(if call == 0 { 503 } else { 200 })
            .body(())
            .unwrap()
    });
    let slow = tower::service_fn({
        let ticker = ticker.clone();
        move |request: Asked| {
            let ticker = ticker.clone();
            async move {
                sleep(ms(10)).await;
                ticker.oneshot(request).await
            }
        }
    });
    let service = CoalesceLayer::new(by_path).http().layer(slow);
    let answers = join_all((0..4).map(|_| service.clone().oneshot(get("/a")))).await;
    let status: Vec<u16> = answers
        .into_iter()
        .map(|answer| answer.unwrap().status().as_u16())
        .collect();
    assert_eq!((status, ticker.calls()), (vec![503, 200, 200, 200], 2));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_is_an_error_for_the_others() {
    struct Panics;
    impl Body for Panics {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            panic!("on purpose")
        }
    }
    let backend = tower::service_fn(async |_: Asked| Ok::<_, BoxError>(Response::new(Panics)));
    let service = CoalesceLayer::new(by_path).http().layer(backend);
    let one = service.clone().oneshot(get("/a")).await.unwrap();
    let other = service.oneshot(get("/a")).await.unwrap();
    let doomed = std::panic::AssertUnwindSafe(read(one.into_body()));
    assert!(futures::FutureExt::catch_unwind(doomed).await.is_err());
    let error = read(other.into_body()).await.unwrap_err();
    assert!(cause_ref::<FlightCrashed>(&*error).is_some());
}

/// A body that ends, or panics, when it is asked, and whose drop panics.
struct Bomb {
    panics: bool,
    /// What happens while it is asked.
    meanwhile: Arc<Mutex<Option<Meanwhile>>>,
}

type Meanwhile = Box<dyn FnMut() + Send>;

impl Body for Bomb {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Said>> {
        if let Some(meanwhile) = &mut *self
            .meanwhile
            .lock()
            .expect("nobody panics while it is locked")
        {
            meanwhile();
        }
        assert!(!self.panics, "on purpose");
        Poll::Ready(None)
    }
}

type Said = Result<Frame<Bytes>, BoxError>;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose, when dropped");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_whose_drop_panics_leaves_no_reader_waiting() {
    for panics in [false, true] {
        let meanwhile = Arc::<Mutex<Option<Meanwhile>>>::default();
        let shared = meanwhile.clone();
        let backend = tower::service_fn(move |_: Asked| {
            let meanwhile = shared.clone();
            async move { Ok::<_, BoxError>(Response::new(Bomb { panics, meanwhile })) }
        });
        let service = CoalesceLayer::new(by_path).http().layer(backend);
        let (one, other) = tokio::join!(
            service.clone().oneshot(get("/a")),
            service.clone().oneshot(get("/a"))
        );
        let one = one.unwrap().into_body();
        let woken = Arc::new(AtomicUsize::new(0));
        let mut other = Box::pin(other.unwrap().into_body());
        // While one asks the body, the other comes and has to wait.
        let counted = Waker::from(Arc::new(Counts(woken.clone())));
        let seen = Arc::new(Mutex::new(None));
        let told = seen.clone();
        *meanwhile.lock().unwrap() = Some(Box::new(move || {
            let polled = other
                .as_mut()
                .poll_frame(&mut Context::from_waker(&counted));
            *told.lock().unwrap() = Some(polled.is_pending());
        }));
        let doomed = std::panic::AssertUnwindSafe(read(one));
        let result = futures::FutureExt::catch_unwind(doomed).await;
        assert_eq!(*seen.lock().unwrap(), Some(true));
        assert_eq!(result.is_err(), panics, "its end was told before");
        assert!(
            woken.load(Ordering::Relaxed) > 0,
            "the other one is never woken"
        );
    }
}

struct Counts(Arc<AtomicUsize>);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_small_frames_is_kept_within_a_bound() {
    /// Lives as long as the frame that it is in.
    struct Alive(Arc<AtomicUsize>);
    impl AsRef<[u8]> for Alive {
        fn as_ref(&self) -> &[u8] {
            &[]
        }
    }
    impl Drop for Alive {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    const FRAMES: usize = 200_000;
    let (tell, told) = mpsc::unbounded_channel();
    let alive = Arc::new(AtomicUsize::new(0));
    let body = Arc::new(Mutex::new(Some(Told(told))));
    let backend = tower::service_fn(move |_: Asked| {
        let body = body.lock().unwrap().take();
        async move {
            body.map(Response::new)
                .ok_or_else(|| BoxError::from("one call"))
        }
    });
    let service = CoalesceLayer::new(by_path).http().layer(backend);
    let mut body = service.oneshot(get("/a")).await.unwrap().into_body();
    for _ in 0..FRAMES {
        alive.fetch_add(1, Ordering::Relaxed);
        tell.send(Bytes::from_owner(Alive(alive.clone()))).unwrap();
        assert!(body.frame().await.unwrap().is_ok());
    }
    let kept = alive.load(Ordering::Relaxed);
    assert!(kept <= 1 << 16, "{kept} empty frames are kept");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Readers that come, read and leave as they like: each has a beginning of what was sent, in its order, or is
    /// told that it fell behind; who keeps within the bound has everything.
    #[test]
    fn every_reader_has_the_same_frames_in_the_same_order(
        deeds in prop::collection::vec((0..4_u8, 0..5_usize), 1..80),
        bound in 1..60_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (tell, told) = mpsc::unbounded_channel();
            let body = Mutex::new(Some(Told(told)));
            let body = Arc::new(body);
            let backend = tower::service_fn(move |_: Asked| {
                let body = body.lock().unwrap().take();
                async move { body.map(Response::new).ok_or_else(|| BoxError::from("one call")) }
            });
            let share = SharedBodies::new().behind(bound);
            let service = CoalesceLayer::new(by_path).share(share).layer(backend);
            let mut readers = Vec::new();
            let mut sent = 0_usize;
            // The furthest that anybody has read: so far the body was asked.
            let mut asked = 0_usize;
            for (deed, at) in deeds {
                match deed {
                    0 => if let Ok(response) = service.clone().oneshot(get("/a")).await {
                        readers.push((response.into_body(), 0_usize));
                    },
                    1 => {
                        // A frame of a length and bytes of its own.
                        let frame = vec![sent as u8; 1 + sent % 13];
                        if tell.send(Bytes::from(frame)).is_ok() { sent += 1; }
                    }
                    2 => if at < readers.len() {
                        let (body, seen) = &mut readers[at];
                        match futures::poll!(body.frame()) {
                            Poll::Pending => prop_assert_eq!(*seen, sent, "there is more"),
                            Poll::Ready(Some(Ok(frame))) => {
                                let data = frame.into_data().unwrap();
                                prop_assert_eq!(&*data, &vec![*seen as u8; 1 + *seen % 13][..]);
                                let kept: usize = (*seen..asked).map(|n| 1 + n % 13).sum();
                                prop_assert!(kept <= bound || asked - *seen == 1, "{kept} kept of {bound}");
                                *seen += 1;
                                asked = asked.max(*seen);
                            }
                            Poll::Ready(Some(Err(error))) => {
                                prop_assert!(cause_ref::<FellBehind>(&*error).is_some(), "{error:?}");
                                let unread: usize = (*seen..sent).map(|n| 1 + n % 13).sum();
                                prop_assert!(unread > bound, "cut with {unread} unread of {bound}");
                                drop(readers.remove(at));
                            }
                            Poll::Ready(None) => prop_assert!(false, "it goes on"),
                        }
                    },
                    _ => if at < readers.len() {
                        drop(readers.remove(at));
                    },
                }
            }
            drop(tell);
            for (mut body, mut seen) in readers {
                loop {
                    match timeout(secs(1), body.frame()).await.expect("nobody hangs") {
                        Some(Ok(_)) => seen += 1,
                        Some(Err(error)) => {
                            prop_assert!(cause_ref::<FellBehind>(&*error).is_some());
                            break;
                        }
                        None => {
                            prop_assert_eq!(seen, sent);
                            break;
                        }
                    }
                }
            }
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_have_read_everything_wait() {
    let ticker = Ticker::new(2, 100);
    let service = CoalesceLayer::new(by_path).http().layer(ticker);
    let mut body = service.oneshot(get("/a")).await.unwrap().into_body();
    assert!(waits(&mut body).await);
    assert!(body.frame().await.is_some());
    assert!(waits(&mut body).await);
}
