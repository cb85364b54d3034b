//! A thread that does one thing at a time for another thread: a question goes over, an answer comes back. Only what is
//! under the locks counts; the two flags beside them are hints.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Waker;

// A wake-up of a sleeping thread costs 8 µs each way and several times that on an idle virtual core, a durable write 40
// to 90. So each side looks for a while before it sleeps, giving way to whoever else can run.
/// Turns without giving way: less than a microsecond.
const SPINS: u32 = 50;
/// Turns of the worker, which waits for the next question: it comes at once or not soon. About 50 µs.
const YIELDS_FOR_QUESTION: u32 = 150;
/// Turns of the caller, which waits for the answer: for as long as a usual write takes.
const YIELDS_FOR_ANSWER: u32 = 450;

/// The thread, which ends when this is dropped: after what it has in hand.
pub(super) struct Worker<Q, A> {
    shared: Arc<Shared<Q, A>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared<Q, A> {
    state: Mutex<State<Q, A>>,
    /// What is done with a question: by whoever has taken it.
    answer: Mutex<Box<dyn FnMut(Q) -> A + Send>>,
    asked: Condvar,
    answered: Condvar,
    // Hints, read without the lock while spinning; `state` alone decides.
    has_question: AtomicBool,
    has_answer: AtomicBool,
}

struct State<Q, A> {
    question: Option<Q>,
    answer: Option<A>,
    busy: bool,
    closing: bool,
    worker_sleeps: bool,
    caller_sleeps: bool,
}

impl<Q: Send + 'static, A: Send + 'static> Worker<Q, A> {
    /// # Panics
    /// If the system gives no thread: there is no durability without one.
    pub(super) fn start(
        name: &str,
        waker: Option<Waker>,
        answer: impl FnMut(Q) -> A + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            answer: Mutex::new(Box::new(answer)),
            state: Mutex::new(State {
                question: None,
                answer: None,
                busy: false,
                closing: false,
                worker_sleeps: false,
                caller_sleeps: false,
            }),
            asked: Condvar::new(),
            answered: Condvar::new(),
            has_question: AtomicBool::new(false),
            has_answer: AtomicBool::new(false),
        });
        let theirs = Arc::clone(&shared);
        let run = move || {
            while let Some(question) = theirs.next_question() {
                theirs.do_now(question);
                if let Some(waker) = &waker {
                    waker();
                }
            }
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        match thread {
            Ok(thread) => Self { shared, thread: Some(thread) },
            Err(error) => panic!("no thread for {name}: {error}"),
        }
    }

    /// # Panics
    /// If the answer to the last question was not polled: one at a time is the contract of [`crate::Disk::submit`].
    pub(super) fn ask(&self, question: Q) {
        let mut state = self.shared.lock();
        assert!(!state.busy, "one question at a time");
        state.busy = true;
        state.question = Some(question);
        let sleeps = state.worker_sleeps;
        drop(state);
        // Behind the lock, which the other side takes as soon as it sees the hint.
        self.shared.has_question.store(true, Ordering::Release);
        if sleeps {
            self.shared.asked.notify_one();
        }
    }

    /// As [`Self::ask`], but the question is answered here before this returns, and nobody is woken.
    ///
    /// # Panics
    /// As [`Self::ask`].
    pub(super) fn ask_and_help(&self, question: Q) {
        let mut state = self.shared.lock();
        assert!(!state.busy, "one question at a time");
        state.busy = true;
        drop(state);
        self.shared.do_now(question);
    }

    pub(super) fn poll(&self) -> Option<A> {
        if !self.shared.has_answer.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.shared.lock();
        self.shared.has_answer.store(false, Ordering::Relaxed);
        let answer = state.answer.take();
        state.busy &= answer.is_none();
        answer
    }

    /// As [`Self::wait`], but a question that the worker has not begun is answered here and now: a caller with nothing
    /// else to do is quicker than a thread that has to be woken first, the more so on a busy machine.
    pub(super) fn help(&self, timeout: Duration) {
        let question = self.shared.lock().question.take();
        match question {
            Some(question) => {
                self.shared.has_question.store(false, Ordering::Relaxed);
                self.shared.do_now(question);
            }
            None => self.wait(timeout),
        }
    }

    /// Blocks until there is an answer, nothing is asked, or `timeout` is over.
    pub(super) fn wait(&self, timeout: Duration) {
        if spin_until(&self.shared.has_answer, YIELDS_FOR_ANSWER) {
            return;
        }
        let mut state = self.shared.lock();
        if state.busy && state.answer.is_none() {
            state.caller_sleeps = true;
            let (mut woken, _) = self
                .shared
                .answered
                .wait_timeout_while(state, timeout, |state| state.answer.is_none())
                .unwrap_or_else(PoisonError::into_inner);
            woken.caller_sleeps = false;
        }
    }
}

impl<Q, A> Shared<Q, A> {
    fn lock(&self) -> MutexGuard<'_, State<Q, A>> {
        // Nothing is left half done under the lock, so what a panic left behind is still true.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_question(&self) -> Option<Q> {
        spin_until(&self.has_question, YIELDS_FOR_QUESTION);
        let mut state = self.lock();
        loop {
            if let Some(question) = state.question.take() {
                self.has_question.store(false, Ordering::Relaxed);
                return Some(question);
            }
            if state.closing {
                return None;
            }
            state.worker_sleeps = true;
            state = self.asked.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.worker_sleeps = false;
        }
    }

    fn do_now(&self, question: Q) {
        let answer = (self.answer.lock().unwrap_or_else(PoisonError::into_inner))(question);
        let mut state = self.lock();
        state.answer = Some(answer);
        let sleeps = state.caller_sleeps;
        drop(state);
        self.has_answer.store(true, Ordering::Release);
        if sleeps {
            self.answered.notify_one();
        }
    }
}

impl<Q, A> Drop for Worker<Q, A> {
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.asked.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been reported there, and the process is ending.
            thread.join().ok();
        }
    }
}

/// `true` as soon as `hint` is set; `false` if it was not for a while.
fn spin_until(hint: &AtomicBool, yields: u32) -> bool {
    for turn in 0..SPINS + yields {
        if hint.load(Ordering::Acquire) {
            return true;
        }
        if turn < SPINS {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_in_order_and_dropping_finishes_what_is_in_hand() {
        let done = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&done);
        let worker = Worker::start("test", None, move |n: u32| {
            theirs.lock().unwrap().push(n);
            n * 2
        });
        for n in 0..1_000 {
            if n % 3 == 0 {
                worker.ask_and_help(n);
                assert_eq!(done.lock().unwrap().last(), Some(&n));
            } else {
                worker.ask(n);
            }
            let answer = loop {
                if n % 2 == 0 {
                    worker.wait(Duration::from_secs(60));
                } else {
                    worker.help(Duration::from_secs(60));
                }
                if let Some(answer) = worker.poll() {
                    break answer;
                }
            };
            assert_eq!(answer, n * 2);
        }
        worker.ask(7);
        drop(worker);
        assert_eq!(done.lock().unwrap().last(), Some(&7));
    }
}
