// Writes the third-party notices from the JSON output of cargo-about, for scripts/notices.sh:
//
//   node scripts/notices/render.js ABOUT.json PACKAGES TEMPLATE
//
// PACKAGES has a line for each linked package: name, version and, for those of a Cargo feature, the feature. TEMPLATE
// has the comments `packages` and `texts`, which are replaced. The result is written to standard output. It depends only on
// the packages, and contains no paths of this machine.
"use strict";

const { readFileSync, readdirSync } = require("node:fs");
const { dirname, join, relative } = require("node:path");

const FENCE = "````";

function main([aboutFile, packagesFile, templateFile]) {
  const about = JSON.parse(readFileSync(aboutFile, "utf8"));
  const linked = readFileSync(packagesFile, "utf8").trim().split("\n").map((line) => line.split(" "));
  const crates = new Map(about.crates.map((crate) => [key(crate.package), crate]));
  const names = linked.map(([name, version]) => `${name} ${version}`);
  const missing = names.filter((name) => !crates.has(name));
  if (missing.length) throw new Error(`cargo-about did not report ${missing.join(", ")}`);

  const rows = linked.map(([name, version, feature]) => {
    const { license } = crates.get(`${name} ${version}`).package;
    return `| ${name} | ${version} | ${license} | ${feature ? `\`${feature}\`` : ""} |`.replace("|  |", "| |");
  });
  const packages = ["| package | version | licence | only with |", "|---|---|---|---|", ...rows].join("\n");

  // A function as the replacement: texts may contain `$`.
  const notices = readFileSync(templateFile, "utf8")
    .replace("<!-- packages -->", () => packages)
    .replace("<!-- texts -->", () => sections(texts(about, new Set(names))));
  process.stdout.write(notices.trimEnd() + "\n");
}

const key = ({ name, version }) => `${name} ${version}`;

/** Returns the distinct licence texts of these packages: [{ title, text, packages }]. */
function texts({ licenses, crates }, linked) {
  const found = new Map();
  const add = (title, raw, name) => {
    const text = raw.replace(/\r\n?/g, "\n").replace(/[ \t]+$/gm, "").replace(/^\n+|\n+$/g, "");
    if (text.includes(FENCE)) throw new Error(`a licence text of ${name} contains ${FENCE}`);
    const entry = found.get(text) ?? { titles: new Set(), text, packages: new Set() };
    entry.titles.add(title);
    entry.packages.add(name);
    found.set(text, entry);
  };

  // The files of each package whose texts are already included.
  const sources = new Map([...linked].map((name) => [name, new Set()]));
  for (const { id, text, source_path: path, used_by: users } of licenses) {
    for (const { crate } of users.filter(({ crate }) => linked.has(key(crate)))) {
      const folder = dirname(crate.manifest_path);
      const file = licenceFile(folder);
      // Without a path the text is the licence's template with placeholders; the package's own file is better.
      if (path) {
        sources.get(key(crate)).add(relative(folder, path));
        add(id, text, key(crate));
      } else if (file) {
        sources.get(key(crate)).add(file);
        add(crate.license, readFileSync(join(folder, file), "utf8"), key(crate));
      } else {
        add(id, withHolder(text, crate), key(crate));
      }
    }
  }
  const bare = [...linked].filter((name) => ![...found.values()].some(({ packages }) => packages.has(name)));
  if (bare.length) throw new Error(`no licence text was found for ${bare.join(", ")}`);
  for (const { package: crate } of crates.filter(({ package: crate }) => linked.has(key(crate)))) {
    const folder = dirname(crate.manifest_path);
    const further = readdirSync(folder).filter((file) => /^(notice|copyright|licen[cs]e-third-party)/i.test(file));
    for (const file of further.filter((file) => !sources.get(key(crate)).has(file))) {
      add("Further notices", readFileSync(join(folder, file), "utf8"), key(crate));
    }
  }
  return [...found.values()].map(({ titles, text, packages }) => ({
    title: [...titles].sort()[0],
    text,
    packages: [...packages].sort(),
  }));
}

/** Returns the licence file of a package, or null. */
function licenceFile(folder) {
  const files = readdirSync(folder).filter((file) => /^licen[cs]e(\.\w+)?$/i.test(file)).sort();
  return files[0] ?? null;
}

/** Returns a licence's template with the package's copyright holder instead of the placeholder. */
function withHolder(text, crate) {
  const placeholder = /^.*<(?:year|owner|copyright holders)>.*$/m;
  if (!placeholder.test(text)) return text;
  const library = crate.targets.find(({ kind }) => kind.some((it) => /lib|proc-macro/.test(it)));
  const header = readFileSync(library.src_path, "utf8").match(/^\/\/ (Copyright .*)$/m)?.[1];
  const authors = crate.authors.map((author) => author.replace(/ *<.*>/, "")).join(", ");
  if (!header && !authors) throw new Error(`${key(crate)} has no licence file and names no copyright holder`);
  return text.replace(placeholder, () => header ?? `Copyright (c) ${authors}`);
}

function sections(all) {
  const order = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
  const titles = [...new Set(all.map(({ title }) => title))].sort(order);
  return titles
    .map((title) => {
      const entries = all.filter((entry) => entry.title === title);
      entries.sort((one, other) => order(one.packages.join(), other.packages.join()) || order(one.text, other.text));
      const blocks = entries.map(({ packages, text }) => `${wrapped(packages)}\n\n${FENCE}text\n${text}\n${FENCE}`);
      return [`### ${title}`, ...blocks].join("\n\n");
    })
    .join("\n\n");
}

/** Formats the packages of a text in lines of at most 120 characters. */
function wrapped(packages) {
  const lines = [""];
  for (const word of packages.map((name, index) => name + (index < packages.length - 1 ? "," : ":"))) {
    const last = lines.at(-1);
    if (last && last.length + word.length >= 120) lines.push(word);
    else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines.join("\n");
}

try {
  main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`notices: ${error.message}\n`);
  process.exitCode = 1;
}
