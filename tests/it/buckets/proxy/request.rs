//! What a request asks for, as S3 understands it.

use crate::buckets::outsider::decoded;

/// A request that came by.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `GET`, `PUT` and so on.
    pub(crate) method: String,
    /// The path as it was sent: bucket and key, encoded.
    pub(crate) path: String,
    /// What came behind the question mark.
    pub(crate) query: String,
    /// Its headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The answer's status: the server's, even if the client never got it.
    pub(crate) status: Option<u16>,
    /// Bytes of body that the client sent, framing included.
    pub(crate) sent: u64,
    /// Bytes of body that the client got, framing included.
    pub(crate) got: u64,
    /// What went wrong with it on purpose.
    pub(crate) fault: Option<&'static str>,
}

/// Which of S3's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// PutObject.
    Put,
    /// GetObject.
    Get,
    /// HeadObject.
    Head,
    /// DeleteObject.
    Delete,
    /// DeleteObjects.
    DeleteMany,
    /// CopyObject.
    Copy,
    /// ListObjectsV2, or its first version.
    List,
    /// ListObjectVersions.
    ListVersions,
    /// ListMultipartUploads.
    ListUploads,
    /// ListParts.
    ListParts,
    /// CreateMultipartUpload.
    BeginUpload,
    /// UploadPart.
    Part,
    /// UploadPartCopy.
    PartCopy,
    /// CompleteMultipartUpload.
    EndUpload,
    /// AbortMultipartUpload.
    DropUpload,
    /// HeadBucket, GetBucketVersioning and whatever else is not about objects.
    Bucket,
    /// Something about an object that nobody here uses.
    Other,
}

impl Request {
    /// A header's value; its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The key that it is about; empty if it is about the bucket.
    pub(crate) fn key(&self) -> String {
        let path = self.path.trim_start_matches('/');
        decoded(path.split_once('/').map_or("", |(_, key)| key))
    }

    /// Whether it has this parameter, with or without a value.
    fn asks(&self, name: &str) -> bool {
        self.query.split('&').any(|pair| pair.split('=').next() == Some(name))
    }

    /// Which of S3's operations it is.
    pub(crate) fn kind(&self) -> Kind {
        if self.key().is_empty() { self.bucket_kind() } else { self.object_kind() }
    }

    fn bucket_kind(&self) -> Kind {
        match &*self.method {
            "GET" if self.asks("list-type") || self.query.is_empty() => Kind::List,
            "GET" if self.asks("versions") => Kind::ListVersions,
            "GET" if self.asks("uploads") => Kind::ListUploads,
            "POST" if self.asks("delete") => Kind::DeleteMany,
            _ => Kind::Bucket,
        }
    }

    fn object_kind(&self) -> Kind {
        let copies = self.header("x-amz-copy-source").is_some();
        match (&*self.method, self.asks("uploadId")) {
            ("PUT", true) if copies => Kind::PartCopy,
            ("PUT", true) => Kind::Part,
            ("PUT", false) if copies => Kind::Copy,
            ("PUT", false) => Kind::Put,
            ("GET", true) => Kind::ListParts,
            ("GET", false) => Kind::Get,
            ("HEAD", false) => Kind::Head,
            ("DELETE", true) => Kind::DropUpload,
            ("DELETE", false) => Kind::Delete,
            ("POST", true) => Kind::EndUpload,
            ("POST", false) if self.asks("uploads") => Kind::BeginUpload,
            _ => Kind::Other,
        }
    }
}
