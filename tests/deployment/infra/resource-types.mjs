// Writes the writable properties of Azure resource types, with their kinds and allowed values, from Microsoft's published
// types. The tests validate infra/ with them.
//
//   git clone --depth 1 https://github.com/Azure/bicep-types-az
//   node tests/deployment/infra/resource-types.mjs bicep-types-az [Microsoft.Storage/storageAccounts@2025-01-01 …]
//
// Without names, the types of resource-types.json are updated.
//
// A shape is a word (string, int, bool, any), a list of allowed values (open if the service accepts others),
// {"each": shape} for an array, {"any": shape} for an object with names of the writer's choice, or
// {"of": {name: shape}, "needs": [names]}.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

const [checkout, ...named] = process.argv.slice(2);
const written = new URL("resource-types.json", import.meta.url);
const READ_ONLY = 2;
const REQUIRED = 1;
const git = (...words) =>
  execFileSync("git", ["-C", checkout, ...words], { maxBuffer: 1 << 30, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
const files = git("ls-tree", "-r", "--name-only", "HEAD").split("\n").filter((path) => path.endsWith("/types.json"));

function shapes(types) {
  const at = ({ $ref }) => types[Number($ref.split("/").pop())];
  const object = (properties, seen) => {
    const writable = Object.entries(properties).filter(([, property]) => !(property.flags & READ_ONLY));
    const of = Object.fromEntries(writable.map(([name, property]) => [name, shape(at(property.type), seen)]));
    const needs = writable.filter(([, property]) => property.flags & REQUIRED).map(([name]) => name);
    return needs.length ? { of, needs } : { of };
  };
  const shape = (type, seen) => {
    if (seen.includes(type)) return "any";
    const within = [...seen, type];
    switch (type.$type) {
      case "StringType": return "string";
      case "IntegerType": return "int";
      case "BooleanType": return "bool";
      case "StringLiteralType": return [type.value];
      case "UnionType": {
        const members = type.elements.map(at);
        const values = members.filter((member) => member.$type === "StringLiteralType").map((member) => member.value);
        return members.length === values.length ? values : { open: values };
      }
      case "ArrayType": return { each: shape(at(type.itemType), within) };
      case "DiscriminatedObjectType": {
        // Which of them it is, is not looked into: what one of them takes is taken.
        const elements = Object.values(type.elements).map((element) => object(at(element).properties, within).of);
        const of = object(type.baseProperties, within).of;
        for (const [name, shape] of elements.flatMap(Object.entries)) of[name] = name in of ? "any" : shape;
        return { of: { ...of, [type.discriminator]: Object.keys(type.elements) } };
      }
      case "ObjectType": {
        if (type.additionalProperties && !Object.keys(type.properties).length)
          return { any: shape(at(type.additionalProperties), within) };
        return object(type.properties, within);
      }
      default: return "any";
    }
  };
  return (name) => {
    const found = types.find((type) => type.$type === "ResourceType" && type.name.toLowerCase() === name.toLowerCase());
    return found && shape(at(found.body), []);
  };
}

const known = JSON.parse(readFileSync(written, "utf8"));
for (const name of named.length ? named : Object.keys(known)) {
  const [type, version] = name.split("@");
  const provider = type.split("/")[0].toLowerCase();
  const candidates = files.filter((path) => path.endsWith(`/${provider}/${version}/types.json`));
  const shape = candidates.map((path) => shapes(JSON.parse(git("show", `HEAD:${path}`)))(name)).find(Boolean);
  if (!shape) throw new Error(`${name} is in none of ${candidates.length} files`);
  known[name] = shape;
}
const lines = Object.keys(known).sort().map((name) => `${JSON.stringify(name)}: ${JSON.stringify(known[name])}`);
writeFileSync(written, `{\n${lines.join(",\n")}\n}\n`);
