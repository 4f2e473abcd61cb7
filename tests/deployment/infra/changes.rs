//! Changes of single resources, in turn, each of which must be detected.

use std::mem;

use super::{
    bicep::{Resource, Template},
    sources::{Sources, assert_no_faults},
};

/// Checks that there are no faults, and that each changed declaration of a resource is a fault of its file. Returns the number
/// of changes.
#[track_caller]
pub(crate) fn assert_each_change_is_detected(
    sources: &Sources,
    changes: impl Fn(&Resource) -> Vec<String>,
    faults: impl Fn(&[Template]) -> Vec<String>,
) -> usize {
    let mut templates = sources.templates();
    assert_no_faults(&faults(&templates));
    let mut count = 0;
    for index in 0..templates.len() {
        let path = templates[index].path.clone();
        let text = sources.text(path.to_str().expect("a path"));
        let module = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let declarations = templates[index].resources.iter().filter(|resource| !resource.is_existing);
        let replacements: Vec<(String, String)> = declarations
            .flat_map(|resource| changes(resource).into_iter().map(|to| (resource.source.clone(), to)))
            .collect();
        for (from, to) in replacements {
            assert_ne!(from, to, "{module}: no change");
            let template = Template::parse(&path, &text.replacen(&from, &to, 1));
            assert!(template.syntax_errors.is_empty(), "{module}: {:?} of {to}", template.syntax_errors);
            let original = mem::replace(&mut templates[index], template);
            let detected = faults(&templates).iter().any(|fault| fault.contains(module));
            assert!(detected, "{module}: not detected: {to}");
            templates[index] = original;
            count += 1;
        }
    }
    count
}
