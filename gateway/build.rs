//! A file that is new in a folder which the binary embeds changes no Rust source: cargo is told to look there.

fn main() {
    for folder in ["../console/src", "../clients/js/src"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
