//! What is served for Prometheus: the figures of `status`, to whoever asks on this machine.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use crate::office::Office;

/// An office whose agent serves metrics, and where.
fn office() -> (Office, SocketAddr) {
    let office = Office::configured("settle = \"100ms\"", "");
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let file = office.path("driftline.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replacen("[agent]", &format!("[agent]\nmetrics = \"{free}\""), 1)).unwrap();
    (office, free)
}

/// The whole answer to a request; empty if nobody answers.
fn asked(address: SocketAddr, request: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut line) = TcpStream::connect(address) {
        line.write_all(request.as_bytes()).unwrap();
        drop(line.read_to_string(&mut answer));
    }
    answer
}

fn figures(address: SocketAddr) -> String {
    asked(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A figure, by its name and labels as they are written.
fn figure(answer: &str, name: &str) -> Option<f64> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

fn wait_for_verdict(office: &Office, address: SocketAddr, verdict: &str) -> String {
    let name = format!("driftline_verdict{{verdict=\"{verdict}\"}}");
    let mut last = String::new();
    office.wait_until("the verdict is served", || {
        last = figures(address);
        figure(&last, &name) == Some(1.0)
    });
    last
}

#[test]
fn the_figures_are_those_of_status() {
    let (office, address) = office();
    for name in ["offer", "letter", "plan"] {
        office.save(name, name);
    }
    let _agent = office.start();
    office.wait_safe();
    let answer = wait_for_verdict(&office, address, "safe");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{answer}");
    let status = office.status();
    let target = &status["shares"][0]["targets"][0];
    let lane = "{share=\"papers\",target=\"backup\"}";
    for (name, told) in [("files", "files"), ("bytes", "bytes"), ("pending_changes", "pending"), ("holds", "holds")] {
        let served = figure(&answer, &format!("driftline_target_{name}{lane}"));
        assert_eq!((served, served.is_some()), (target[told].as_f64(), true), "{name} in {answer}");
    }
    let protected = figure(&answer, &format!("driftline_target_protected_timestamp_seconds{lane}")).unwrap();
    assert!(protected <= figure(&answer, "driftline_heartbeat_timestamp_seconds").unwrap(), "{answer}");

    let elsewhere = asked(address, "GET / HTTP/1.1\r\n\r\n");
    assert!(elsewhere.starts_with("HTTP/1.1 404 ") && elsewhere.contains("the figures are at /metrics"), "{elsewhere}");
    assert!(asked(address, "DELETE /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
}

#[test]
fn who_asks_and_says_nothing_keeps_neither_others_nor_the_agent() {
    let (office, address) = office();
    let _agent = office.start();
    wait_for_verdict(&office, address, "safe");
    let _silent: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    office.save("letter", "a letter");
    office.wait_until("the agent works on", || office.target("letter").exists());
    office.wait_safe();
    let answer = wait_for_verdict(&office, address, "safe");
    assert_eq!(figure(&answer, "driftline_share_files{share=\"papers\"}"), Some(1.0), "{answer}");
}

#[test]
fn what_is_wrong_is_served_too() {
    let (office, address) = office();
    let _agent = office.start();
    wait_for_verdict(&office, address, "safe");
    fs::rename(office.path("target"), office.path("away")).unwrap();
    office.save("letter", "a letter");
    let answer = wait_for_verdict(&office, address, "attention");
    let state = |state: &str| format!("driftline_target_state{{share=\"papers\",target=\"backup\",state=\"{state}\"}}");
    assert_eq!(
        (figure(&answer, &state("unreachable")), figure(&answer, &state("ok"))),
        (Some(1.0), Some(0.0)),
        "{answer}"
    );
    fs::rename(office.path("away"), office.path("target")).unwrap();
    wait_for_verdict(&office, address, "safe");
}

#[test]
fn without_its_port_the_agent_keeps_files_safe_and_says_so() {
    let (office, address) = office();
    let _taken = TcpListener::bind(address).unwrap();
    office.save("letter", "a letter");
    let agent = office.start();
    office.wait_safe();
    let said = agent.log();
    assert!(
        said.contains(&format!("cannot serve metrics at {address}: ")) && said.contains("`metrics` under [agent]"),
        "{said}"
    );
}
