//! The line to a server as an office has it: encrypted under an authority of its own, and through a proxy.

use std::process::Command;

use super::*;
use crate::buckets::{NOWHERE, Tls, Tunnel};
use crate::office::hear;

/// An office whose bucket is reached at `endpoint`.
fn office_at(bucket: &Bucket, endpoint: &str) -> Office {
    let url = bucket.url(PREFIX);
    let target = format!("[[share.target]]\nname = \"cloud\"\nurl = {url:?}\nendpoint = {endpoint:?}\n");
    Office::new().with_targets("settle = \"100ms\"", &target)
}

fn server_of(bucket: &Bucket) -> String {
    bucket.endpoint().trim_start_matches("http://").to_owned()
}

/// A pass with this in its environment.
fn sync(office: &Office, set: impl FnOnce(&mut Command)) -> crate::office::Said {
    let mut command = office.command(&["sync"]);
    set(&mut command);
    hear(&mut command)
}

fn bytes_there(bucket: &Bucket, name: &str) -> Option<Vec<u8>> {
    bucket.outsider().get(&format!("{PREFIX}/{name}"))
}

fn error_of(office: &Office) -> (String, String) {
    let status = office.status();
    let error = &targets(&status).next().expect("the bucket")["error"];
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    (text("message"), text("hint"))
}

#[test]
fn a_private_authority_is_trusted_only_where_the_environment_names_it() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::before(&server_of(&bucket), folder.path());
    let office = office_at(&bucket, &format!("https://{}", tls.address()));
    office.save("a.txt", "first");
    let said = sync(&office, |_| {});
    assert_eq!(said.code, Some(1), "{said}");
    let (message, hint) = error_of(&office);
    assert!(message.contains("its certificate is not trusted"), "{message}");
    assert!(hint.contains("SSL_CERT_FILE") && hint.contains("AWS_CA_BUNDLE"), "{hint}");
    let checked = office.tell(&["check"]);
    assert!(checked.code == Some(1) && checked.out.contains("its certificate is not trusted"), "{checked}");
    assert_eq!(bucket.outsider().keys(""), [""; 0]);
    for (name, text) in [("SSL_CERT_FILE", "first"), ("AWS_CA_BUNDLE", "second")] {
        office.save("a.txt", text);
        let said = sync(&office, |command| _ = command.env(name, tls.authority()));
        assert_eq!(said.code, Some(0), "{name}: {said}");
        assert_eq!(bytes_there(&bucket, "a.txt").as_deref(), Some(text.as_bytes()), "{name}");
    }
}

#[test]
fn an_authority_that_cannot_be_read_is_named() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::before(&server_of(&bucket), folder.path());
    let office = office_at(&bucket, &format!("https://{}", tls.address()));
    office.save("a.txt", "bytes");
    let missing = folder.path().join("nowhere.pem");
    let said = sync(&office, |command| _ = command.env("AWS_CA_BUNDLE", &missing));
    assert_eq!(said.code, Some(1), "{said}");
    let (message, _) = error_of(&office);
    assert!(message.contains("AWS_CA_BUNDLE") && message.contains("nowhere.pem"), "{message}");
    let broken = folder.path().join("broken.pem");
    for text in ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "a letter"] {
        std::fs::write(&broken, text).unwrap();
        let said = sync(&office, |command| _ = command.env("AWS_CA_BUNDLE", &broken));
        assert_eq!(said.code, Some(1), "{said}");
        let (message, hint) = error_of(&office);
        assert!(message.contains("broken.pem") && hint.contains("AWS_CA_BUNDLE, or unset it"), "{message}\n{hint}");
    }
}

#[test]
fn a_machine_without_any_authority_is_told_what_to_install() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::before(&server_of(&bucket), folder.path());
    let office = office_at(&bucket, &format!("https://{}", tls.address()));
    office.save("a.txt", "bytes");
    let none = |command: &mut Command| {
        command.env("SSL_CERT_FILE", folder.path().join("none.pem")).env("SSL_CERT_DIR", folder.path().join("none"));
    };
    let said = sync(&office, none);
    assert_eq!(said.code, Some(1), "{said}");
    let (message, hint) = error_of(&office);
    assert!(message.contains("this machine has no certificate of any authority"), "{message}");
    assert!(hint.starts_with("install the package ca-certificates, or name "), "{hint}");
    // The hint is true.
    let said = sync(&office, |command| {
        none(command);
        command.env("AWS_CA_BUNDLE", tls.authority());
    });
    assert_eq!(said.code, Some(0), "{said}");
}

#[test]
fn what_is_encrypted_goes_through_the_proxy_that_the_environment_names() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::before(&server_of(&bucket), folder.path());
    let tunnel = Tunnel::to(&tls.address());
    // Only the proxy knows where this is.
    let office = office_at(&bucket, &format!("https://{NOWHERE}"));
    for authority in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
        office.save("a.txt", authority);
        let said = sync(&office, |command| {
            command.env("HTTPS_PROXY", tunnel.endpoint()).env(authority, tls.authority());
        });
        assert_eq!(said.code, Some(0), "{said}");
        let asked = tunnel.take_asked();
        assert!(!asked.is_empty() && asked.iter().all(|asked| *asked == format!("{NOWHERE}:443")), "{asked:?}");
        assert_eq!(bytes_there(&bucket, "a.txt").as_deref(), Some(authority.as_bytes()));
    }
    let near = office_at(&bucket, &format!("https://{}", tls.address()));
    near.save("a.txt", "near");
    let said = sync(&near, |command| {
        command
            .env("HTTPS_PROXY", tunnel.endpoint())
            .env("NO_PROXY", "127.0.0.1")
            .env("SSL_CERT_FILE", tls.authority());
    });
    // Another share's bucket: what counts is that it was reached, and how.
    assert_eq!(said.code, Some(1), "{said}");
    assert!(error_of(&near).0.contains("keeps another share"), "{:?}", error_of(&near));
    assert_eq!(tunnel.take_asked(), [""; 0]);
}

#[test]
fn what_is_not_encrypted_goes_through_the_proxy_that_the_environment_names() {
    let bucket = Bucket::new(Make::SeaweedFs);
    let proxy = bucket.proxy();
    let office = office_at(&bucket, &format!("http://{NOWHERE}"));
    office.save("a.txt", "bytes");
    let said = sync(&office, |command| _ = command.env("HTTP_PROXY", proxy.endpoint()));
    assert_eq!(said.code, Some(0), "{said}");
    let requests = proxy.requests();
    let through = |request: &Request| request.path.starts_with(&format!("http://{NOWHERE}/"));
    assert!(!requests.is_empty() && requests.iter().all(through), "{requests:#?}");
    assert_eq!(bytes_there(&bucket, "a.txt").as_deref(), Some(&b"bytes"[..]));
}
