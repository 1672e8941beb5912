//! The checksums that servers compare.

use crc_fast::{CrcAlgorithm, Digest};

use super::abilities::Checksum;
use super::object::to_base64;
use super::wire::Checked;

/// The checksum of these bytes. A server that compares none is sent the least costly.
pub(super) fn checked(algorithm: Checksum, bytes: &[u8]) -> Checked {
    let value = match algorithm {
        Checksum::Crc64Nvme => crc64(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes)),
        Checksum::Sha256 => to_base64(&sha256(bytes)),
        Checksum::Crc32 | Checksum::None => crc32(crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, bytes)),
    };
    Checked { algorithm, value }
}

/// The checksum of a whole object, put together from its parts in their order.
pub(super) struct Whole(Digest);

impl Whole {
    pub(super) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Nvme))
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn checked(&self) -> Checked {
        Checked { algorithm: Checksum::Crc64Nvme, value: crc64(self.0.finalize()) }
    }
}

fn crc64(sum: u64) -> String {
    to_base64(&sum.to_be_bytes())
}

fn crc32(sum: u64) -> String {
    let sum = u32::try_from(sum & 0xffff_ffff).unwrap_or_default();
    to_base64(&sum.to_be_bytes())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the catalogue of parametrised CRC algorithms, and of FIPS 180-2, for "123456789" and "abc".
    #[test]
    fn sums_are_those_of_their_standards() {
        assert_eq!(
            checked(Checksum::Crc64Nvme, b"123456789").value,
            to_base64(&0xae8b_1486_0a79_9888_u64.to_be_bytes())
        );
        assert_eq!(checked(Checksum::Crc32, b"123456789").value, to_base64(&0xcbf4_3926_u32.to_be_bytes()));
        assert_eq!(checked(Checksum::Sha256, b"abc").value, "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    }

    #[test]
    fn a_whole_is_the_sum_of_its_parts_in_order() {
        let mut whole = Whole::new();
        whole.add(b"12345");
        whole.add(b"6789");
        assert_eq!(whole.checked(), checked(Checksum::Crc64Nvme, b"123456789"));
    }
}
