//! Names that other systems take for one and the same. Pure.

use unicode_normalization::UnicodeNormalization as _;

/// What Windows and macOS take for the same name: composed letters, one case. Names that are not UTF-8 stand for
/// themselves.
pub fn fold(name: &[u8]) -> Vec<u8> {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    match std::str::from_utf8(name) {
        Ok(text) => text.nfc().flat_map(char::to_lowercase).collect::<String>().nfc().collect::<String>().into_bytes(),
        Err(_) => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_composition_make_no_other_name() {
        for (one, two) in [("Plan.TXT", "plan.txt"), ("BÜRO", "büro"), ("bu\u{308}ro", "b\u{fc}ro"), ("a", "A")] {
            assert_eq!(fold(one.as_bytes()), fold(two.as_bytes()), "{one} {two}");
        }
        for (one, two) in [("a", "b"), ("büro", "buro"), ("a ", "a")] {
            assert_ne!(fold(one.as_bytes()), fold(two.as_bytes()), "{one} {two}");
        }
        assert_ne!(fold(b"A\xff"), fold(b"a\xff"));
    }
}
