//! What every target promises, tried on every target: the directory in each of its ways, buckets on two
//! servers, and the fake in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use driftline::model::{
    Acl, Content, Digest, Kind, Meta, Past, ReadFault, Reading, RelPath, Seen, Shape, Sink, Stamp, Stat, Wall, Was,
    Which,
};
use driftline::plan::{Guard, Keep, Lies};
use driftline::target::{
    AskLies, Bind, Change, Depth, DirSetup, DirTarget, Fault, Flush, MemoryTarget, Page, Piece, Placed, ReadError,
    Remote, StageError, Staged, Step, Take, Target, TargetError, Ways,
};

mod bucket;
mod directory;
mod everywhere;
mod fixtures;
mod past;
mod servers;

use crate::buckets::Make;
use bucket::BucketFixture;
use fixtures::*;

everywhere::contract!(in_memory, MemoryFixture::new());
everywhere::contract!(directory_at_its_best, DirFixture::new(Ways::Auto));
everywhere::contract!(directory_like_nfs, DirFixture::new(Ways::Links));
everywhere::contract!(directory_without_links, DirFixture::new(Ways::Plain));
everywhere::contract!(bucket_seaweedfs, BucketFixture::new(Make::SeaweedFs, "office/files"));
everywhere::contract!(bucket_seaweedfs_versioned, BucketFixture::versioned(Make::SeaweedFs, ""));
everywhere::contract!(bucket_moto, slow "moto", BucketFixture::new(Make::Moto, "p"));
