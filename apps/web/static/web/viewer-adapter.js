// All that touches neuroglancer (2.41.2): its state, its layers, its annotations, where a pixel lies.
// Points are (x, y, z) in the viewed frame, micrometres or samples, in double precision.  The client computes in single
// precision from a local origin: toLocal() and toFrame() are the only doors between the two.

const ATTEMPTS = 8;
// The client's own keys that may act: moving, zooming, turning.  The others would change what the page's controls show.
const KEYS = new Set([
  "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Comma", "Period", "KeyR", "KeyE", "KeyZ", "Equal", "Minus",
]);
const TYPES = { point: 0, axis_aligned_bounding_box: 2, polyline: 4 };

const pause = (milliseconds) => new Promise((resolve) => { setTimeout(resolve, milliseconds); });

async function until(find) {
  for (;;) {
    const found = find();
    if (found) return found;
    await pause(25);
  }
}

// A fresh load can lose the first layer of a state it is given: it is given again until all are there.
async function restore(viewer, state) {
  const wanted = state.layers.map((layer) => layer.name).join("\n");
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    viewer.state.restoreState(structuredClone(state));
    await pause(attempt === 1 ? 0 : 60 * attempt);
    if (viewer.layerManager.managedLayers.map((layer) => layer.name).join("\n") === wanted) return attempt;
  }
  throw new Error("the viewer's client does not keep its layers");
}

export async function start(frame, config) {
  const viewer = await until(() => frame.contentWindow?.viewer);
  for (const key of Object.keys(viewer.uiConfiguration)) viewer.uiConfiguration[key].value = false;
  const state = structuredClone(config.state);
  for (const layer of state.layers) {
    if (layer.source.url.startsWith("/")) layer.source.url = window.location.origin + layer.source.url;
  }
  const adapter = new Adapter(viewer, frame, config);
  adapter.attempts = await restore(viewer, state);
  await until(() => adapter.panels().some((panel) => panel.sliceView.projectionParameters.value.width > 0));
  await until(() => adapter.drawn(config.names.regions) && adapter.drawn(config.names.draft));
  return adapter;
}

class Adapter {
  constructor(viewer, frame, config) {
    this.viewer = viewer;
    this.frame = frame;
    this.origin = config.origin;
    this.unit = config.unit ?? 1;
    this.document = frame.contentDocument;
    frame.contentWindow.addEventListener("keydown", (event) => {
      if (!KEYS.has(event.code)) event.stopPropagation();
    }, { capture: true });
  }

  toLocal(point) { return point.map((value, axis) => (value - this.origin[axis]) / this.unit); }

  toFrame(point) { return Array.from(point, (value, axis) => value * this.unit + this.origin[axis]); }

  // ------------------------------------------------------------------------------------------------------- layers
  layer(name) { return this.viewer.layerManager.getLayerByName(name); }

  layerNames() { return this.viewer.layerManager.managedLayers.map((layer) => layer.name); }

  setVisible(name, visible) { this.layer(name)?.setVisible(visible); }

  setOpacity(name, opacity) { this.layer(name).layer.opacity.value = opacity; }

  setGrey(name, { window, limits, colour }) {
    this.layer(name).layer.shaderControlState.restoreState({ grey: { range: window, window: limits }, colour });
  }

  // Show another channel or time of a layer: the client keeps them as coordinates of its own, named c' and t'.
  setLocal(name, axis, index) {
    const { localPosition } = this.layer(name).layer;
    const at = localPosition.coordinateSpace.value.names.indexOf(`${axis}'`);
    const values = Float32Array.from(localPosition.value);
    values[at] = index;
    localPosition.value = values;
  }

  // Words of what went wrong with a layer's source; empty where nothing did.
  trouble(name) {
    const sources = this.layer(name)?.layer?.dataSources ?? [];
    return sources.map((source) => source.loadState?.error?.message ?? "").find(Boolean) ?? "";
  }

  // --------------------------------------------------------------------------------------------------------- view
  panels() {
    return [...this.viewer.display.panels].filter((panel) => panel.sliceView && panel.element.isConnected);
  }

  setLayout(layout) { this.viewer.state.restoreState({ layout }); }

  position() { return this.toFrame(this.viewer.navigationState.position.value); }

  moveTo(point) { this.viewer.state.restoreState({ position: this.toLocal(point) }); }

