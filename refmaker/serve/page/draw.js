// Drawing on a canvas: lines, images with a colour scale, the map of chunks. Nothing here knows of Zarr.

const LEFT = 80, BOTTOM = 40, TOP = 24, RIGHT = 110;
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"]
  .map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
const UNITS = { s: 1e3, sec: 1e3, second: 1e3, seconds: 1e3, min: 6e4, minute: 6e4, minutes: 6e4, h: 36e5, hour: 36e5,
  hours: 36e5, d: 864e5, day: 864e5, days: 864e5, ms: 1, milliseconds: 1, millisecond: 1 };

/** How values are written: as times where the attributes say so (CF), else as numbers. */
export function formatter(attributes) {
  const found = /^(\w+) since (.+)$/.exec(attributes.units ?? "");
  const plain = (attributes.calendar ?? "standard").toLowerCase();
  const since = found && Date.parse(found[2].trim().replace(" ", "T").replace(/( ?UTC|Z)?$/, "Z").replace(/^(\d+-\d+-\d+)Z$/, "$1T00:00:00Z"));
  const unit = found && UNITS[found[1].toLowerCase()];
  if (!found || !unit || Number.isNaN(since) || !["standard", "gregorian", "proleptic_gregorian"].includes(plain)) return number;
  return (value) => {
    const time = new Date(since + value * unit);
    return Number.isNaN(time.getTime()) ? number(value) : time.toISOString().slice(0, 16).replace("T", " ");
  };
}

function number(value) {
  if (Number.isNaN(value)) return "missing";
  return Number.isInteger(value) && Math.abs(value) < 1e9 ? String(value) : Number(value).toPrecision(5);
}

function range(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (Number.isFinite(value)) { if (value < low) low = value; if (value > high) high = value; }
  }
  return low > high ? [0, 1, true] : low === high ? [low - 0.5, high + 0.5, false] : [low, high, false];
}

function colour(part) {
  const at = Math.min(Math.max(part, 0), 1) * (VIRIDIS.length - 1);
  const first = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return VIRIDIS[first].map((one, i) => Math.round(one + (VIRIDIS[first + 1][i] - one) * (at - first)));
}

function begin(canvas) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = getComputedStyle(document.body).color;
  context.strokeStyle = context.fillStyle;
  return context;
}

function frame(context, box, horizontal, vertical, label) {
  context.strokeRect(box.x + 0.5, box.y + 0.5, box.width, box.height);
  context.textAlign = "center";
  for (const [part, text] of horizontal) context.fillText(text, box.x + part * box.width, box.y + box.height + 16);
  context.textAlign = "right";
  for (const [part, text] of vertical) context.fillText(text, box.x - 6, box.y + part * box.height + 4);
  context.textAlign = "left";
  context.fillText(label, box.x, 15);
}

const boxOf = (canvas) => ({ x: LEFT, y: TOP, width: canvas.width - LEFT - RIGHT, height: canvas.height - TOP - BOTTOM });
const steps = [0, 0.25, 0.5, 0.75, 1];

/** Call `show` with what is under the pointer, or under a cursor that arrow keys move. */
function pointed(canvas, box, counts, show) {
  const cursor = counts.map(() => 0);
  canvas.onpointermove = (event) => {
    const place = canvas.getBoundingClientRect();
    const x = ((event.clientX - place.left) * canvas.width / place.width - box.x) / box.width;
    const y = ((event.clientY - place.top) * canvas.height / place.height - box.y) / box.height;
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return;
    cursor[0] = Math.floor(x * counts[0]);
    if (counts.length > 1) cursor[1] = Math.floor(y * counts[1]);
    show(...cursor);
  };
  canvas.onkeydown = (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, -1], ArrowDown: [1, 1] }[event.key];
    if (!move || move[0] >= counts.length) return;
    event.preventDefault();
    cursor[move[0]] = Math.min(Math.max(cursor[move[0]] + move[1], 0), counts[move[0]] - 1);
    show(...cursor);
  };
}

