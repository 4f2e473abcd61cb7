// Reduces the land of world-atlas (TopoJSON) to a coastline for small maps.

/** Points closer to the simplified line than this are left out, in degrees. */
const TOLERANCE = 0.05;
/** Islands whose extent is less are left out, in degrees. */
const SMALLEST = 0.3;
/** Coordinates are integers in this part of a degree. */
const UNITS_PER_DEGREE = 50;

/** Returns the points of an arc in degrees; TopoJSON stores the differences of integers. */
function points({ transform, arcs }, index) {
  let [x, y] = [0, 0];
  const line = arcs[index < 0 ? ~index : index].map(([dx, dy]) => {
    [x, y] = [x + dx, y + dy];
    return [x * transform.scale[0] + transform.translate[0], y * transform.scale[1] + transform.translate[1]];
  });
  return index < 0 ? line.reverse() : line;
}

/** Returns the distance of a point from a line, both in degrees. */
function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay];
  const length = dx * dx + dy * dy;
  const part = length === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / length));
  return Math.hypot(x - ax - part * dx, y - ay - part * dy);
}

/** Simplifies a line by the algorithm of Douglas and Peucker. */
function simplified(line) {
  const [first, last] = [line[0], line[line.length - 1]];
  let [farthest, most] = [0, 0];
  for (let index = 1; index < line.length - 1; index += 1) {
    const away = distance(line[index], first, last);
    if (away > most) [farthest, most] = [index, away];
  }
  if (most < TOLERANCE) return [first, last];
  return [...simplified(line.slice(0, farthest + 1)).slice(0, -1), ...simplified(line.slice(farthest))];
}

/** Makes a ring that crosses 180° continuous. Antarctica reaches the pole, where it goes around on purpose. */
function unwrapped(line) {
  let turn = 0;
  return line.map(([longitude, latitude], index) => {
    const step = index === 0 ? 0 : longitude - line[index - 1][0];
    if (Math.abs(step) > 180 && latitude > -85) turn -= Math.sign(step) * 360;
    return [longitude + turn, latitude];
  });
}

/** Encodes an integer in characters of six bits, as the encoded polyline format of maps does. */
function encoded(integer) {
  let rest = integer < 0 ? ~(integer << 1) : integer << 1;
  let text = "";
  for (; rest >= 0x20; rest >>= 5) text += String.fromCharCode((0x20 | (rest & 0x1f)) + 63);
  return text + String.fromCharCode(rest + 63);
}

/**
 * Returns the rings of the land, each as an encoded polyline: the differences of a point to the one before, as longitude and
 * latitude.
 */
export function coastline(topology) {
  const rings = [];
  for (const { arcs } of topology.objects.land.geometries) {
    for (const ring of arcs.flat()) {
      const line = unwrapped(ring.flatMap((arc) => points(topology, arc)));
      const extent = (axis) =>
        Math.max(...line.map((point) => point[axis])) - Math.min(...line.map((point) => point[axis]));
      if (Math.max(extent(0), extent(1)) < SMALLEST) continue;
      let [x, y] = [0, 0];
      const flat = [];
      for (const [longitude, latitude] of simplified(line)) {
        const [nextX, nextY] = [Math.round(longitude * UNITS_PER_DEGREE), Math.round(latitude * UNITS_PER_DEGREE)];
        if (flat.length > 0 && nextX === x && nextY === y) continue;
        flat.push(nextX - x, nextY - y);
        [x, y] = [nextX, nextY];
      }
      if (flat.length >= 8) rings.push(flat.map(encoded).join(""));
    }
  }
  return { unitsPerDegree: UNITS_PER_DEGREE, rings };
}
