//! A model whose answers are never the same, and what it was asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use hedgerow::{Batch, BoxError};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

/// A prompt, and by what a caller who asks again is known.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    pub(crate) text: String,
    pub(crate) id: u64,
}

/// Answers the k-th time that it is asked a prompt with "prompt > k", after a time of its own.
#[derive(Clone, Default)]
pub(crate) struct Model {
    /// Of the process that it is asked by: its answers are never those of another one.
    run: u32,
    log: Arc<Mutex<Log>>,
    moved: Arc<Notify>,
}

#[derive(Default)]
struct Log {
    drawn: BTreeMap<String, u32>,
    batches: Vec<usize>,
    calls: usize,
    answered: usize,
}

impl Model {
    pub(crate) fn of_run(run: u32) -> Self {
        Self {
            run,
            ..Self::default()
        }
    }

    /// How many answers it was asked for.
    pub(crate) fn calls(&self) -> usize {
        self.log.lock().calls
    }

    /// How many it has given.
    pub(crate) fn answered(&self) -> usize {
        self.log.lock().answered
    }

    /// How many prompts came in each call that brought several.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.log.lock().batches.clone()
    }

    /// Ends when it has given so many answers.
    pub(crate) async fn has_answered(&self, n: usize) {
        while self.answered() < n {
            self.moved.notified().await;
        }
    }

    fn draw(&self, prompt: &Prompt) -> (String, Duration) {
        let mut log = self.log.lock();
        log.calls += 1;
        let call = log.calls as u64;
        let drawn = log.drawn.entry(prompt.text.clone()).or_default();
        let answer = format!("{} > {}.{drawn}", prompt.text, self.run);
        *drawn += 1;
        // 1 to 20 ms, in an order that is not theirs.
        (answer, Duration::from_millis(1 + call * 7 % 20))
    }

    fn give(&self) {
        self.log.lock().answered += 1;
        self.moved.notify_one();
    }

    /// One prompt, one answer.
    pub(crate) async fn ask(self, prompt: Prompt) -> Result<String, BoxError> {
        let (answer, time) = self.draw(&prompt);
        sleep(time).await;
        self.give();
        Ok(answer)
    }

    /// Many prompts, each answered when its time has come.
    pub(crate) async fn ask_many(self, batch: Batch<Prompt, String>) -> Result<(), BoxError> {
        self.log.lock().batches.push(batch.len());
        let drawn: Vec<_> = batch
            .into_iter()
            .map(|item| (self.draw(&item.request), item.reply))
            .collect();
        let answers = drawn.into_iter().map(async |((answer, time), reply)| {
            sleep(time).await;
            self.give();
            reply.answer(answer);
        });
        join_all(answers).await;
        Ok(())
    }
}
