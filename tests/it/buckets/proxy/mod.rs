//! A proxy between an agent and a server that fails on demand, and keeps a record of every request.
//!
//! It forwards each request as it came, its `Host` too, so that signatures hold. One thread for each connection; one
//! connection to the server for each request.

mod relay;
mod request;
mod rule;
mod wire;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

pub(crate) use request::{Kind, Request};
pub(crate) use rule::{Answer, Fault, Rule};

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    address: String,
    shared: Arc<Shared>,
}

/// What its threads share.
struct Shared {
    server: String,
    ended: AtomicBool,
    requests: Mutex<Vec<Request>>,
    rules: Mutex<Vec<Rule>>,
}

impl Proxy {
    /// A proxy before the server at `server`, without faults.
    pub(crate) fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            ended: AtomicBool::new(false),
            requests: Mutex::default(),
            rules: Mutex::default(),
        });
        let threads = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &threads));
        Self { address, shared }
    }

    /// Where it is reached.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on this goes wrong too. The first rule that takes hold of a request decides.
    pub(crate) fn add(&self, rule: Rule) {
        self.shared.rules.lock().expect("no thread has panicked").push(rule);
    }

    /// From now on all goes well; what is held already stays held.
    pub(crate) fn heal(&self) {
        self.shared.rules.lock().expect("no thread has panicked").clear();
    }

    /// All requests so far, in the order in which they came.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("no thread has panicked").clone()
    }

    /// How many requests so far are such.
    pub(crate) fn count(&self, such: impl Fn(&Request) -> bool) -> usize {
        self.requests().iter().filter(|request| such(request)).count()
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.shared.requests.lock().expect("no thread has panicked").clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        TcpStream::connect(&self.address).ok();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::Relaxed) {
            return;
        }
        let (client, shared) = (client.expect("a connection"), Arc::clone(shared));
        thread::spawn(move || relay::serve(&shared, client));
    }
}

impl Shared {
    /// Notes a request, and says what goes wrong with it. The number is for [`Shared::note`].
    fn begin(&self, request: Request) -> (usize, Option<Fault>) {
        let mut rules = self.rules.lock().expect("no thread has panicked");
        let fault = rules.iter_mut().find_map(|rule| rule.takes(&request));
        drop(rules);
        let mut requests = self.requests.lock().expect("no thread has panicked");
        requests.push(Request { fault: fault.as_ref().map(Fault::name), ..request });
        (requests.len() - 1, fault)
    }

    /// Adds to what is known of a request, unless it was forgotten meanwhile.
    fn note(&self, number: usize, add: impl FnOnce(&mut Request)) {
        if let Some(request) = self.requests.lock().expect("no thread has panicked").get_mut(number) {
            add(request);
        }
    }

    /// Keeps a connection open and silent until the other side gives up, or the proxy ends.
    fn hold(&self, client: &TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(relay::STEP))?;
        let mut byte = [0];
        while !self.ended.load(Ordering::Relaxed) {
            match client.peek(&mut byte) {
                Ok(0) => break,
                // What it sends is not read.
                Ok(_) => thread::sleep(relay::STEP),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
