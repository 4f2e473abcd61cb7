//! Packages from npm that tests use: installed once, in the target folder.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use sha2::{Digest as _, Sha256};

use crate::{program::target, root};

/// Installs the packages of `package-lock.json` in this folder of the repository, and returns the folder with them. Packages
/// are installed once for each content of the lock file, by the first process that needs them.
pub fn install_packages(folder: &str) -> PathBuf {
    let source = root().join(folder);
    let packages = fs::read(source.join("package-lock.json")).expect("a file of this repository");
    let name = format!("{}-{}", folder.replace('/', "-"), &format!("{:x}", Sha256::digest(&packages))[..16]);
    let all = &*target().join("npm");
    let (folder, unfinished) = (all.join(&name), all.join(format!("{name}.unfinished")));
    fs::create_dir_all(all).expect("the target folder");
    // The system releases the lock when the process that holds it ends.
    let lock = File::create(all.join(format!("{name}.lock"))).expect("a file in the target folder");
    lock.lock().expect("a lock");
    if !folder.exists() {
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).expect("a folder in the target folder");
        }
        fs::create_dir(&unfinished).expect("a folder in the target folder");
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), unfinished.join(file)).expect("a file of this repository");
        }
        let mut npm = Command::new("npm");
        npm.arg("ci").arg("--prefix").arg(&unfinished).args(["--ignore-scripts", "--no-audit", "--no-fund"]);
        let output = npm.current_dir(&unfinished).output().expect("Node.js (the command npm)");
        assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        fs::rename(&unfinished, &folder).expect("a folder in the target folder");
    }
    folder
}
