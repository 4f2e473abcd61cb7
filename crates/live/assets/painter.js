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

/** Half of the size of a point with its border, in pixels. */
const RADIUS = 6;
const COLORS = ["sea", "land", "coast", "grid", "muted", "surface", "accent", "ink"];

/** Returns the colors of the page's style by their names. */
function currentColors() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(COLORS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Returns the degrees between two lines of the grid, so that there is space for their text. */
const stepFor = (pixelsOfDegree) => STEPS.findLast((step) => step * pixelsOfDegree >= 76) ?? STEPS[0];

/** Draws onto one canvas. */
export class MapPainter {
  #points = [];
  ratio = 1;

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
    this.ratio = Math.min(2, devicePixelRatio || 1);
    this.canvas.width = Math.round(this.projection.width * this.ratio);
    this.canvas.height = Math.round(this.projection.height * this.ratio);
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
  }

  /** Draws these points: their `at`, `isSilent` and `isActive`. */
  paint(points) {
    this.#points = points;
    const { context, projection } = this;
    this.colors = currentColors();
    context.fillStyle = this.colors.sea;
    context.fillRect(0, 0, projection.width, projection.height);
    this.#land();
    this.#grid();
    this.#alike(points, true);
    this.#alike(points, false);
    for (const point of points) if (point.isActive) this.#ring(point);
    this.#scale();
    this.canvas.dataset.points = points.length;
  }

  #land() {
    const { context, projection } = this;
    const [west, south, east, north] = projection.bounds();
    context.fillStyle = this.colors.land;
    context.strokeStyle = this.colors.coast;
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
    context.strokeStyle = this.colors.grid;
    context.fillStyle = this.colors.muted;
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

  /** Draws points that look alike. Each is a copy of one picture, and only one is drawn at a pixel. */
  #alike(points, isSilent) {
    const { context, projection } = this;
    const picture = this.#picture(isSilent);
    const drawn = new Set();
    for (const point of points) {
      if (point.isSilent !== isSilent) continue;
      const [x, y] = projection.toPixel(point.at).map(Math.round);
      if (x < -RADIUS || y < -RADIUS || x > projection.width + RADIUS || y > projection.height + RADIUS) continue;
      const pixel = x * 65_536 + y;
      if (drawn.has(pixel)) continue;
      drawn.add(pixel);
      context.drawImage(picture, x - RADIUS, y - RADIUS, 2 * RADIUS, 2 * RADIUS);
    }
  }

  /** A silent device is a circle, another one a disc: not only the color differs. */
  #picture(isSilent) {
    const picture = document.createElement("canvas");
    picture.width = 2 * RADIUS * this.ratio;
    picture.height = picture.width;
    const context = picture.getContext("2d");
    context.scale(this.ratio, this.ratio);
    context.arc(RADIUS, RADIUS, 4.5, 0, 2 * Math.PI);
    context.fillStyle = isSilent ? this.colors.surface : this.colors.accent;
    context.strokeStyle = isSilent ? this.colors.muted : this.colors.surface;
    context.lineWidth = 1.5;
    context.fill();
    context.stroke();
    return picture;
  }

  #ring({ at }) {
    const { context } = this;
    context.beginPath();
    context.arc(...this.projection.toPixel(at), 9, 0, 2 * Math.PI);
    context.strokeStyle = this.colors.ink;
    context.lineWidth = 2;
    context.stroke();
  }

  #scale() {
    const { context, projection } = this;
    const kilometers = SCALES_KM.find((one) => projection.pixelsOf(one) <= 120) ?? SCALES_KM.at(-1);
    const [length, right, bottom] = [projection.pixelsOf(kilometers), projection.width - 12, projection.height - 12];
    context.strokeStyle = this.colors.ink;
    context.fillStyle = this.colors.ink;
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
