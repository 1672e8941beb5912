//! One connection: each request to the server and its answer back, as the fault that took hold of it says.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::buckets::proxy::rule::{Answer, Edit, Fault};
use crate::buckets::proxy::wire::{End, Head, Left, Side};
use crate::buckets::proxy::{Request, Shared};

/// How often a thread that waits looks whether it still has to.
pub(super) const STEP: Duration = Duration::from_millis(20);

/// No server takes longer for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is delivered again is noted once more, under this name.
pub(super) const ECHO: &str = "echo";

/// Bytes that are passed on at once.
const PIECE: usize = 64 * 1024;

/// Serves one connection until either side closes it.
pub(super) fn serve(shared: &Arc<Shared>, client: TcpStream) {
    let Ok(mut client) = Side::new(client) else { return };
    // Whatever fails, fails for the client, which sees its connection close.
    while let Ok(Some(head)) = client.head() {
        let (number, fault) = shared.begin(request_of(&head));
        let mut exchange = Exchange { shared, client: &mut client, head, number };
        if !matches!(exchange.run(fault), Ok(Next::Request)) || shared.ended.load(std::sync::atomic::Ordering::Relaxed)
        {
            break;
        }
    }
}

fn request_of(head: &Head) -> Request {
    let mut words = head.start.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let headers = head.headers().map(|(name, value)| (name, value.to_owned())).collect();
    let (path, query) = (path.to_owned(), query.to_owned());
    Request { method, path, query, headers, status: None, sent: 0, got: 0, fault: None }
}

/// What becomes of the connection.
enum Next {
    /// It is ready for another request.
    Request,
    /// It is closed.
    Close,
}

/// How a body is passed on.
#[derive(Clone, Copy, Default)]
struct Pace {
    /// Bytes per second.
    rate: Option<u64>,
    /// Behind so many bytes it ends.
    stop: Option<u64>,
}

/// One request and its answer.
struct Exchange<'a> {
    shared: &'a Arc<Shared>,
    client: &'a mut Side,
    head: Head,
    number: usize,
}

