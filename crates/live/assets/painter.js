// Draws the map: land, a grid of coordinates, a scale and the points of devices.

const STEPS = [60, 30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
const SCALES_KM = [2000, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];

/** The rings of the land as longitudes and latitudes; empty until they are read. */
let land = [];

/** Returns the integers of an encoded polyline: five bits in each character, the lowest ones first. */
function decoded(text) {
  const integers = [];
  let [bits, shift] = [0, 0];
  for (let index = 0; index < text.length; index += 1) {
    const part = text.charCodeAt(index) - 63;
    bits |= (part & 0x1f) << shift;
    shift += 5;
    if (part >= 0x20) continue;
    integers.push(bits & 1 ? ~(bits >> 1) : bits >> 1);
    [bits, shift] = [0, 0];
  }
  return integers;
}

async function readLand() {
  const { unitsPerDegree, rings } = await (await fetch("vendor/coastline.json")).json();
  land = rings.map((ring) => {
    const [points, differences] = [[], decoded(ring)];
    let [x, y] = [0, 0];
    for (let index = 0; index < differences.length; index += 2) {
      [x, y] = [x + differences[index], y + differences[index + 1]];
      points.push([x / unitsPerDegree, y / unitsPerDegree]);
    }
    const [longitudes, latitudes] = [points.map(([one]) => one), points.map(([, one]) => one)];
    return {
      points,
      west: Math.min(...longitudes),
      east: Math.max(...longitudes),
      south: Math.min(...latitudes),
      north: Math.max(...latitudes),
    };
  });
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Returns the degrees between two lines of the grid, so that there is space for their text. */
const stepFor = (pixelsOfDegree) => STEPS.findLast((step) => step * pixelsOfDegree >= 76) ?? STEPS[0];

/** Draws onto one canvas. */
export class MapPainter {
  #points = [];

  constructor(canvas, projection) {
    this.canvas = canvas;
    this.projection = projection;
    this.context = canvas.getContext("2d");
    readLand().then(
      () => this.paint(this.#points),
      // Without the coastline, the points are still right.
      () => {},
    );
  }

  resize() {
    const ratio = Math.min(2, devicePixelRatio || 1);
    this.canvas.width = Math.round(this.projection.width * ratio);
    this.canvas.height = Math.round(this.projection.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  /** Draws these points: their `at`, `isSilent` and `isActive`. */
  paint(points) {
    this.#points = points;
    const { context, projection } = this;
    context.fillStyle = color("--sea");
    context.fillRect(0, 0, projection.width, projection.height);
    this.#land();
    this.#grid();
    for (const point of points) if (point.isSilent) this.#point(point);
    for (const point of points) if (!point.isSilent) this.#point(point);
    for (const point of points) if (point.isActive) this.#ring(point);
    this.#scale();
    this.canvas.dataset.points = points.length;
  }

  #land() {
    const { context, projection } = this;
    const [west, south, east, north] = projection.bounds();
    context.fillStyle = color("--land");
    context.strokeStyle = color("--coast");
    context.lineWidth = 1;
    context.beginPath();
    for (const ring of land) {
      if (ring.south > north || ring.north < south) continue;
      for (const copy of [-360, 0, 360]) {
        if (ring.west + copy > east || ring.east + copy < west) continue;
        ring.points.forEach((point, index) => {
          const [x, y] = projection.toPixelOfCopy(point, copy);
          if (index === 0) context.moveTo(x, y);
          else context.lineTo(x, y);
        });
        context.closePath();
      }
    }
    context.fill();
    context.stroke();
  }

  #grid() {
    const { context, projection } = this;
    const [west, south, east, north] = projection.bounds();
    const digits = (step) => (step >= 1 ? 0 : Math.ceil(-Math.log10(step)));
    const [across, up] = [stepFor(projection.width / (east - west)), stepFor(projection.scale)];
    context.strokeStyle = color("--grid");
    context.fillStyle = color("--muted");
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    context.beginPath();
    for (let longitude = Math.ceil(west / across) * across; longitude <= east; longitude += across) {
      const [x] = projection.toPixelOfCopy([longitude, 0], 0);
      context.moveTo(Math.round(x) + 0.5, 0);
      context.lineTo(Math.round(x) + 0.5, projection.height);
      const shown = ((((longitude + 540) % 360) + 360) % 360) - 180;
      context.fillText(`${Math.abs(shown).toFixed(digits(across))}° ${shown < 0 ? "W" : "E"}`, x + 4, 13);
    }
    for (let latitude = Math.ceil(south / up) * up; latitude <= Math.min(90, north); latitude += up) {
      const [, y] = projection.toPixelOfCopy([0, latitude], 0);
      if (latitude < -90) continue;
      context.moveTo(0, Math.round(y) + 0.5);
      context.lineTo(projection.width, Math.round(y) + 0.5);
      if (y > 30) context.fillText(`${Math.abs(latitude).toFixed(digits(up))}° ${latitude < 0 ? "S" : "N"}`, 4, y - 4);
    }
    context.stroke();
  }

  #point({ at, isSilent }) {
    const { context, projection } = this;
    const [x, y] = projection.toPixel(at);
    if (x < -8 || y < -8 || x > projection.width + 8 || y > projection.height + 8) return;
    context.beginPath();
    context.arc(x, y, 4.5, 0, 2 * Math.PI);
    // A silent device is a circle, another one a disc: not only the color differs.
    context.fillStyle = color(isSilent ? "--surface" : "--accent");
    context.strokeStyle = color(isSilent ? "--muted" : "--surface");
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
  }

  #ring({ at }) {
    const { context } = this;
    context.beginPath();
    context.arc(...this.projection.toPixel(at), 9, 0, 2 * Math.PI);
    context.strokeStyle = color("--ink");
    context.lineWidth = 2;
    context.stroke();
  }

  #scale() {
    const { context, projection } = this;
    const kilometers = SCALES_KM.find((one) => projection.pixelsOf(one) <= 120) ?? SCALES_KM.at(-1);
    const [length, right, bottom] = [projection.pixelsOf(kilometers), projection.width - 12, projection.height - 12];
    context.strokeStyle = color("--ink");
    context.fillStyle = color("--ink");
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(right - length, bottom - 4);
    context.lineTo(right - length, bottom);
    context.lineTo(right, bottom);
    context.lineTo(right, bottom - 4);
    context.stroke();
    context.textAlign = "right";
    context.fillText(kilometers >= 1 ? `${kilometers} km` : `${kilometers * 1000} m`, right, bottom - 8);
    context.textAlign = "left";
  }
}
