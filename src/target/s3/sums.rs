//! The checksums that servers compare.

use crc_fast::CrcAlgorithm;

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

/// The checksum of a whole object, put together from those of its parts in their order: no byte is summed twice.
#[derive(Debug, Default)]
pub(super) struct Whole(u64);

impl Whole {
    /// Adds the next part; its sum, where that is the one that a whole has.
    pub(super) fn add(&mut self, part: &[u8], algorithm: Checksum) -> Checked {
        if algorithm != Checksum::Crc64Nvme {
            // Only this one is made of parts' sums, and only servers that know it compare it.
            return checked(algorithm, part);
        }
        let sum = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, part);
        self.0 = crc_fast::checksum_combine(CrcAlgorithm::Crc64Nvme, self.0, sum, part.len() as u64);
        Checked { algorithm, value: crc64(sum) }
    }

    /// The sum of all that was added; `None` where parts are summed in another way.
    pub(super) fn checked(&self, algorithm: Checksum) -> Option<Checked> {
        (algorithm == Checksum::Crc64Nvme).then(|| Checked { algorithm, value: crc64(self.0) })
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
        let algorithm = Checksum::Crc64Nvme;
        let mut whole = Whole::default();
        assert_eq!(whole.add(b"12345", algorithm), checked(algorithm, b"12345"));
        assert_eq!(whole.add(b"6789", algorithm), checked(algorithm, b"6789"));
        assert_eq!(whole.checked(algorithm), Some(checked(algorithm, b"123456789")));
        assert_eq!(Whole::default().checked(Checksum::Sha256), None);
    }
}
