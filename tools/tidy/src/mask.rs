//! Rust source with the inside of comments and literals blanked out, byte for byte, so that a rule which looks for words
//! and braces is not misled by a sentence or by a string.

/// Stands for every byte inside a string or character literal: no identifier, no brace and no blank, so that a line
/// of a long string still counts as a line.
const LITERAL: u8 = b'~';

/// The source with comments as spaces and the contents of literals as `~`. Length and line breaks are unchanged, so
/// an offset in the result is an offset in the source.
pub fn mask(source: &str) -> String {
    let mut masker = Masker { bytes: source.as_bytes(), out: Vec::with_capacity(source.len()) };
    while masker.at() < masker.bytes.len() {
        masker.step();
    }
    // Literals and comments begin and end at character borders, so what was copied is whole characters.
    String::from_utf8_lossy(&masker.out).into_owned()
}

struct Masker<'a> {
    bytes: &'a [u8],
    /// Always as long as what has been read: its length is the place in `bytes`.
    out: Vec<u8>,
}

impl Masker<'_> {
    fn step(&mut self) {
        if self.starts_with(b"//") {
            self.line_comment();
        } else if self.starts_with(b"/*") {
            self.block_comment();
        } else if let Some((prefix_bytes, hashes)) = self.raw_string_start() {
            self.copy(prefix_bytes);
            self.raw_string(hashes);
        } else if self.starts_with(b"\"") {
            self.string();
        } else if self.starts_with(b"'") {
            self.character_or_lifetime();
        } else {
            self.copy(1);
        }
    }

    fn at(&self) -> usize {
        self.out.len()
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at() + ahead).copied().unwrap_or(0)
    }

    fn starts_with(&self, wanted: &[u8]) -> bool {
        self.bytes[self.at()..].starts_with(wanted)
    }

    fn copy(&mut self, count: usize) {
        let end = (self.at() + count).min(self.bytes.len());
        self.out.extend_from_slice(&self.bytes[self.at()..end]);
    }

    fn blank(&mut self, count: usize, filler: u8) {
        let end = (self.at() + count).min(self.bytes.len());
        for at in self.at()..end {
            self.out.push(if self.bytes[at] == b'\n' { b'\n' } else { filler });
        }
    }

    fn line_comment(&mut self) {
        while self.at() < self.bytes.len() && self.peek(0) != b'\n' {
            self.blank(1, b' ');
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        while self.at() < self.bytes.len() {
            if self.starts_with(b"/*") {
                depth += 1;
                self.blank(2, b' ');
            } else if self.starts_with(b"*/") {
                depth -= 1;
                self.blank(2, b' ');
                if depth == 0 {
                    return;
                }
            } else {
                self.blank(1, b' ');
            }
        }
    }

    /// `r"`, `r#"`, `br"`, `cr#"`: the length of what stands before the quote, and the number of hashes.
    fn raw_string_start(&self) -> Option<(usize, usize)> {
        let goes_on = self.at().checked_sub(1).is_some_and(|before| is_word_byte(self.bytes[before]));
        if goes_on {
            return None;
        }
        let kind = usize::from(matches!(self.peek(0), b'b' | b'c'));
        if self.peek(kind) != b'r' {
            return None;
        }
        let hashes = (0..).take_while(|hash| self.peek(kind + 1 + hash) == b'#').count();
        let prefix_bytes = kind + 1 + hashes;
        (self.peek(prefix_bytes) == b'"').then_some((prefix_bytes, hashes))
    }

    fn raw_string(&mut self, hashes: usize) {
        let mut end = vec![b'#'; hashes + 1];
        end[0] = b'"';
        self.copy(1);
        while self.at() < self.bytes.len() && !self.starts_with(&end) {
            self.blank(1, LITERAL);
        }
        self.copy(end.len());
    }

    fn string(&mut self) {
        self.copy(1);
        while self.at() < self.bytes.len() && self.peek(0) != b'"' {
            let count = if self.peek(0) == b'\\' { 2 } else { 1 };
            self.blank(count, LITERAL);
        }
        self.copy(1);
    }

    /// `'a'` and `'\n'` are literals; `'a` is a lifetime or a label, and is copied.
    fn character_or_lifetime(&mut self) {
        let rest = &self.bytes[self.at() + 1..];
        if rest.first() == Some(&b'\\') {
            self.copy(1);
            self.blank(2, LITERAL);
            while self.at() < self.bytes.len() && self.peek(0) != b'\'' {
                self.blank(1, LITERAL);
            }
            self.copy(1);
            return;
        }
        let character_bytes = 1 + rest.iter().skip(1).take_while(|byte| **byte & 0xC0 == 0x80).count();
        if rest.get(character_bytes) == Some(&b'\'') {
            self.copy(1);
            self.blank(character_bytes, LITERAL);
        }
        self.copy(1);
    }
}

/// True for a byte that can be part of an identifier.
pub fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// The offset of the `}` that closes the `{` at `open`, in masked source.
pub fn closing_brace(masked: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in masked.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(offset);
                }
            }
            _ => {}
        }
    }
    None
}

/// The part before the first `#[cfg(test)]` that stands before a module: what is shipped.
pub fn shipped(source: &str) -> &str {
    let mut offset = 0;
    for line in source.split_inclusive('\n') {
        let rest = &source[offset + line.len()..];
        // Other attributes may stand between this one and the module.
        let next = rest.lines().map(str::trim).find(|line| !line.starts_with("#["));
        if line.trim() == "#[cfg(test)]" && next.is_some_and(|next| next.starts_with("mod ")) {
            return &source[..offset];
        }
        offset += line.len();
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_spaces() {
        assert_eq!(mask("a // b\nc"), "a     \nc");
        assert_eq!(mask("a/*/* b */\n*/c"), "a         \n  c");
    }

    #[test]
    fn literals_are_filled() {
        assert_eq!(mask(r#"x("a\"{", 'b', '\'', '{')"#), r#"x("~~~~", '~', '~~', '~')"#);
        assert_eq!(mask("r#\"a\"b\"# br\"{\" r#fn"), "r#\"~~~\"# br\"~\" r#fn");
        assert_eq!(mask("b'{' b\"}\" 'ü'"), "b'~' b\"~\" '~~'");
        assert_eq!(mask("'\\u{7f}' }"), "'~~~~~~' }");
    }

    #[test]
    fn lifetimes_are_kept() {
        assert_eq!(mask("fn f<'a>(x: &'a str) { 'l: loop {} }"), "fn f<'a>(x: &'a str) { 'l: loop {} }");
    }

    #[test]
    fn damage_ends_at_the_end_of_the_file() {
        for source in ["\"a", "'", "'\\", "/*", "r#\"a\"", "b", "\"\\"] {
            assert_eq!(mask(source).len(), source.len(), "{source}");
        }
    }

    #[test]
    fn braces_match() {
        assert_eq!(closing_brace("a { b { } c } d", 2), Some(12));
        assert_eq!(closing_brace("a { b", 2), None);
    }

    #[test]
    fn shipped_ends_at_the_test_module() {
        assert_eq!(shipped("a\n#[cfg(test)]\nmod tests {}\n"), "a\n");
        assert_eq!(shipped("a\n    #[cfg(test)]\n#[expect(x)]\nmod tests;\n"), "a\n");
        for whole in ["#[cfg(test)]\nuse x;\na\n", "#[cfg(test)]\n#[derive(X)]\nstruct Y;\nmod z;\n"] {
            assert_eq!(shipped(whole), whole);
        }
    }
}
