// Elements. Text always becomes a text node, so that an id or a reading can never become markup.

/**
 * Creates an element. Properties that begin with `on` are listeners, `true` and `false` set and omit an attribute, and `undefined`
 * omits it.
 */
export function element(tag, properties = {}, ...children) {
  const created = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) created.addEventListener(name.slice(2), value);
    else if (value === true) created.setAttribute(name, "");
    else if (value !== false && value !== undefined) created.setAttribute(name, value);
  }
  created.append(...children);
  return created;
}

/** Sets the text of an element, if it differs. */
export function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

/** Sets or removes an attribute, if it differs. */
export function setAttribute(target, name, value) {
  if (value === undefined || value === null || value === false) {
    if (target.hasAttribute(name)) target.removeAttribute(name);
  } else if (target.getAttribute(name) !== String(value)) {
    target.setAttribute(name, String(value));
  }
}

/**
 * Makes the children of `parent` those of `items`, in their order. An element is kept for its key, so that it keeps its focus.
 * `create` returns an object with an `element` and an `update` function.
 */
export function keyed(parent, kept, items, key, create) {
  const wanted = new Set(items.map(key));
  for (const [name, part] of kept) {
    if (!wanted.has(name)) {
      part.element.remove();
      kept.delete(name);
    }
  }
  items.forEach((item, index) => {
    const name = key(item);
    if (!kept.has(name)) kept.set(name, create(item));
    const part = kept.get(name);
    part.update(item);
    if (parent.children[index] !== part.element) parent.insertBefore(part.element, parent.children[index] ?? null);
  });
}

/** Copies a text when the button is pressed, and reports it on the button. */
export function copyButton(text, label) {
  const button = element("button", { type: "button", class: "copy", "aria-label": label }, "Copy");
  let timer;
  button.addEventListener("click", async () => {
    let result = "Copied";
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      result = "Not copied: select the text";
    }
    setText(button, result);
    clearTimeout(timer);
    timer = setTimeout(() => setText(button, "Copy"), 2000);
  });
  return button;
}