impl Exchange<'_> {
    fn run(&mut self, fault: Option<Fault>) -> io::Result<Next> {
        self.let_it_come()?;
        let whole = Pace::default();
        let stop = |bytes| Pace { stop: Some(bytes), ..whole };
        let rate = |bytes| Pace { rate: Some(bytes), ..whole };
        match fault {
            None => self.pass(whole, whole),
            Some(Fault::LoseRequest) => Ok(Next::Close),
            Some(Fault::LoseAnswer) => self.lose_answer(),
            Some(Fault::Refuse(answer)) => self.refuse(&answer),
            Some(Fault::Delay(time)) => {
                thread::sleep(time);
                self.pass(whole, whole)
            }
            Some(Fault::SlowRequest(bytes)) => self.pass(rate(bytes), whole),
            Some(Fault::SlowAnswer(bytes)) => self.pass(whole, rate(bytes)),
            Some(Fault::StallRequest(bytes)) => self.break_request(stop(bytes), false),
            Some(Fault::StallAnswer(bytes)) => self.break_answer(stop(bytes), false),
            Some(Fault::ResetRequest(bytes)) => self.break_request(stop(bytes), true),
            Some(Fault::ResetAnswer(bytes)) => self.break_answer(stop(bytes), true),
            Some(Fault::Edit(edit)) => self.edit(&edit),
            Some(Fault::Twice) => self.twice(),
            Some(Fault::Echo(time)) => self.echo(time),
        }
    }

    /// Some clients send a body only when they are told to. Whether they were is no business of the server.
    fn let_it_come(&mut self) -> io::Result<()> {
        if self.head.value("expect").is_some() {
            self.head.remove("expect");
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        Ok(())
    }

    fn server(&self) -> io::Result<Side> {
        server(&self.shared.server)
    }

    /// The request to the server. A server may answer, and close, before it has read all: that is for its answer to tell.
    fn send(&mut self, server: &Side, pace: Pace) -> io::Result<()> {
        let sent = server.send(&self.head.bytes());
        let (shared, number) = (self.shared, self.number);
        let mut still = sent.is_ok();
        each_piece(self.client, self.head.request_end(), pace, |piece| {
            shared.note(number, |request| request.sent += piece.len() as u64);
            still = still && server.send(piece).is_ok();
            Ok(())
        })
    }

    /// The answer's head, noted.
    fn answer(&self, server: &mut Side) -> io::Result<Head> {
        let head = server.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.shared.note(self.number, |request| request.status = head.status());
        Ok(head)
    }

    /// The answer's body to the client.
    fn return_body(&mut self, server: &mut Side, end: End, pace: Pace) -> io::Result<()> {
        let (shared, number, client) = (self.shared, self.number, &self.client);
        each_piece(server, end, pace, |piece| {
            client.send(piece)?;
            shared.note(number, |request| request.got += piece.len() as u64);
            Ok(())
        })
    }

    fn method(&self) -> &str {
        self.head.start.split(' ').next().unwrap_or_default()
    }

    /// The request to the server and the answer back.
    fn pass(&mut self, request: Pace, answer: Pace) -> io::Result<Next> {
        let mut server = self.server()?;
        self.send(&server, request)?;
        self.hand_back(&mut server, answer)
    }

    /// The answer back.
    fn hand_back(&mut self, server: &mut Side, pace: Pace) -> io::Result<Next> {
        let head = self.answer(server)?;
        let end = head.answer_end(self.method());
        self.client.send(&head.bytes())?;
        self.return_body(server, end, pace)?;
        let closes = end == End::Close || head.value("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        Ok(if closes { Next::Close } else { Next::Request })
    }

    fn lose_answer(&mut self) -> io::Result<Next> {
        let mut server = self.server()?;
        self.send(&server, Pace::default())?;
        let head = self.answer(&mut server)?;
        server.body(head.answer_end(self.method()))?;
        Ok(Next::Close)
    }

    fn refuse(&mut self, answer: &Answer) -> io::Result<Next> {
        let sent = self.client.body(self.head.request_end())?.len() as u64;
        let (status, code) = (answer.status, answer.code);
        let body = format!("<Error><Code>{code}</Code><Message>a fault of the proxy</Message></Error>");
        let mut head = format!("HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n");
        head.extend(answer.headers.iter().flat_map(|line| [line.as_str(), "\r\n"]));
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let body = if self.method() == "HEAD" { "" } else { &body };
        self.client.send(&[head.as_bytes(), body.as_bytes()].concat())?;
        let got = body.len() as u64;
        self.shared
            .note(self.number, |request| (request.status, request.sent, request.got) = (Some(status), sent, got));
        Ok(Next::Request)
    }

    /// A request of which the server gets a part. Without a reset, its connection stays open as long as the client's.
    fn break_request(&mut self, pace: Pace, reset: bool) -> io::Result<Next> {
        let server = self.server()?;
        self.send(&server, pace)?;
        if !reset {
            self.shared.hold(self.client.stream())?;
        }
        break_off(server.stream(), reset)?;
        break_off(self.client.stream(), reset)?;
        Ok(Next::Close)
    }

    /// An answer of which the client gets a part: of the body, if any of it is to come; else nothing at all.
    fn break_answer(&mut self, pace: Pace, reset: bool) -> io::Result<Next> {
        let mut server = self.server()?;
        self.send(&server, Pace::default())?;
        let head = self.answer(&mut server)?;
        if pace.stop != Some(0) {
            self.client.send(&head.bytes())?;
            self.return_body(&mut server, head.answer_end(self.method()), pace)?;
        }
        if !reset {
            self.shared.hold(self.client.stream())?;
        }
        break_off(self.client.stream(), reset)?;
        Ok(Next::Close)
    }

    fn edit(&mut self, edit: &Edit) -> io::Result<Next> {
        let mut server = self.server()?;
        self.send(&server, Pace::default())?;
        let mut head = self.answer(&mut server)?;
        let body = server.plain_body(head.answer_end(self.method()))?;
        let body = edit(String::from_utf8(body).map_err(|_| io::ErrorKind::InvalidData)?);
        ["content-length", "transfer-encoding"].into_iter().for_each(|name| head.remove(name));
        head.lines.push(format!("Content-Length: {}", body.len()));
        self.client.send(&[head.bytes(), body.clone().into_bytes()].concat())?;
        self.shared.note(self.number, |request| request.got = body.len() as u64);
        Ok(Next::Request)
    }

    /// The whole request, as often as it is wanted.
    fn whole(&mut self) -> io::Result<Vec<u8>> {
        let body = self.client.body(self.head.request_end())?;
        self.shared.note(self.number, |request| request.sent = body.len() as u64);
        Ok([self.head.bytes(), body].concat())
    }

    fn twice(&mut self) -> io::Result<Next> {
        let request = self.whole()?;
        deliver(&self.shared.server, &request, self.method())?;
        let mut server = self.server()?;
        server.send(&request)?;
        self.hand_back(&mut server, Pace::default())
    }

    fn echo(&mut self, time: Duration) -> io::Result<Next> {
        let request = self.whole()?;
        let mut server = self.server()?;
        server.send(&request)?;
        let next = self.hand_back(&mut server, Pace::default())?;
        let (shared, head) = (Arc::clone(self.shared), self.head.clone());
        thread::spawn(move || {
            thread::sleep(time);
            let noted = request_of(&head);
            let status = deliver(&shared.server, &request, &noted.method).ok().flatten();
            let echo = Request { status, fault: Some(ECHO), ..noted };
            shared.requests.lock().expect("no thread has panicked").push(echo);
        });
        Ok(next)
    }
}

fn server(address: &str) -> io::Result<Side> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Side::new(stream)
}

/// A request of which nobody hears the answer: its status.
fn deliver(address: &str, request: &[u8], method: &str) -> io::Result<Option<u16>> {
    let mut server = server(address)?;
    server.send(request)?;
    let head = server.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    server.body(head.answer_end(method))?;
    Ok(head.status())
}

/// Closes a connection: with a reset, what is under way is lost.
fn break_off(stream: &TcpStream, reset: bool) -> io::Result<()> {
    if reset {
        // Takes effect when the connection is closed.
        return SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
    // It may be closed already.
    stream.shutdown(Shutdown::Both).ok();
    Ok(())
}

/// Reads a body piece by piece, no faster and no further than `pace` says.
fn each_piece(from: &mut Side, end: End, pace: Pace, mut pass: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let (mut left, mut passed, begun) = (Left::of(end), 0, Instant::now());
    loop {
        let most = pace.stop.map_or(PIECE as u64, |stop| stop - passed);
        let most = pace.rate.map_or(most, |rate| most.min(rate.div_ceil(20)));
        let piece = from.piece(&mut left, usize::try_from(most).unwrap_or(PIECE).min(PIECE))?;
        if piece.is_empty() {
            return Ok(());
        }
        passed += piece.len() as u64;
        pass(&piece)?;
        if let Some(rate) = pace.rate {
            let due = Duration::from_secs_f64(passed as f64 / rate as f64);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        if pace.stop.is_some_and(|stop| passed >= stop) {
            return Ok(());
        }
    }
}
