// A quick look at a variable: read by zarrita from the decoded tree, never more than LIMIT values along an axis.
import * as zarr from "./zarrita.js";
import { drawImage, drawLine, formatter } from "./draw.js";

const LIMIT = 1024;
const MAX_VALUES = 4_000_000; // of what is read for one picture: the chunks that it touches

/** The attributes that change what values mean. */
function meaning(attributes) {
  const missing = [attributes._FillValue, attributes.missing_value].flat().filter((value) => typeof value === "number");
  return { missing, scale: attributes.scale_factor ?? 1, offset: attributes.add_offset ?? 0, units: attributes.units ?? "" };
}

function decoded(data, { missing, scale, offset }, fill) {
  const out = new Float64Array(data.length);
  const masked = new Set([...missing, ...(typeof fill === "number" ? [fill] : [])]);
  for (let i = 0; i < data.length; i += 1) {
    const value = Number(data[i]);
    out[i] = masked.has(value) ? NaN : value * scale + offset;
  }
  return out;
}

async function coordinate(root, variable, axis, bounds) {
  const dimension = variable.dimensions?.[axis];
  const index = { name: dimension ?? `axis ${axis}`, at: (i) => bounds.start + i * bounds.step, format: String };
  if (!dimension) return index;
  const folder = variable.path.split("/").slice(0, -1).join("/");
  try {
    const array = await zarr.open(root.resolve(folder ? `${folder}/${dimension}` : dimension), { kind: "array" });
    if (array.shape.length !== 1 || array.shape[0] !== variable.shape[axis]) return index;
    const read = await zarr.get(array, [zarr.slice(bounds.start, bounds.stop, bounds.step)]);
    const values = decoded(read.data, meaning(array.attrs), null);
    return { name: dimension, at: (i) => values[i], format: formatter(array.attrs) };
  } catch (error) {
    if (error instanceof zarr.NotFoundError) return index;
    throw error;
  }
}

/** Draw a variable into an element; sliders choose the position along the axes that are not drawn. */
export async function look(element, url, variable, make) {
  element.replaceChildren(make("p", {}, "Reading…"));
  const root = zarr.root(new zarr.FetchStore(url));
  const array = await zarr.open(root.resolve(variable.path), { kind: "array" });
  const rank = variable.shape.length;
  if (variable.shape.includes(0)) throw new Error("it holds no values");
  const kind = String(array.dtype);
  if (rank === 0 || /string|object|v2:|bool/.test(kind)) return text(element, array, variable, make);
  const drawn = rank === 1 ? [0] : [rank - 2, rank - 1];
  const bounds = drawn.map((axis) => ({ start: 0, stop: variable.shape[axis], step: Math.ceil(variable.shape[axis] / LIMIT) }));
  const touched = drawn.reduce((product, axis) => product * variable.shape[axis], 1);
  if (touched > MAX_VALUES) bounds.forEach((one, i) => {
    one.stop = Math.min(one.stop, Math.floor(Math.sqrt(MAX_VALUES)) * (drawn.length === 1 ? 1000 : 1), variable.shape[drawn[i]]);
    one.step = Math.ceil(one.stop / LIMIT);
  });
  const axes = await Promise.all(drawn.map((axis, i) => coordinate(root, variable, axis, bounds[i])));
  const position = new Array(rank - drawn.length).fill(0);
  const canvas = make("canvas", { width: 900, height: 480, tabindex: 0, role: "img" });
  const value = make("output", { id: "value" }, "");
  const what = meaning(array.attrs);
  const format = formatter(array.attrs);
  const fill = url.includes("/~v2-") ? variable.fill_value : null; // which Zarr 3 does not take for missing
  let turn = 0;

  async function draw() {
    const mine = (turn += 1);
    const selection = [...position, ...bounds.map((one) => zarr.slice(one.start, one.stop, one.step))];
    const read = await zarr.get(array, selection);
    if (mine !== turn) return;
    const values = decoded(read.data, what, fill);
    const label = `${variable.path} ${what.units}`.trim();
    canvas.setAttribute("aria-label", `${label}, ${read.shape.join(" by ")} values`);
    const show = (content) => { value.textContent = content; };
    if (drawn.length === 1) drawLine(canvas, values, axes[0], { label, format, show });
    else drawImage(canvas, values, read.shape, axes, { label, format, show });
    element.dataset.drawn = String(mine);
  }

  const others = await Promise.all(position.map((_, axis) => {
    const extent = variable.shape[axis];
    return coordinate(root, extent > 100_000 ? { path: variable.path } : variable, axis, { start: 0, stop: extent, step: 1 });
  }));
  const sliders = position.map((_, axis) => {
    const text = (i) => (others[axis].format === String ? String(i) : `${i}: ${others[axis].format(others[axis].at(i))}`);
    const input = make("input", { type: "range", min: 0, max: variable.shape[axis] - 1, value: 0 });
    const shown = make("output", {}, text(0));
    input.addEventListener("input", () => {
      position[axis] = Number(input.value);
      shown.textContent = text(Number(input.value));
      draw().catch((error) => { value.textContent = `Cannot be read: ${error.message}`; });
    });
    return make("label", {}, variable.dimensions?.[axis] ?? `axis ${axis}`, input, shown);
  });
  await draw();
  const cut = bounds.some((one, i) => one.stop < variable.shape[drawn[i]]) ? "The first part of it is shown. " : "";
  const thin = bounds.some((one) => one.step > 1) ? `Every ${bounds.map((one) => one.step).join(" by ")} values. ` : "";
  element.replaceChildren(make("div", { class: "controls" }, ...sliders), canvas,
    make("p", { class: "quiet" }, cut + thin, value));
}

async function text(element, array, variable, make) {
  const selection = variable.shape.map((extent, axis) => (axis === 0 ? zarr.slice(0, Math.min(extent, 100)) : zarr.slice(0, Math.min(extent, 20))));
  const read = await zarr.get(array, selection.length ? selection : null);
  const values = read?.data === undefined ? [read] : Array.from(read.data);
  element.replaceChildren(make("pre", { tabindex: 0 }, values.slice(0, 2000).map(String).join("\n")));
  element.dataset.drawn = "1";
}
