//! The way back to "safe" after the index was lost, as counts: what is asked of a bucket, and what is sent to it again.

use std::path::PathBuf;

use super::*;
use crate::office::Dice;

/// Files of the office (count), in so many folders.
const FILES: usize = 200;
const FOLDERS: usize = 10;
/// Files that were edited, made and deleted within the week (count of each).
const EDITS: usize = 10;

/// What became of the index.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Deleted,
    Noise,
    WeekOld,
}

/// What the way back took.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    lists: usize,
    heads: usize,
    gets: usize,
    copies: usize,
    deletes: usize,
    puts: usize,
    /// Bytes of content.
    bytes: u64,
}

fn name(i: usize) -> String {
    format!("folder {}/file {i}.txt", i % FOLDERS)
}

fn furnished(bucket: Bucket) -> Cloud {
    let cloud = Cloud::with(bucket, "");
    let mut dice = Dice::new(7);
    (0..FILES).for_each(|i| cloud.office.save(name(i), dice.bytes(500 + i)));
    cloud.office.sync_well();
    cloud
}

fn copy_of_index(cloud: &Cloud) -> Vec<(PathBuf, Vec<u8>)> {
    cloud.office.index_files().into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// A week of work, which the index of its beginning knows nothing of.
fn work(cloud: &Cloud) {
    for i in 0..EDITS {
        cloud.office.save(name(i), format!("edited {i}"));
        cloud.office.save(format!("folder 1/new {i}.txt"), format!("new {i}"));
        fs::remove_file(cloud.office.share(name(100 + i))).unwrap();
    }
    cloud.office.sync_well();
}

fn lose(cloud: &Cloud, loss: Loss, week_old: &[(PathBuf, Vec<u8>)]) {
    let files = cloud.office.index_files();
    match loss {
        Loss::Noise => {
            let len = usize::try_from(fs::metadata(&files[0]).unwrap().len()).unwrap();
            fs::write(&files[0], Dice::new(9).bytes(len)).unwrap();
        }
        Loss::Deleted | Loss::WeekOld => files.iter().for_each(|file| fs::remove_file(file).unwrap()),
    }
    if matches!(loss, Loss::WeekOld) {
        week_old.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
    }
}

#[expect(clippy::print_stderr, reason = "a measured value beside its bound")]
fn way_back(loss: Loss, bucket: Bucket) -> Way {
    let cloud = furnished(bucket);
    let week_old = copy_of_index(&cloud);
    work(&cloud);
    let past = || cloud.outsider().past(PREFIX).into_iter().filter(|(key, _)| !key.contains("/.driftline/"));
    let (before, past_before) = (cloud.outsider().keys(PREFIX), past().collect::<Vec<_>>());
    lose(&cloud, loss, &week_old);
    cloud.proxy.forget();
    cloud.office.sync_well();
    assert_eq!(cloud.office.status()["verdict"], "safe");
    let of = |kinds: &[Kind]| cloud.proxy.count(|request| kinds.contains(&request.kind()) && !is_ours(request));
    let sent = |request: &&Request| matches!(request.kind(), Kind::Put | Kind::Part) && !is_ours(request);
    let way = Way {
        lists: of(&[Kind::List, Kind::ListVersions]),
        heads: of(&[Kind::Head]),
        gets: of(&[Kind::Get]),
        copies: of(&[Kind::Copy, Kind::PartCopy]),
        deletes: of(&[Kind::Delete, Kind::DeleteMany]),
        puts: of(&[Kind::Put, Kind::Part]),
        bytes: cloud.proxy.requests().iter().filter(sent).map(|request| request.sent).sum(),
    };
    eprintln!("{FILES} files, index {loss:?}: {way:?}");
    cloud.assert_same();
    let after = cloud.outsider().keys(PREFIX);
    let unlike = |key: &&String| !key.contains("/.driftline/") && !before.contains(key);
    assert_eq!(after.iter().find(unlike), None, "nothing is there that was not there");
    assert_eq!(past().collect::<Vec<_>>(), past_before, "not one version, and not one marker of a removal");
    way
}

/// Nothing is sent or copied, and each file is asked about once at most.
fn assert_nothing_is_sent(loss: Loss, versioned: bool) {
    let bucket = if versioned { Bucket::versioned(Make::SeaweedFs) } else { Bucket::new(Make::SeaweedFs) };
    let way = way_back(loss, bucket);
    let changes = (way.puts, way.bytes, way.copies, way.deletes);
    assert_eq!((changes, way.gets), ((0, 0, 0, 0), 0), "{loss:?}: {way:?}");
    let asked = match loss {
        // Every file once, and of a folder whether a file bears its name and what its marker says.
        Loss::Deleted | Loss::Noise => FILES + 2 * FOLDERS,
        // Those that were changed since, and their folders.
        Loss::WeekOld => 5 * EDITS,
    };
    // Of each folder what lies in it, twice at most; and the bucket itself from end to end.
    assert!(way.heads <= asked && way.lists <= 2 * FOLDERS + 3, "{loss:?}: {way:?}");
}

#[test]
fn after_the_index_was_deleted_nothing_is_sent_and_each_file_is_asked_about_once() {
    assert_nothing_is_sent(Loss::Deleted, false);
    assert_nothing_is_sent(Loss::Deleted, true);
}

#[test]
fn after_the_index_became_noise_nothing_is_sent_and_each_file_is_asked_about_once() {
    assert_nothing_is_sent(Loss::Noise, false);
    assert_nothing_is_sent(Loss::Noise, true);
}

#[test]
fn with_an_index_of_last_week_nothing_is_sent_and_only_what_changed_is_asked_about() {
    assert_nothing_is_sent(Loss::WeekOld, false);
    assert_nothing_is_sent(Loss::WeekOld, true);
}
