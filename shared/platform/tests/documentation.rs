//! The configuration tables of the documentation are those of the program. `make update-docs` writes them anew.

use std::fs;
use std::path::Path;

use streamz_platform::config::{VariableDoc, reference};

const BEGIN: &str = "<!-- variables: written by `make update-docs` -->\n";
const END: &str = "<!-- variables: end -->\n";

/// What most people set, in the README's order.
const IN_README: [&str; 12] = [
    "PORT",
    "HOST",
    "DATA_DIR",
    "ENV",
    "DATABASE_URL",
    "JWT_SECRET",
    "JWT_EXPIRY",
    "ALLOWED_ORIGINS",
    "TRUSTED_PROXIES",
    "TURN_URLS",
    "TURN_SECRET",
    "RUST_LOG",
];

fn table(variables: impl IntoIterator<Item = VariableDoc>) -> String {
    let mut text = "| Variable | Default | Meaning |\n|---|---|---|\n".to_owned();
    for VariableDoc { name, default, meaning, secret } in variables {
        let cell = |text: &str| text.replace('|', "\\|");
        let secret = if secret && !meaning.starts_with("Secret") { " (a secret)" } else { "" };
        text.push_str(&format!("| `{name}` | {} | {}{secret} |\n", cell(default), cell(meaning)));
    }
    text
}

fn check(path: &str, table: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let text = fs::read_to_string(&path).expect("the document can be read");
    let (before, rest) = text.split_once(BEGIN).expect("the document has the mark where the table begins");
    let (written, after) = rest.split_once(END).expect("the document has the mark where the table ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, [before, BEGIN, table, END, after].concat()).expect("the document can be written");
    } else {
        assert_eq!(written, table, "{} is out of date: run `make update-docs`", path.display());
    }
}

#[test]
fn configuration_md_has_every_variable() {
    check("docs/configuration.md", &table(reference()));
}

#[test]
fn the_readme_has_those_that_most_people_set() {
    let all = reference();
    let wanted = IN_README.map(|name| {
        *all.iter().find(|variable| variable.name == name).expect("the README's variables are variables")
    });
    check("README.md", &table(wanted));
}
