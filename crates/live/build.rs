//! Lists the files of the page, so that the program contains each of them.

use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("Cargo sets it")).join("assets");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut list = String::from("&[\n");
    add_files(&folder, "", &mut list);
    list.push(']');
    let output = Path::new(&env::var("OUT_DIR").expect("Cargo sets it")).join("assets.rs");
    fs::write(output, list).expect("Cargo's folder can be written");
}

/// Adds the files of a folder, which the server has at `prefix`.
fn add_files(folder: &Path, prefix: &str, list: &mut String) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).expect("a folder of this package").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = format!("{prefix}/{}", path.file_name().expect("an entry has a name").to_string_lossy());
        if path.is_dir() {
            add_files(&path, &name, list);
        } else {
            writeln!(list, "({name:?}, include_bytes!({:?})),", path.display().to_string()).expect("a text grows");
        }
    }
}
