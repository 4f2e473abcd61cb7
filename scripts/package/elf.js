// Reads from an ELF file what it requires of its machine. Works without binutils.
"use strict";

const MACHINES = new Map([[0x03, "x86"], [0x28, "arm"], [0x3e, "x86-64"], [0xb7, "arm64"], [0xf3, "riscv"]]);

// Section types of the gABI and of glibc, tags of the dynamic section.
const SECTION_DYNAMIC = 6;
const SECTION_NEEDED_VERSIONS = 0x6ffffffe;
const TAG_NEEDED = 1n;
const SEGMENT_INTERPRETER = 3;

/**
 * Returns the processor, whether the file needs a dynamic linker, its libraries, and the versions of their symbols
 * ("GLIBC_2.28"). Throws an error with the reason if the file is not a 64-bit ELF file.
 */
function requirements(file) {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46) throw new Error("is not an ELF file, so not a program for Linux");
  if (file[4] !== 2 || file[5] !== 1) throw new Error("is an ELF file, but not of 64 bits in little-endian order");
  try {
    const machine = file.readUInt16LE(18);
    const sections = table(file, 40, 58).map((header) => section(file, header));
    return {
      machine: MACHINES.get(machine) ?? `number ${machine}`,
      dynamic: table(file, 32, 54).some((header) => header.readUInt32LE(0) === SEGMENT_INTERPRETER),
      libraries: sections.filter(({ type }) => type === SECTION_DYNAMIC).flatMap((it) => libraries(it, sections)),
      versions: sections.filter(({ type }) => type === SECTION_NEEDED_VERSIONS).flatMap((it) => versions(it, sections)),
    };
  } catch (error) {
    throw new Error(`is a damaged ELF file (${error.message})`);
  }
}

/** Returns the headers of a table, from the positions of its offset and of its entry size in the file's header. */
function table(file, offsetAt, sizeAt) {
  const offset = Number(file.readBigUInt64LE(offsetAt));
  const [size, count] = [file.readUInt16LE(sizeAt), file.readUInt16LE(sizeAt + 2)];
  return Array.from({ length: count }, (_, index) => file.subarray(offset + index * size, offset + (index + 1) * size));
}

function section(file, header) {
  const [offset, size] = [24, 32].map((at) => Number(header.readBigUInt64LE(at)));
  return { type: header.readUInt32LE(4), link: header.readUInt32LE(40), bytes: file.subarray(offset, offset + size) };
}

/** Returns a string of the string table that a section refers to. */
function text({ link }, sections, offset) {
  const strings = sections[link].bytes;
  return strings.toString("latin1", offset, strings.indexOf(0, offset));
}

function libraries(dynamic, sections) {
  const entries = Array.from({ length: dynamic.bytes.length / 16 }, (_, index) => dynamic.bytes.subarray(index * 16));
  const needed = entries.filter((entry) => entry.readBigInt64LE(0) === TAG_NEEDED);
  return needed.map((entry) => text(dynamic, sections, Number(entry.readBigUInt64LE(8))));
}

/** Reads two nested linked lists: libraries, and their versions. A distance of 0 is the end. */
function versions(needed, sections) {
  const found = [];
  for (let library = needed.bytes, more = library.length; more; library = library.subarray(more)) {
    let version = library.subarray(library.readUInt32LE(8));
    for (let left = library.readUInt16LE(2); left; left--) {
      found.push(text(needed, sections, version.readUInt32LE(8)));
      version = version.subarray(version.readUInt32LE(12));
    }
    more = library.readUInt32LE(12);
  }
  return found;
}

module.exports = { requirements };
