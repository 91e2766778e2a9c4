//! Texts that may or may not be values of a type.

use crate::where_oracle::Random;

/// Something like a value: often a good one, often one that is spoilt in a place.
pub fn random(random: &mut Random, ty: &str) -> String {
    let mut text = match ty {
        "bool" => random.pick(&["t", "f", "1", "0", "true", "T", "no", ""]).to_owned(),
        "int2" | "int8" => integer(random),
        "float4" | "float8" | "numeric" => number(random),
        "varchar" | "bpchar" | "text" => letters(random),
        "uuid" => uuid(random),
        "date" => date(random),
        "time" => time(random),
        "timetz" => time(random) + &offset(random),
        "timestamp" => format!("{}{}{}", date(random), random.pick(&[" ", "T"]), time(random)),
        "timestamptz" => {
            format!("{}{}{}{}", date(random), random.pick(&[" ", "T"]), time(random), offset(random))
        }
        "json" | "jsonb" => json(random, 3),
        "interval" => interval(random),
        "inet" | "cidr" => address(random),
        other => panic!("no texts of {other}"),
    };
    if random.one_in(5) {
        spoil(random, &mut text);
    }
    text
}

/// Changes, adds or takes out one character.
fn spoil(random: &mut Random, text: &mut String) {
    let mut chars: Vec<char> = text.chars().collect();
    let at = random.below(chars.len() + 1);
    let with = random.pick(&[
        '0', '9', ' ', '-', '+', '.', ':', 'e', 'E', 'Z', ',', '"', '{', ']', '_', 'x', '/', '\n', '\u{a0}',
        '५',
    ]);
    match random.below(3) {
        0 => chars.insert(at, with),
        1 if at < chars.len() => chars[at] = with,
        _ if at < chars.len() => _ = chars.remove(at),
        _ => {}
    }
    *text = chars.into_iter().collect();
}

fn digits(random: &mut Random, most: usize) -> String {
    (0..random.below(most + 1)).map(|_| random.pick(&['0', '0', '1', '4', '5', '9', '9'])).collect()
}

fn integer(random: &mut Random) -> String {
    let known = [
        "32767",
        "-32768",
        "32768",
        "9223372036854775807",
        "-9223372036854775808",
        "9223372036854775808",
        "+0",
        "-0",
    ];
    if random.one_in(3) {
        random.pick(&known).to_owned()
    } else {
        random.pick(&["", "-", "+"]).to_owned() + &digits(random, 5)
    }
}

fn number(random: &mut Random) -> String {
    let known = [
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "-inf",
        "+inf",
        "infinit",
        "1e131071",
        "1e131072",
        "1e-16383",
        "1e-16384",
        "0e-17000",
        "3.4028235e38",
        "3.4028236e38",
        "1e-45",
        "1.8e308",
        "5e-324",
        "1e-400",
        " 1",
        "1 ",
        "\t1\n",
    ];
    if random.one_in(4) {
        return random.pick(&known).to_owned();
    }
    let (whole, fraction) = (digits(random, 5), digits(random, 6));
    let point = if random.one_in(3) { "" } else { "." };
    let exponent = match random.below(4) {
        0 => format!("e{}{}", random.pick(&["", "-", "+"]), digits(random, 2)),
        _ => String::new(),
    };
    format!("{}{whole}{point}{fraction}{exponent}", random.pick(&["", "-", "+"]))
}

fn letters(random: &mut Random) -> String {
    (0..random.below(7)).map(|_| random.pick(&['a', 'ä', '😀', ' ', ' ', '\t', '\u{a0}'])).collect()
}

fn uuid(random: &mut Random) -> String {
    let group = |random: &mut Random, len: usize| -> String {
        (0..len).map(|_| random.pick(&['0', '9', 'a', 'F'])).collect()
    };
    [8, 4, 4, 4, 12].map(|len| group(random, len)).join(random.pick(&["-", "-", "-", "-", ""]))
}

