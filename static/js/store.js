// localStorage that may be full or forbidden: what it does not take lives as long as the page, and nothing throws.

const memory = new Map();

function stored(act, otherwise) {
  try {
    return act(window.localStorage); // to name it is refused already where cookies are blocked
  } catch {
    return otherwise;
  }
}

export const local = {
  getItem: (key) => memory.get(key) ?? stored((storage) => storage.getItem(key), null),

  /** False where the text will not outlive the page. */
  setItem(key, value) {
    const kept = stored((storage) => (storage.setItem(key, value), true), false);
    if (kept) memory.delete(key);
    else {
      memory.set(key, String(value));
      stored((storage) => storage.removeItem(key)); // older words would come back in the place of these
    }
    return kept;
  },

  removeItem(key) {
    memory.delete(key);
    stored((storage) => storage.removeItem(key));
  },

  keys: () => [...new Set([...stored((storage) => Object.keys(storage), []), ...memory.keys()])],
};
