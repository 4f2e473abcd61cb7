//! Expressions in the forms that infra/ has or may get, with what the compiler makes of them: from what CLI 0.49.2 wrote, or
//! composed of the same functions.

use std::path::Path;

use serde_json::json;

use super::super::{
    arm::{DEPLOYMENT, Scope},
    bicep::{Template, Value},
};

#[test]
fn expressions_are_translated_as_the_compiler_does() {
    let template = Template::parse(
        Path::new("infra/main.bicep"),
        "param names array\nparam limit int\nvar kept = limit\nvar regions = [names]\n\
         resource ids 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = [for (place, index) in regions: { name: 'id-${place}' }]\n\
         module net 'net.bicep' = if (kept == 1) {\n  name: 'net'\n}\n",
    );
    let compiled = json!({"variables": {"kept": 1, "regions": []},
        "resources": [{"type": DEPLOYMENT, "apiVersion": "2025-04-01"}]});
    let scope = Scope::new(&template, &compiled);
    for (text, expected) in [
        (
            "empty(names) ? [deployer().objectId] : names",
            "if(empty(parameters('names')), createArray(deployer().objectId), parameters('names'))",
        ),
        (
            "limit % 1000 == 0 ? limit : fail('It is a multiple of 1000.')",
            "if(equals(mod(parameters('limit'), 1000), 0), parameters('limit'), fail('It is a multiple of 1000.'))",
        ),
        (
            "union(filter(split('a, b', ','), id => !empty(trim(id))), [])",
            "union(filter(split('a, b', ','), lambda('id', not(empty(trim(lambdaVariables('id')))))), createArray())",
        ),
        ("'{${kept}}'", "format('{{{0}}}', variables('kept'))"),
        ("'it\\'s\\n'", "'it''s\n'"),
        (
            "replace(' ${limit}  ${limit} ', ' ', '')",
            "replace(format(' {0}  {1} ', parameters('limit'), parameters('limit')), ' ', '')",
        ),
        (
            "net.?outputs.id ?? ''",
            "coalesce(tryGet(if(equals(variables('kept'), 1), reference(resourceId('Microsoft.Resources/deployments', 'net'), '2025-04-01'), null()), 'outputs', 'id', 'value'), '')",
        ),
        (
            "ids[1].properties.principalId",
            "reference(resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', format('id-{0}', variables('regions')[1])), '2024-11-30').principalId",
        ),
        (
            "limit > -1 && !(limit != 3)",
            "and(greater(parameters('limit'), -1), not(not(equals(parameters('limit'), 3))))",
        ),
        ("resourceGroup().?tags", "tryGet(resourceGroup(), 'tags')"),
        (
            "kept == 1 ? '' : ids[0].id",
            "if(equals(variables('kept'), 1), '', resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', format('id-{0}', variables('regions')[0])))",
        ),
        (
            "[deployer().objectId, [names[0]]\n 'b']",
            "createArray(deployer().objectId, createArray(parameters('names')[0]), 'b')",
        ),
        ("map(names, name => name.a[0].b)", "map(parameters('names'), lambda('name', lambdaVariables('name').a[0].b))"),
        (
            "limit == names[0].size && !names[1].ok",
            "and(equals(parameters('limit'), parameters('names')[0].size), not(parameters('names')[1].ok))",
        ),
        ("{ 'a-${kept}': true }", "createObject(format('a-{0}', variables('kept')), true())"),
    ] {
        let translated = scope.text(text);
        assert_eq!(translated.as_deref(), Some(expected), "{text}");
    }
}

/// The grammar reads these otherwise: `a ? b : c.d` as `(a ? b : c).d`, a call in an array as two elements, and
/// a string without its first spaces.
#[test]
fn the_reader_corrects_what_the_grammar_reads_otherwise() {
    let text = "var one = a ? b : c[0].d\nvar two = [deployer().objectId]\nvar three = ' it\\'s\\n\\u{41} '\n";
    let template = Template::parse(Path::new("infra/main.bicep"), text);
    let other = |text: &str| Value::Other(text.to_owned());
    assert_eq!(template.variable("one"), Some(&Value::Either("a".to_owned(), vec![other("b"), other("c[0].d")])));
    assert_eq!(template.variable("two"), Some(&Value::List(vec![other("deployer().objectId")])));
    assert_eq!(template.variable("three"), Some(&Value::Text(" it's\nA ".to_owned())));
    let names: Vec<&str> = template.references.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"], "deployer is a function");
}

#[test]
fn a_loop_with_a_condition_for_each_element_is_read() {
    let text = "resource locks 'Microsoft.Authorization/locks@2020-05-01' = [for name in names: if (name != skipped) {\n  name: name\n}]\n";
    let template = Template::parse(Path::new("infra/main.bicep"), text);
    let [lock] = &template.resources[..] else { panic!("one resource") };
    assert_eq!((lock.condition.as_deref(), lock.loop_source.as_deref()), (Some("name != skipped"), Some("names")));
    assert_eq!(lock.body.get("name"), Some(&Value::Other("name".to_owned())));
}

#[test]
fn nested_resources_of_one_name_are_distinguished() {
    let text = "resource one 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {\n  name: 'a'\n\n  \
                resource blobs 'blobServices' existing = { name: 'default' }\n}\n\
                resource two 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {\n  name: 'b'\n\n  \
                resource blobs 'blobServices' existing = { name: 'default' }\n}\n";
    let template = Template::parse(Path::new("infra/modules/audit.bicep"), text);
    let compiled = json!({});
    let scope = Scope::new(&template, &compiled);
    let id =
        |name: &str| Some(format!("resourceId('Microsoft.Storage/storageAccounts/blobServices', '{name}', 'default')"));
    assert_eq!([scope.text("one::blobs.id"), scope.text("two::blobs.id")], [id("a"), id("b")]);
}
