// Which readings are coordinates.

const LATITUDE = /^(.*?)(latitude|lat)$/i;
const LONGITUDES = { latitude: ["longitude"], lat: ["lon", "lng", "long"] };

/** A name ends with a word of its own: "position.lat" and "homeLat" do, "flat" does not. */
function isWord(prefix, word) {
  if (prefix === "") return true;
  return !/[a-z0-9]$/i.test(prefix) || (/[a-z0-9]$/.test(prefix) && /^[A-Z]/.test(word));
}

/** Returns the pairs of a latitude and a longitude among names; the ones with the shortest prefix are first. */
export function coordinateNames(names) {
  const present = new Map(names.map((name) => [name.toLowerCase(), name]));
  const pairs = [];
  for (const name of names) {
    const found = LATITUDE.exec(name);
    if (found === null || !isWord(found[1], found[2])) continue;
    for (const longitude of LONGITUDES[found[2].toLowerCase()]) {
      const other = present.get((found[1] + longitude).toLowerCase());
      if (other !== undefined)
        pairs.push({ label: found[1].replace(/[^a-z0-9]+$/i, ""), latitude: name, longitude: other });
    }
  }
  return pairs.sort((a, b) => a.latitude.length - b.latitude.length || (a.latitude < b.latitude ? -1 : 1));
}

/** Returns the place of a device by the first pair that holds valid coordinates, or undefined. */
export function place({ readings }, pairs) {
  for (const { latitude, longitude } of pairs) {
    const [y, x] = [readings[latitude], readings[longitude]];
    const isValid = typeof y === "number" && typeof x === "number" && Math.abs(y) <= 90 && Math.abs(x) <= 180;
    // Receivers without a fix report 0, 0, which is in the sea.
    if (isValid && !(y === 0 && x === 0)) return [x, y];
  }
  return undefined;
}
