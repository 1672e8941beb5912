//! What a bucket holds is read back: the hash that is stored beside an object is not taken for its bytes.

use super::*;

fn verify(cloud: &Cloud, words: &[&str], code: i32) -> serde_json::Value {
    let said = cloud.office.tell(&[&["verify", "--json"], words].concat());
    assert_eq!(said.code, Some(code), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    report["targets"][0].clone()
}

#[test]
fn bytes_that_are_not_what_their_stored_hash_says_are_found_and_put_right() {
    let cloud = Cloud::new();
    for n in 0..8 {
        cloud.office.save(format!("f/{n}.txt"), format!("the bytes of {n}"));
    }
    cloud.office.save("large.bin", vec![7; 20_000_000]);
    cloud.office.sync_well();
    let key = format!("{PREFIX}/f/3.txt");
    let meta = cloud.outsider().head(&key).unwrap().meta;
    let told: Vec<_> = meta.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    cloud.outsider().put_with(&key, b"the bytes of ?", &told);
    cloud.outsider().delete(&format!("{PREFIX}/f/5.txt"));
    cloud.proxy.forget();
    let lane = verify(&cloud, &[], 1);
    assert_eq!((&lane["differs"], &lane["missing"], &lane["equal"]), (&1.into(), &1.into(), &7.into()), "{lane}");
    assert_eq!(cloud.count(Kind::Put) + cloud.count(Kind::Delete) + cloud.count(Kind::Copy), 0, "it only reads");
    let gets = cloud.count(Kind::Get);
    assert!(gets >= 8, "every object was read: {gets}");
    verify(&cloud, &["--repair"], 1);
    cloud.assert_same();
    assert_eq!(cloud.history("f/3.txt"), [b"the bytes of ?".to_vec()]);
    verify(&cloud, &[], 0);
    let verified = cloud.status()["verified"].clone();
    assert_eq!((&verified["files"], &verified["bad"]), (&9.into(), &0.into()));
    assert!(cloud.status()["requests"]["get"].as_u64().unwrap() >= 2 * 9, "what it costs is counted");
}