fn date(random: &mut Random) -> String {
    let known = [
        "infinity",
        "-infinity",
        "0044-03-15 BC",
        "5874897-12-31",
        "294276-12-31",
        "4714-11-24 BC",
        "4714-11-23 BC",
        "now",
        "epoch",
    ];
    match random.below(8) {
        0 => random.pick(&known).to_owned(),
        1 => format!("{}-{}-{}", digits(random, 5), digits(random, 2), digits(random, 2)),
        _ => format!("{:04}-{:02}-{:02}", random.below(3000), random.below(14), random.below(33)),
    }
}

fn time(random: &mut Random) -> String {
    let fraction = if random.one_in(2) { format!(".{}", digits(random, 7)) } else { String::new() };
    match random.below(8) {
        0 => random.pick(&["24:00:00", "00:00:00", "allballs", "12:00 pm"]).to_owned(),
        _ => format!("{:02}:{:02}:{:02}{fraction}", random.below(26), random.below(62), random.below(62)),
    }
}

fn offset(random: &mut Random) -> String {
    let sign = random.pick(&["+", "-"]);
    match random.below(8) {
        0 => random.pick(&["Z", "+0:30", "+0:30+00", "z", " PST", ""]).to_owned(),
        1 => format!("{sign}{:02}{:02}", random.below(18), random.below(62)),
        2 => format!("{sign}{:02}:{:02}:{:02}", random.below(18), random.below(62), random.below(62)),
        3 => format!("{sign}{:02}:{:02}+00", random.below(18), random.below(62)),
        4 => format!("{sign}{:02}:{:02}", random.below(18), random.below(62)),
        _ => format!("{sign}{:02}", random.below(18)),
    }
}

fn json(random: &mut Random, depth: usize) -> String {
    let scalars = [
        "null",
        "true",
        "1",
        "-0.50",
        "1e5",
        "\"a\"",
        "\"\\u00e9\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"\\ud83d\\ude00\"",
        "1e400000",
        "01",
        "\"\t\"",
        "nul",
    ];
    let space = random.pick(&["", " ", "\n"]);
    match random.below(5) {
        0 if depth > 0 => {
            let items: Vec<String> = (0..random.below(4)).map(|_| json(random, depth - 1)).collect();
            format!("[{space}{}]", items.join(&format!("{space},")))
        }
        1 | 2 if depth > 0 => {
            let items: Vec<String> = (0..random.below(4))
                .map(|_| format!("\"{}\":{space}{}", random.pick(&["a", "b", "a"]), json(random, depth - 1)))
                .collect();
            format!("{{{}}}", items.join(","))
        }
        _ => random.pick(&scalars).to_owned(),
    }
}

fn interval(random: &mut Random) -> String {
    let known = [
        "P1Y2M3DT4H5M6S",
        "1-2",
        "3 4:05:06",
        "00:00:01",
        "a while",
        "99999999999 years",
        "1.5 months",
        "infinity",
    ];
    if random.one_in(3) {
        return random.pick(&known).to_owned();
    }
    let part = |random: &mut Random, unit: &str| {
        format!("{}{} {unit}", random.pick(&["", "-", "+"]), random.below(50))
    };
    let mut parts = Vec::new();
    for unit in ["years", "mons", "days", "hours", "secs"] {
        if random.one_in(2) {
            parts.push(part(random, unit));
        }
    }
    parts.join(" ")
}

fn address(random: &mut Random) -> String {
    let known =
        ["::", "::1", "::ffff:1.2.3.4", "2001:DB8::1", "10/8", "192.168.0/24", "fe80::1%eth0", "1.2.3"];
    let bits = if random.one_in(2) { format!("/{}", random.below(34)) } else { String::new() };
    match random.below(4) {
        0 => random.pick(&known).to_owned() + &bits,
        1 => format!("10.{}.0.0/16", random.below(260)),
        _ => format!(
            "{}.{}.{}.{}{bits}",
            random.below(260),
            random.below(256),
            random.below(256),
            random.below(256)
        ),
    }
}
