// The part of the address after `#`, which says what the page shows.

export const VIEWS = { devices: "Devices", map: "Map", run: "Run", "dead-letters": "Dead letters" };

/** Returns the address of a device. */
export const deviceAddress = (id) => `#/device/${encodeURIComponent(id)}`;

/** Returns the shown view, and the id of the device if one is open. */
export function route() {
  const [, view = "", ...rest] = location.hash.split("/");
  if (view !== "device") return { view: Object.hasOwn(VIEWS, view) ? view : "devices" };
  const encoded = rest.join("/");
  try {
    return { view: "device", id: decodeURIComponent(encoded) };
  } catch {
    return { view: "device", id: encoded };
  }
}
