//! An estimate of how many tokens a text takes, from its characters alone.
//!
//! Words cost one token per six letters, digits one per three, CJK characters and marks one each, line breaks one per
//! run; a message costs four more for its template. It needs no tokenizer, is the same everywhere, and is called an
//! estimate wherever it is shown.

pub const PER_MESSAGE: u32 = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Wide,
    Space,
    Break,
    Mark,
}

fn class(character: char) -> Class {
    match character {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Digit,
        '\n' => Class::Break,
        '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => {
            Class::Wide
        }
        _ if character.is_whitespace() => Class::Space,
        _ if character.is_alphanumeric() => Class::Letter,
        _ => Class::Mark,
    }
}

/// (characters, estimated tokens) of one text.
pub fn measure(text: &str) -> (u32, u32) {
    if text.is_ascii() {
        measure_all(text.bytes().map(|byte| ASCII[byte as usize]))
    } else {
        measure_all(text.chars().map(class))
    }
}

/// The class of each ASCII character; most text is made of these.
static ASCII: [Class; 128] = {
    let mut classes = [Class::Mark; 128];
    let mut code = 0;
    while code < 128 {
        let byte = code as u8;
        classes[code] = if byte.is_ascii_alphabetic() {
            Class::Letter
        } else if byte.is_ascii_digit() {
            Class::Digit
        } else if byte == b'\n' {
            Class::Break
        } else if matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r') {
            Class::Space
        } else {
            Class::Mark
        };
        code += 1;
    }
    classes
};

fn measure_all(classes: impl Iterator<Item = Class>) -> (u32, u32) {
    let (mut characters, mut tokens) = (0_u32, 0_u32);
    let (mut open, mut run) = (Class::Space, 0_u32);
    let cost = |class: Class, run: u32| match class {
        Class::Letter => run.div_ceil(6),
        Class::Digit => run.div_ceil(3),
        Class::Wide | Class::Mark => run,
        Class::Break => u32::from(run > 0),
        Class::Space => 0,
    };
    for class in classes {
        characters += 1;
        if class != open {
            tokens += cost(open, run);
            (open, run) = (class, 0);
        }
        run += 1;
    }
    (characters, tokens + cost(open, run))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_words_digits_marks_and_cjk() {
        assert_eq!(measure(""), (0, 0));
        assert_eq!(measure("the extraordinary 2024!"), (23, 1 + 3 + 2 + 1));
        assert_eq!(measure("中文\n\na"), (5, 2 + 1 + 1));
        for character in (0..128_u8).map(char::from) {
            assert!(ASCII[character as usize] == class(character), "{character:?}");
        }
    }
}
