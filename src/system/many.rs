//! Sends many requests at once, a few at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::{HttpRequest, HttpResponse, NetworkError, Next, System};

/// How many requests are in flight at a time.
const AT_ONCE: usize = 8;

type Outcome = Result<HttpResponse, NetworkError>;

/// What [`System::send_many`] does: threads send, this one gives out work, waits and receives.
pub fn send(
    system: &dyn System,
    requests: &[HttpRequest],
    send: &(dyn Fn(&HttpRequest) -> Outcome + Sync),
    receive: &mut dyn FnMut(usize, Outcome) -> Next,
) {
    let (give, work) = mpsc::channel::<usize>();
    let (done, outcomes) = mpsc::channel::<(usize, Outcome)>();
    let work = Mutex::new(work);
    let next_number = || {
        let work = work.lock().unwrap_or_else(PoisonError::into_inner);
        work.recv().ok()
    };
    thread::scope(|scope| {
        for _ in 0..requests.len().min(AT_ONCE) {
            let done = done.clone();
            scope.spawn(move || {
                while let Some(number) = next_number() {
                    let _ = done.send((number, send(&requests[number])));
                }
            });
        }
        let mut waiting: VecDeque<usize> = (0..requests.len()).collect();
        let (mut under_way, mut resume_at) = (0, Duration::ZERO);
        while under_way > 0 || !waiting.is_empty() {
            let pause = resume_at.saturating_sub(system.elapsed());
            if under_way == 0 {
                system.sleep(pause);
            }
            while under_way < AT_ONCE
                && resume_at <= system.elapsed()
                && let Some(number) = waiting.pop_front()
            {
                under_way += usize::from(give.send(number).is_ok());
            }
            if under_way == 0 {
                continue;
            }
            let Ok((number, outcome)) = outcomes.recv() else {
                break;
            };
            under_way -= 1;
            if let Next::Again(after) = receive(number, outcome) {
                resume_at = resume_at.max(system.elapsed() + after);
                waiting.push_back(number);
            }
        }
        drop(give);
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;

    use super::*;
    use crate::system::fake::FakeSystem;

    fn requests(count: usize) -> Vec<HttpRequest> {
        (0..count).map(|_| HttpRequest::new(Vec::new())).collect()
    }

    #[test]
    fn eight_requests_are_under_way_and_no_more() {
        let all_at_once = Barrier::new(8);
        let threads = Mutex::new(HashSet::new());
        let send_one = |_: &HttpRequest| {
            threads
                .lock()
                .expect("a set")
                .insert(thread::current().id());
            all_at_once.wait();
            Ok(HttpResponse::new(Vec::new()))
        };
        let mut numbers = Vec::new();
        let system = FakeSystem::new([]);
        send(&system, &requests(64), &send_one, &mut |number, _| {
            numbers.push(number);
            Next::Done
        });
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..64), "each is received once");
        assert_eq!(threads.into_inner().expect("a set").len(), 8);
    }

    /// A busy service's pause applies to all requests.
    #[test]
    fn nothing_is_sent_while_one_has_to_wait() {
        let system = FakeSystem::new([]);
        let send_one = |_: &HttpRequest| Ok(HttpResponse::new(Vec::new()));
        let pause = Duration::from_secs(5);
        let mut received = Vec::new();
        send(&system, &requests(20), &send_one, &mut |number, _| {
            received.push((number, system.elapsed()));
            match received.len() {
                1 => Next::Again(pause),
                _ => Next::Done,
            }
        });
        assert_eq!(system.elapsed(), pause);
        // Requests in flight finish before the pause; all others are sent after it.
        let before = received.iter().filter(|(_, at)| *at < pause).count();
        assert_eq!((received.len(), before), (21, 8));
    }
}