/** Draw values along one axis. Gaps are where they are missing. */
export function drawLine(canvas, values, axis, { label, format, show }) {
  const context = begin(canvas), box = boxOf(canvas), [low, high] = range(values);
  const last = Math.max(values.length - 1, 1);
  frame(context, box, steps.map((part) => [part, axis.format(axis.at(Math.round(part * (values.length - 1))))]),
    steps.map((part) => [1 - part, format(low + part * (high - low))]), label);
  context.strokeStyle = "#3e7fd6";
  context.beginPath();
  let down = false;
  values.forEach((value, i) => {
    const x = box.x + (i / last) * box.width, y = box.y + (1 - (value - low) / (high - low)) * box.height;
    if (!Number.isFinite(value)) down = false;
    else if (down) context.lineTo(x, y);
    else { context.moveTo(x, y); context.lineTo(x + 1, y); down = true; }
  });
  context.stroke();
  pointed(canvas, box, [values.length], (i) => show(`${axis.name} ${axis.format(axis.at(i))}: ${format(values[i])}`));
}

/** Draw values on a plane. Rows run upwards where their coordinate does. Missing values are left transparent. */
export function drawImage(canvas, values, [rows, columns], [vertical, horizontal], { label, format, show }) {
  const context = begin(canvas), box = boxOf(canvas), [low, high, none] = range(values);
  const up = vertical.at(rows - 1) > vertical.at(0) && vertical.format !== String;
  const image = new ImageData(columns, rows);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const value = values[(up ? rows - 1 - row : row) * columns + column];
      if (Number.isFinite(value)) image.data.set([...colour((value - low) / (high - low)), 255], 4 * (row * columns + column));
    }
  }
  const buffer = new OffscreenCanvas(columns, rows);
  buffer.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(buffer, box.x, box.y, box.width, box.height);
  const at = (axis, count, part) => axis.format(axis.at(Math.round(part * (count - 1))));
  frame(context, box, steps.map((part) => [part, at(horizontal, columns, part)]),
    steps.map((part) => [part, at(vertical, rows, up ? 1 - part : part)]), none ? `${label}: all values are missing` : label);
  for (let i = 0; i < 100; i += 1) {
    context.fillStyle = `rgb(${colour(1 - i / 99)})`;
    context.fillRect(canvas.width - RIGHT + 16, box.y + (i * box.height) / 100, 16, box.height / 100 + 1);
  }
  context.fillStyle = getComputedStyle(document.body).color;
  for (const part of steps) context.fillText(format(low + part * (high - low)), canvas.width - RIGHT + 38, box.y + (1 - part) * box.height + 4);
  pointed(canvas, box, [columns, rows], (column, seen) => {
    const row = up ? rows - 1 - seen : seen;
    show(`${vertical.name} ${vertical.format(vertical.at(row))}, ${horizontal.name} ${horizontal.format(horizontal.at(column))}: ${format(values[row * columns + column])}`);
  });
}

/** Draw which parts of the chunk grid are recorded. */
export function drawChunks(element, variable, make, size) {
  const { each, present, inlined, stored, target } = variable.map;
  const last = variable.grid.at(-1) ?? 1;
  const across = each === 1 && last <= 256 ? last : Math.min(Math.ceil(Math.sqrt(present.length * 2)), 128);
  const down = Math.max(Math.ceil(present.length / across), 1);
  const side = Math.max(Math.min(Math.floor(900 / across), 18), 3);
  const missing = variable.cells - (variable.present ?? 0);
  const canvas = make("canvas", { width: across * side, height: down * side, tabindex: 0, role: "img",
    "aria-label": `Map of ${variable.cells} chunks, ${missing} of them missing` });
  const context = canvas.getContext("2d");
  present.forEach((count, i) => {
    const whole = Math.min(each, variable.cells - i * each), held = count + inlined[i];
    context.fillStyle = held === 0 ? "#b3261e" : held < whole ? "#d98e04" : inlined[i] ? "#3e7fd6" : "#2b7a3d";
    context.fillRect((i % across) * side, Math.floor(i / across) * side, side - 1, side - 1);
  });
  const said = make("p", { class: "quiet" }, "Green: in a file; blue: in the manifest; orange: some missing; red: missing (reads as the fill value).");
  const show = (column, row) => {
    const i = row * across + column;
    if (i >= present.length) return;
    const first = i * each, stop = Math.min(first + each, variable.cells);
    const name = each === 1 ? `Chunk ${first}` : `Chunks ${first} to ${stop - 1}`;
    said.textContent = `${name}: ${present[i]} in files, ${inlined[i]} in the manifest, ${size(stored[i])}`
      + (target[i] >= 0 ? `, file ${target[i]}` : "");
  };
  pointed(canvas, { x: 0, y: 0, width: canvas.width, height: canvas.height }, [across, down], show);
  element.append(canvas, said);
}
