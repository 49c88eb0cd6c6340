// Runs before neuroglancer's client, which is the one of its Python package and would listen to a Python server.
// There is none: what it is to show is handed to it by the page around it.
window.EventSource = class {
  constructor() {
    queueMicrotask(() => this.onopen?.(new Event("open")));
  }

  close() {}
};
