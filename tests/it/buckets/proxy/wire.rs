//! As much of HTTP/1.1 as a proxy between two honest programs needs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// More than any head here has, in bytes.
const HEAD: u64 = 256 * 1024;

/// What comes before a body.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The first line.
    pub(super) start: String,
    /// Header lines as they came, without their ends.
    pub(super) lines: Vec<String>,
}

impl Head {
    /// A header's value; its name in lower case.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All headers, names in lower case.
    pub(super) fn headers(&self) -> impl Iterator<Item = (String, &str)> {
        let split = self.lines.iter().filter_map(|line| line.split_once(':'));
        split.map(|(name, value)| (name.trim().to_lowercase(), value.trim()))
    }

    /// Without this header, if it is there.
    pub(super) fn remove(&mut self, name: &str) {
        self.lines.retain(|line| !line.split(':').next().is_some_and(|known| known.trim().eq_ignore_ascii_case(name)));
    }

    /// The second word of the first line, as a number: an answer's status.
    pub(super) fn status(&self) -> Option<u16> {
        self.start.split(' ').nth(1)?.parse().ok()
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let lines = std::iter::once(&self.start).chain(&self.lines);
        let mut text: String = lines.flat_map(|line| [line.as_str(), "\r\n"]).collect();
        text.push_str("\r\n");
        text.into_bytes()
    }

    fn length(&self) -> Option<u64> {
        self.value("content-length")?.parse().ok()
    }

    fn is_chunked(&self) -> bool {
        self.value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    /// How a request's body ends.
    pub(super) fn request_end(&self) -> End {
        if self.is_chunked() { End::Chunks } else { End::Bytes(self.length().unwrap_or(0)) }
    }

    /// How the body of an answer to a request with this method ends.
    pub(super) fn answer_end(&self, method: &str) -> End {
        match self.length() {
            _ if method == "HEAD" || matches!(self.status(), Some(100..=199 | 204 | 304)) => End::Bytes(0),
            _ if self.is_chunked() => End::Chunks,
            Some(length) => End::Bytes(length),
            None => End::Close,
        }
    }
}

/// How one knows that a body is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// After so many bytes.
    Bytes(u64),
    /// After a chunk of no length, and the lines behind it.
    Chunks,
    /// When the connection is closed.
    Close,
}

/// One side's connection.
pub(super) struct Side(BufReader<TcpStream>);

impl Side {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::with_capacity(64 * 1024, stream)))
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)
    }

    /// The next head; `None` if the other side has closed the connection.
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        let mut text = String::new();
        let mut reader = (&mut self.0).take(HEAD);
        while !text.ends_with("\r\n\r\n") {
            match reader.read_line(&mut text)? {
                0 if text.is_empty() => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                _ => {}
            }
        }
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned);
        Ok(lines.next().map(|start| Head { start, lines: lines.collect() }))
    }

    /// The next bytes of a body as they came, framing included, `most` at most; none at its end, which `end` remembers.
    pub(super) fn piece(&mut self, end: &mut Left, most: usize) -> io::Result<Vec<u8>> {
        if end.raw == 0 && end.end == End::Chunks {
            return self.between_chunks(end);
        }
        let most = usize::try_from(end.raw).unwrap_or(usize::MAX).min(most);
        if most == 0 {
            return Ok(Vec::new());
        }
        let bytes = self.0.fill_buf()?;
        let bytes = bytes[..most.min(bytes.len())].to_vec();
        if bytes.is_empty() && end.end != End::Close {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.consume(bytes.len());
        if end.end != End::Close {
            end.raw -= bytes.len() as u64;
        }
        Ok(bytes)
    }

    /// The line that tells a chunk's length; for the last chunk, with all lines behind it.
    fn between_chunks(&mut self, left: &mut Left) -> io::Result<Vec<u8>> {
        let mut text = String::new();
        self.0.read_line(&mut text)?;
        let size = text.split([';', '\r']).next().unwrap_or_default();
        let size = u64::from_str_radix(size.trim(), 16).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        if size > 0 {
            left.raw = size + 2;
            return Ok(text.into_bytes());
        }
        while !text.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut text)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        left.end = End::Bytes(0);
        Ok(text.into_bytes())
    }

    /// A whole body as it came, framing included.
    pub(super) fn body(&mut self, end: End) -> io::Result<Vec<u8>> {
        let (mut all, mut left) = (Vec::new(), Left::of(end));
        loop {
            let piece = self.piece(&mut left, usize::MAX)?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend(piece);
        }
    }

    /// A whole body without its framing.
    pub(super) fn plain_body(&mut self, end: End) -> io::Result<Vec<u8>> {
        let (mut all, mut left) = (Vec::new(), Left::of(end));
        loop {
            let framing = end == End::Chunks && left.raw == 0;
            let piece = self.piece(&mut left, usize::MAX)?;
            if piece.is_empty() {
                return Ok(all);
            }
            if !framing {
                all.extend(&piece);
                // The line end behind a chunk.
                if end == End::Chunks && left.raw == 0 {
                    all.truncate(all.len() - 2);
                }
            }
        }
    }
}

/// What is left of a body.
pub(super) struct Left {
    end: End,
    /// Bytes until framing is read again, or until the end.
    raw: u64,
}

impl Left {
    pub(super) fn of(end: End) -> Self {
        let raw = match end {
            End::Bytes(length) => length,
            End::Chunks => 0,
            End::Close => u64::MAX,
        };
        Self { end, raw }
    }
}
