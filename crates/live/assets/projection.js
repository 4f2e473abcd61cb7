// From coordinates to pixels, and back.

const MIN_DEGREES = 0.002;
const MARGIN = 0.12;

/** Returns the longitudes, moved so that they are together across 180°. */
function unwrapped(longitudes) {
  const sorted = [...longitudes].sort((a, b) => a - b);
  let [gap, start] = [sorted[0] + 360 - sorted[sorted.length - 1], sorted[0]];
  for (let index = 1; index < sorted.length; index += 1) {
    if (sorted[index] - sorted[index - 1] > gap) [gap, start] = [sorted[index] - sorted[index - 1], sorted[index]];
  }
  return { west: start, east: start + 360 - gap };
}

/** The visible part of the world: equirectangular, with the width of a degree of longitude at its center. */
export class Projection {
  /** The center in degrees and the pixels of a degree of latitude. */
  center = [0, 20];
  scale = 2;
  width = 1;
  height = 1;

  /** Shows all of these places: pairs of longitude and latitude. */
  fit(places) {
    if (places.length === 0) return;
    const { west, east } = unwrapped(places.map(([longitude]) => longitude));
    let [south, north] = [90, -90];
    for (const [, latitude] of places) [south, north] = [Math.min(south, latitude), Math.max(north, latitude)];
    this.center = [(west + east) / 2, (south + north) / 2];
    const size = 1 - 2 * MARGIN;
    const across = (this.width * size) / Math.max(MIN_DEGREES, (east - west) * this.#shrink());
    const up = (this.height * size) / Math.max(MIN_DEGREES, north - south);
    this.scale = Math.max(Math.min(across, up), this.#least());
  }

  /** A degree of longitude is shorter away from the equator. */
  #shrink() {
    return Math.max(0.2, Math.cos((this.center[1] * Math.PI) / 180));
  }

  /** The scale with which the world is as high as the map. */
  #least() {
    return Math.min(this.height / 180, this.width / 360);
  }

  /** Returns the pixel of a place; the copy of the place that is closest to the center. */
  toPixel([longitude, latitude]) {
    const difference = ((((longitude - this.center[0] + 540) % 360) + 360) % 360) - 180;
    return this.#pixel(difference, latitude);
  }

  #pixel(difference, latitude) {
    return [
      this.width / 2 + difference * this.#shrink() * this.scale,
      this.height / 2 - (latitude - this.center[1]) * this.scale,
    ];
  }

  /** Returns the pixel of a place without moving it to the closest copy, so that a line stays connected. */
  toPixelOfCopy([longitude, latitude], copy) {
    return this.#pixel(longitude + copy - this.center[0], latitude);
  }

  /** Returns the visible range as [west, south, east, north]. */
  bounds() {
    const [x, y] = [this.width / 2 / this.scale / this.#shrink(), this.height / 2 / this.scale];
    return [this.center[0] - x, this.center[1] - y, this.center[0] + x, this.center[1] + y];
  }

  move(pixelsX, pixelsY) {
    const latitude = this.center[1] + pixelsY / this.scale;
    this.center = [this.center[0] - pixelsX / this.scale / this.#shrink(), Math.max(-85, Math.min(85, latitude))];
    this.center[0] = ((((this.center[0] + 540) % 360) + 360) % 360) - 180;
  }

  /** Zooms, so that the place at a pixel stays there. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const [fromX, fromY] = [x - this.width / 2, y - this.height / 2];
    const scale = Math.max(this.#least(), Math.min(200_000, this.scale * factor));
    const real = scale / this.scale;
    this.move(-fromX * (1 - 1 / real), -fromY * (1 - 1 / real));
    this.scale = scale;
  }

  /** Returns the pixels of a length on the ground, in kilometers. */
  pixelsOf(kilometers) {
    return (kilometers / 111.2) * this.scale;
  }
}