  // Length (or samples) that one pixel of the picture covers.
  scale() { return this.viewer.navigationState.zoomFactor.value * this.unit; }

  setScale(perPixel) { this.viewer.state.restoreState({ crossSectionScale: perPixel / this.unit }); }

  // Look straight on the plane that two axes span; `axes` holds a unit vector in each column.
  setAxes(axes) { this.viewer.state.restoreState({ crossSectionOrientation: quaternion(axes) }); }

  fit([low, high]) {
    const { logicalWidth, logicalHeight } = this.panels()[0].sliceView.projectionParameters.value;
    const room = [logicalWidth, logicalHeight, logicalHeight];
    this.setScale(Math.max(...room.map((pixels, axis) => (1.1 * (high[axis] - low[axis])) / pixels)));
  }

  // The point below a mouse event inside the client; null beside the pictures.
  pointAt(event) {
    for (const panel of this.panels()) {
      const box = panel.element.getBoundingClientRect();
      const right = event.clientX - box.left;
      const down = event.clientY - box.top;
      if (right < 0 || down < 0 || right >= box.width || down >= box.height) continue;
      const { invViewMatrix, logicalWidth, logicalHeight } = panel.sliceView.projectionParameters.value;
      const across = right - logicalWidth / 2;
      const below = down - logicalHeight / 2;
      return this.toFrame([0, 1, 2].map((axis) => (
        invViewMatrix[axis] * across + invViewMatrix[4 + axis] * below + invViewMatrix[12 + axis]
      )));
    }
    return null;
  }

  // -------------------------------------------------------------------------------------------------- annotations
  drawn(name) { return this.layer(name)?.layer?.localAnnotations; }

  // Make a layer's annotations those that are wanted: compared by id, only what differs is touched.
  draw(name, wanted) {
    const source = this.drawn(name);
    const ids = new Set(wanted.map((annotation) => annotation.id));
    for (const { id } of [...source]) if (!ids.has(id)) this.#removed(source, id);
    const known = new Map(source.toJSON().map((annotation) => [annotation.id, JSON.stringify(annotation)]));
    for (const annotation of wanted) {
      const made = this.#made(annotation);
      if (!known.has(annotation.id)) source.add(made);
      else {
        const reference = source.getReference(annotation.id);
        if (changed(reference.value, made)) source.update(reference, made);
        reference.dispose();
      }
    }
  }

  #removed(source, id) {
    const reference = source.getReference(id);
    source.delete(reference);
    reference.dispose();
  }

  #made({ id, type, points, description = "" }) {
    const local = points.map((point) => Float32Array.from(this.toLocal(point)));
    const made = { id, type: TYPES[type], description, properties: [], relatedSegments: [] };
    if (type === "point") return { ...made, point: local[0] };
    if (type === "polyline") return { ...made, points: local };
    return { ...made, pointA: local[0], pointB: local[1] };
  }
}

function changed(before, after) {
  const plain = (annotation) => JSON.stringify([
    annotation.type, annotation.description ?? "",
    [annotation.point, annotation.pointA, annotation.pointB, ...(annotation.points ?? [])].map((p) => p && Array.from(p)),
  ]);
  return plain(before) !== plain(after);
}

// Rotation matrix, rows first, to (x, y, z, w); Shepperd's method: the largest of the four is found first.
function quaternion(m) {
  const trace = m[0][0] + m[1][1] + m[2][2];
  const largest = Math.max(trace, m[0][0], m[1][1], m[2][2]);
  if (largest === trace) {
    const w = Math.sqrt(1 + trace) / 2;
    return [(m[2][1] - m[1][2]) / (4 * w), (m[0][2] - m[2][0]) / (4 * w), (m[1][0] - m[0][1]) / (4 * w), w];
  }
  const i = [0, 1, 2].find((axis) => m[axis][axis] === largest);
  const j = (i + 1) % 3;
  const k = (i + 2) % 3;
  const found = [0, 0, 0, 0];
  found[i] = Math.sqrt(1 + m[i][i] - m[j][j] - m[k][k]) / 2;
  found[j] = (m[j][i] + m[i][j]) / (4 * found[i]);
  found[k] = (m[k][i] + m[i][k]) / (4 * found[i]);
  found[3] = (m[k][j] - m[j][k]) / (4 * found[i]);
  return found;
}
