//! What `status` says, served over HTTP in the text format of Prometheus.
//!
//! A thread of its own asks the index as `status` does, for each request anew: so it says the same, also while a mount
//! hangs, and the agent waits for nobody who asks. Not here: where the figures come from (`collect`), and how they are
//! written (`page`).

mod page;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::cli::args::{Places, StateArgs};
use crate::cli::collect::{self, Found};
use crate::cli::{Failure, source};
use crate::engine::clock;

/// The longest request that is read (bytes): of Prometheus it has a few hundred.
const REQUEST_MAX: usize = 8 * 1024;
/// Parts that a request may come in (count), each of which is waited for up to [`PATIENCE`]: nobody keeps others out long.
const PARTS_MAX: u32 = 8;
/// How long somebody is waited for who sends nothing, or takes nothing.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long is waited after no connection could be taken, as when too many files are open.
const REST: Duration = Duration::from_secs(1);
/// Where the figures lie.
const PATH: &str = "/metrics";
/// The format's name, as Prometheus knows it.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves the figures of whoever works with these places, until the process ends.
pub(super) fn serve(address: SocketAddr, places: &Places) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let asked = StateArgs { places: places.clone() };
    let serve = move || {
        for stream in listener.incoming() {
            match stream {
                // Who asks may go away at any time.
                Ok(stream) => drop(answer(stream, &asked)),
                Err(error) => {
                    tracing::debug!("nobody can be answered who asks for metrics: {error}");
                    std::thread::sleep(REST);
                }
            }
        }
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(serve).map(drop)
}

fn answer(mut stream: TcpStream, asked: &StateArgs) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (status, body) = match wanted(&request(&mut stream)?) {
        Wanted::Figures => match figures(asked) {
            Ok(page) => ("200 OK", page),
            Err(failure) => ("500 Internal Server Error", failure.text()),
        },
        Wanted::Nothing => ("404 Not Found", format!("the figures are at {PATH}\n")),
        Wanted::Change => ("405 Method Not Allowed", "there is nothing to be changed here: GET\n".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {FORMAT}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// The request up to the empty line that ends its head, as far as it is read.
fn request(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut part = [0; 1024];
    for _ in 0..PARTS_MAX {
        let read = from.read(&mut part)?;
        request.extend_from_slice(&part[..read]);
        let whole = request.windows(4).any(|end| end == b"\r\n\r\n");
        if whole || read == 0 || request.len() >= REQUEST_MAX {
            break;
        }
    }
    Ok(request)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Figures,
    Nothing,
    Change,
}

fn wanted(request: &[u8]) -> Wanted {
    let head = String::from_utf8_lossy(request);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (method, path.split('?').next()) {
        ("GET", Some(PATH)) => Wanted::Figures,
        ("GET", _) => Wanted::Nothing,
        _ => Wanted::Change,
    }
}

fn figures(asked: &StateArgs) -> Result<String, Failure> {
    let asked = source::state(asked)?;
    let now = clock::wall();
    let found = Found::look(&asked.dir, now)?;
    Ok(page::page(&collect::status(&asked, &found, now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_figures_can_be_had() {
        let table: [(&[u8], Wanted); 6] = [
            (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", Wanted::Figures),
            (b"GET /metrics?name[]=x HTTP/1.1\r\n\r\n", Wanted::Figures),
            (b"GET / HTTP/1.1\r\n\r\n", Wanted::Nothing),
            (b"GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", Wanted::Nothing),
            (b"POST /metrics HTTP/1.1\r\n\r\n", Wanted::Change),
            (b"\x16\x03\x01", Wanted::Change),
        ];
        for (request, is) in table {
            assert_eq!(wanted(request), is, "{}", String::from_utf8_lossy(request));
        }
    }

    #[test]
    fn a_request_is_read_to_the_end_of_its_head_and_no_further_than_its_bound() {
        let whole = b"GET /metrics HTTP/1.1\r\n\r\n".to_vec();
        assert_eq!(request(&mut &whole[..]).expect("read"), whole);
        assert!(request(&mut std::io::repeat(b'x')).expect("read").len() <= REQUEST_MAX);
        assert_eq!(request(&mut std::io::empty()).expect("read"), b"");
    }
}
