// The page: manifests, the variables of one, and one variable. State is in the address, so that links and the
// back button work. Text from files is only ever set as text, never as markup.
import { look } from "./look.js";
import { drawChunks } from "./draw.js";

const PAGE = 100;
const main = document.getElementById("main");
const trail = document.getElementById("trail");
const base = new URL(".", document.baseURI);

/** Make an element: attributes, then children (text or elements). */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
}

async function ask(what, parameters) {
  const url = new URL(`~api/${what}`, base);
  url.search = new URLSearchParams(parameters);
  const answer = await fetch(url);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.message);
  return body;
}

const hash = (parameters) => `#${new URLSearchParams(parameters)}`;
const path = (name) => name.split("/").map(encodeURIComponent).join("/");
export const treeUrl = (name, kind) => new URL(`~${kind}/${path(name)}`, base).href;
const plainUrl = (name) => new URL(path(name), base).href;

function size(bytes) {
  if (bytes === null || bytes === undefined) return "?";
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit ? bytes.toFixed(1) : bytes} ${units[unit]}`;
}

function pages(parameters, offset, total, shown) {
  const to = (start, text) => make("a", { href: hash({ ...parameters, offset: start }) }, text);
  return make("div", { class: "pages" },
    offset > 0 ? to(Math.max(offset - PAGE, 0), "← previous") : "",
    make("span", {}, total ? `${offset + 1}–${offset + shown} of ${total}` : "none"),
    offset + shown < total ? to(offset + PAGE, "next →") : "");
}

function search(parameters, label) {
  const input = make("input", { type: "search", value: parameters.q ?? "", id: "search" });
  const go = (event) => { event.preventDefault(); location.hash = hash({ ...parameters, q: input.value, offset: 0 }); };
  return make("form", { class: "controls", role: "search", onsubmit: go },
    make("label", { for: "search" }, label), input, make("button", {}, "Find"));
}

async function manifests(parameters) {
  const offset = Number(parameters.offset ?? 0);
  const found = await ask("manifests", { offset, limit: PAGE, q: parameters.q ?? "" });
  if (found.total === 1 && !parameters.q && !offset) return variables({ m: found.manifests[0] });
  const rows = found.manifests.map((name) => make("li", {}, make("a", { href: hash({ m: name }) }, name)));
  return [make("h2", {}, "Manifests"), search(parameters, "Name"), pages(parameters, offset, found.total, rows.length),
    make("ul", {}, ...rows)];
}

function row(name, variable) {
  if (variable.refused) {
    return make("tr", {}, make("td", {}, variable.path),
      make("td", { colspan: 7, class: "bad" }, `refused: ${variable.refused}`));
  }
  const missing = variable.present === null ? "?" : variable.cells - variable.present;
  const cell = (text) => make("td", {}, text);
  const number = (text) => make("td", { class: "number" }, text);
  return make("tr", {}, make("td", {}, make("a", { href: hash({ m: name, v: variable.path }) }, variable.path || "/")),
    cell((variable.dimensions ?? []).join(", ")), cell(variable.shape.join(" × ")), cell(variable.chunks.join(" × ")),
    cell(variable.dtype), cell(variable.codecs.join(", ")), number(size(variable.stored)), number(missing));
}

async function variables(parameters) {
  const name = parameters.m;
  const offset = Number(parameters.offset ?? 0);
  const found = await ask("manifest", { name, offset, limit: PAGE, q: parameters.q ?? "" });
  const heads = ["Variable", "Dimensions", "Shape", "Chunks", "Type", "Codecs", "Stored", "Missing"];
  const table = make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((text, i) => make("th", { scope: "col", ...(i > 5 ? { class: "number" } : {}) }, text)))),
    make("tbody", {}, ...found.variables.map((variable) => row(name, variable))));
  return [make("h2", {}, name),
    make("p", {}, `Zarr ${found.zarr_format}, ${found.total} variables, ${found.groups.length} groups, `
      + `${found.targets} files${found.refused ? `, ${found.refused} refused` : ""}`),
    search(parameters, "Variable"), pages(parameters, offset, found.total, found.variables.length),
    make("div", { class: "wide" }, table), attributes(found.attributes), howTo(name, found.zarr_format)];
}

function attributes(found) {
  const rows = Object.entries(found).map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name),
    make("td", {}, typeof value === "string" ? value : JSON.stringify(value))));
  return make("details", { open: "" }, make("summary", {}, `Attributes (${rows.length})`), make("table", {}, make("tbody", {}, ...rows)));
}

function snippets(name, format) {
  const url = plainUrl(name);
  const decoded = treeUrl(name, `v${format}-decoded`);
  return {
    "Python (xarray)": `import xarray as xr\nds = xr.open_zarr(${JSON.stringify(url)})`,
    "Python (zarr)": `import zarr\nroot = zarr.open_group(${JSON.stringify(url)}, mode="r")`,
    "JavaScript (zarrita)": `import * as zarr from "zarrita";\nconst root = await zarr.open(new zarr.FetchStore(${JSON.stringify(decoded)}), { kind: "group" });`,
    "Julia (Zarr)": `using Zarr\nroot = zopen(${JSON.stringify(treeUrl(name, "v2-decoded"))}, consolidated = true)`,
    GDAL: `gdalmdiminfo 'ZARR:"/vsicurl/${treeUrl(name, "v2-decoded")}"'`,
  };
}

function howTo(name, format) {
  const blocks = Object.entries(snippets(name, format)).map(([title, text]) => {
    const button = make("button", { type: "button", "aria-label": `Copy: ${title}` }, "Copy");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    });
    return make("section", {}, make("h3", {}, title), make("div", { class: "code" }, make("pre", { tabindex: 0 }, text), button));
  });
  return make("details", { id: "how" }, make("summary", {}, "How to open it"), ...blocks);
}

async function variable(parameters) {
  const [name, path_] = [parameters.m, parameters.v];
  const [whole, found] = await Promise.all([ask("manifest", { name, limit: 1 }), ask("variable", { name, path: path_ })]);
  const lines = [["Dimensions", (found.dimensions ?? []).join(", ") || "none"], ["Shape", found.shape.join(" × ") || "scalar"],
    ["Chunks", found.chunks.join(" × ")], ["Type", found.dtype], ["Codecs", found.codecs.join(", ") || "none"],
    ["Fill value", JSON.stringify(found.fill_value)], ["Stored", size(found.stored)],
    ["Chunks recorded", `${found.present ?? "?"} of ${found.cells}${found.inlined ? `, ${found.inlined} in the manifest` : ""}`]];
  const table = make("table", {}, make("tbody", {}, ...lines.map(([head, text]) =>
    make("tr", {}, make("th", { scope: "row" }, head), make("td", {}, text)))));
  const picture = make("section", { id: "look", "aria-label": "Quick look" });
  const parts = [make("h2", {}, path_ || "/"), table, make("h3", {}, "Quick look"), picture];
  if (found.map) {
    const section = make("section", { "aria-label": "Chunks" }, make("h3", {}, "Chunks"));
    drawChunks(section, found, make, size);
    parts.push(section);
  }
  parts.push(attributes(found.attributes), howTo(name, whole.zarr_format));
  look(picture, treeUrl(name, `v${whole.zarr_format}-decoded`), found, make).catch((error) => {
    picture.replaceChildren(make("p", { class: "bad", role: "alert" }, `Cannot be drawn: ${error.message}`));
  });
  return parts;
}

let turn = 0;
async function show() {
  const mine = (turn += 1);
  const parameters = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const view = parameters.v !== undefined ? variable : parameters.m !== undefined ? variables : manifests;
  let parts;
  try {
    parts = await view(parameters);
  } catch (error) {
    parts = [make("p", { class: "bad", role: "alert" }, error.message)];
  }
  if (mine !== turn) return;
  trail.replaceChildren(...(parameters.m === undefined ? [] : [make("a", { href: hash({ m: parameters.m }) }, parameters.m)]));
  main.replaceChildren(...parts);
  document.title = parameters.v ?? parameters.m ?? "refmaker";
  main.dataset.ready = location.hash;
}

addEventListener("hashchange", () => { show(); main.focus(); });
show();
