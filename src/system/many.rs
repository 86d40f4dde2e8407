//! Many requests at once, as many as a service likes from one client.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use super::{HttpRequest, HttpResponse, NetworkError, Next, System};

/// How many requests are under way at a time.
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
