//! What may lie between an agent and a server besides faults: encryption under an authority that only an office knows, and
//! a proxy through which alone the server is reached.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::office::must;

/// A name that no name service knows, and for which the certificate is good too.
pub(crate) const NOWHERE: &str = "s3.invalid";

/// TLS before a server.
pub(crate) struct Tls {
    port: u16,
    authority: PathBuf,
    child: Child,
}

impl Tls {
    /// Before the server at `server`, with a certificate from an authority of its own; both are made in `folder`.
    pub(crate) fn before(server: &str, folder: &Path) -> Self {
        let [authority, authority_key, certificate, key] =
            ["authority.pem", "authority.key", "server.pem", "server.key"].map(|name| folder.join(name));
        let new = |key: &Path, out: &Path, subject: &str, extensions: &[&str]| {
            let mut command = Command::new("openssl");
            command.args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ]);
            command.arg("-keyout").arg(key).arg("-out").arg(out).args(["-subj", subject]);
            extensions.iter().for_each(|extension| _ = command.args(["-addext", extension]));
            command
        };
        let signs = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"];
        must(&mut new(&authority_key, &authority, "/CN=an office's own authority", &signs));
        let names = format!("subjectAltName=DNS:{NOWHERE},IP:127.0.0.1");
        let serves = ["basicConstraints=critical,CA:FALSE", names.as_str()];
        let mut command = new(&key, &certificate, "/CN=a server", &serves);
        must(command.arg("-CA").arg(&authority).arg("-CAkey").arg(&authority_key));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/buckets/tls.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(certificate).arg(key).arg(server).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("python3 is installed");
        let mut said = String::new();
        let out = child.stdout.take().expect("its output is a pipe");
        BufReader::new(out).read_line(&mut said).expect("it says its port");
        Self { port: said.trim().parse().expect("a port"), authority, child }
    }

    /// Where it is reached.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The authority's certificate.
    pub(crate) fn authority(&self) -> &Path {
        &self.authority
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a killed child ends");
    }
}

/// A proxy for what is encrypted: whoever is asked for, it leads to one server.
pub(crate) struct Tunnel {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// To the server at `server`. It runs as long as the tests do.
    pub(crate) fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let (server, asked) = (server.to_owned(), Arc::<Mutex<Vec<String>>>::default());
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, noted) = (server.clone(), Arc::clone(&noted));
                thread::spawn(move || lead(client, &server, &noted));
            }
        });
        Self { address, asked }
    }

    /// Where it is reached.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whom it was asked for so far, and since this was asked last.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("no thread has panicked"))
    }
}

/// Answers a CONNECT, and then passes on what comes from either side.
fn lead(client: TcpStream, server: &str, noted: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut first, mut line) = (String::new(), String::new());
    reader.read_line(&mut first)?;
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line)?;
    }
    noted.lock().expect("no thread has panicked").push(first.split(' ').nth(1).unwrap_or_default().to_owned());
    let server = TcpStream::connect(server)?;
    (&client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (from_server, to_client) = (server.try_clone()?, client);
    thread::spawn(move || pass(from_server, &to_client));
    pass(reader, &server)
}

fn pass(mut from: impl Read, mut to: &TcpStream) -> io::Result<()> {
    io::copy(&mut from, &mut to)?;
    // The other side may be gone.
    to.shutdown(Shutdown::Both).ok();
    Ok(())
}
