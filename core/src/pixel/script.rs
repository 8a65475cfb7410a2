//! Text that becomes part of a page: JavaScript literals, calls, tags. The only place that writes
//! any, so that no value can be more than a value.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// One call of a vendor's function.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// A JavaScript expression of this program's own, such as `fbq`.
    pub(crate) function: String,
    /// Values; never code.
    pub(crate) arguments: Vec<Value>,
}

impl Call {
    pub(crate) fn new(function: impl Into<String>, arguments: Vec<Value>) -> Self {
        Self { function: function.into(), arguments }
    }

    fn write(&self, script: &mut String) {
        script.push_str(&self.function);
        script.push('(');
        for (n, argument) in self.arguments.iter().enumerate() {
            script.push_str(if n == 0 { "" } else { "," });
            literal(argument, script);
        }
        script.push_str(");");
    }
}

/// Writes the calls one after the other.
pub(crate) fn calls(calls: &[Call], script: &mut String) {
    for call in calls {
        call.write(script);
    }
}

/// Writes a value as a JavaScript literal that is inert inside of a `script` element too, whatever
/// the encoding of the page: nothing but ASCII, and no `<`, `>` or `&` within a text.
pub(crate) fn literal(value: &Value, script: &mut String) {
    match value {
        Value::Null => script.push_str("null"),
        Value::Bool(answer) => script.push_str(if *answer { "true" } else { "false" }),
        // With arbitrary precision a number is text; only what reads as a number is written.
        Value::Number(number) => match number.to_string() {
            text if is_number(&text) => script.push_str(&text),
            _ => script.push_str("null"),
        },
        Value::String(text) => quoted(text, script),
        Value::Array(values) => {
            script.push('[');
            for (n, value) in values.iter().enumerate() {
                script.push_str(if n == 0 { "" } else { "," });
                literal(value, script);
            }
            script.push(']');
        }
        Value::Object(map) => object(map, script),
    }
}

fn object(map: &Map<String, Value>, script: &mut String) {
    script.push('{');
    for (n, (key, value)) in map.iter().enumerate() {
        script.push_str(if n == 0 { "" } else { "," });
        // `"__proto__": x` would set the prototype; a computed key is a key.
        let computed = key == "__proto__";
        script.push_str(if computed { "[" } else { "" });
        quoted(key, script);
        script.push_str(if computed { "]:" } else { ":" });
        literal(value, script);
    }
    script.push('}');
}

fn quoted(text: &str, script: &mut String) {
    script.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                script.push('\\');
                script.push(c);
            }
            '<' | '>' | '&' | '\'' | '`' | '\0'..='\u{1f}' | '\u{7f}'.. => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(script, "\\u{unit:04x}");
                }
            }
            c => script.push(c),
        }
    }
    script.push('"');
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.parse::<f64>().is_ok()
}

/// A text as the value of an HTML attribute in double quotes.
pub(crate) fn attribute(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};
    use serde_json::json;

    fn written(value: &Value) -> String {
        let mut script = String::new();
        literal(value, &mut script);
        script
    }

    #[test]
    fn what_would_end_a_script_or_a_text_is_escaped() {
        for hostile in [
            "</script><script>alert(1)//",
            "<!--<script>",
            "-->",
            "]]>",
            "\"};alert(1);//",
            "'-alert(1)-'",
            "`${alert(1)}`",
            "\\\";alert(1)//",
            "\u{2028}alert(1)\u{2029}",
            "a\nb\r\0",
            "&quot;",
            "\u{feff}é\u{1f6d2}",
        ] {
            let script = written(&json!(hostile));
            assert!(script.bytes().all(|b| (0x20..0x7f).contains(&b)), "{script}");
            assert!(!script.contains(['<', '>', '&', '\'', '`']), "{script}");
            let read: String = serde_json::from_str(&script).expect("a JSON text");
            assert_eq!(read, hostile);
        }
    }

    #[test]
    fn a_key_is_never_the_prototype() {
        assert_eq!(written(&json!({"__proto__": {"x": 1}})), r#"{["__proto__"]:{"x":1}}"#);
    }

    #[test]
    fn a_number_that_is_none_is_null() {
        let odd =
            |text: &str| Value::Number(serde_json::Number::from_string_unchecked(text.into()));
        for text in ["alert(1)", "1;alert(1)", "", "1e", "--1", "Infinity", "1 "] {
            assert_eq!(written(&odd(text)), "null", "{text}");
        }
        for text in ["0", "-12.50", "1e3", "129.90", "12345678901234567890.123456789"] {
            assert_eq!(written(&odd(text)), text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_and_holds_nothing_that_html_sees(text in any::<String>()) {
            let script = written(&json!([text, {text.as_str(): text}]));
            assert!(script.bytes().all(|b| (0x20..0x7f).contains(&b)));
            assert!(!script.contains(['<', '>', '&', '\'', '`']));
            // A computed key is no JSON.
            if text != "__proto__" {
                let read: Value = serde_json::from_str(&script).expect("JSON");
                assert_eq!(read, json!([text, {text.as_str(): text}]));
            }
        }

        #[test]
        fn an_attribute_ends_where_it_should(text in any::<String>()) {
            let escaped = attribute(&text);
            assert!(!escaped.contains(['<', '>', '"', '\'']));
        }
    }
}
