//! What `check` says of a bucket.
