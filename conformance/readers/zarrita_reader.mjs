// zarrita's ReferenceStore. Urls of files are given to it as a fetch that reads files: it has none of its own.
import { createInterface } from "node:readline";
import { readFileSync, openSync, readSync, fstatSync, closeSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as zarr from "zarrita";
import { ReferenceStore } from "@zarrita/storage";

// What a server would answer: 404 where there is no file, 206 with a part, 416 behind the end.
const served = async (input, options) => {
  const url = typeof input === "string" ? input : input.url ?? input.href;
  const headers = new Headers(options?.headers ?? input.headers);
  if (!url.startsWith("file:")) return stock(input, options);
  let file;
  try { file = openSync(fileURLToPath(url)); if (!fstatSync(file).isFile()) throw new Error("folder"); }
  catch { return new Response(null, { status: 404 }); }
  try {
    const size = fstatSync(file).size;
    const range = headers.get("range")?.match(/^bytes=(\d+)-(\d+)$/);
    if (!range) return new Response(readFileSync(file));
    const [start, last] = [Number(range[1]), Math.min(Number(range[2]), size - 1)];
    if (start > last) return new Response(null, { status: 416 });
    const data = new Uint8Array(last - start + 1);
    readSync(file, data, 0, data.length, start);
    return new Response(data, { status: 206 });
  } finally { closeSync(file); }
};
const stock = globalThis.fetch;
globalThis.fetch = served;

// Paths of this machine are no urls, which are all that zarrita takes: those below the folder of the case become urls.
const asUrls = (folder) => (_, value) => typeof value !== "string" || !value.startsWith(folder) ? value
  : value.includes("{{") ? "file://" + value : pathToFileURL(value).href;

const SIZES = { bool: "b1", int8: "i1", uint8: "u1", int16: "i2", uint16: "u2", int32: "i4", uint32: "u4", int64: "i8",
  uint64: "u8", float32: "f4", float64: "f8" };
const hex = (data) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");
const told = (error) => ({ error: `${error?.name}: ${error?.message}`.slice(0, 300) });

// zarrita gives data with strides; they are put in C order here.
const ordered = ({ data, shape, stride }) => {
  const count = shape.reduce((a, b) => a * b, 1);
  const plain = data.get ? Array.from({ length: data.length }, (_, i) => (data.get(i) ? 1 : 0)) : data;
  const out = data.get ? new Uint8Array(count) : new data.constructor(count);
  const index = shape.map(() => 0);
  for (let at = 0; at < count; at++) {
    out[at] = plain[index.reduce((sum, i, axis) => sum + i * stride[axis], 0)];
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
  return out;
};

const read = async (store, path) => {
  try {
    const array = await zarr.open(zarr.root(store).resolve(path), { kind: "array" });
    const got = await zarr.get(array);
    if (array.shape.length === 0) {
      const one = typeof got === "bigint" ? BigInt64Array.of(got) : Int16Array.of(got);
      return { dtype: SIZES[array.dtype], shape: [], values: [String(got)], hex: hex(one) };
    }
    const data = ordered(got);
    return { dtype: SIZES[array.dtype] ?? array.dtype, shape: got.shape, values: Array.from(data, String), hex: hex(data) };
  } catch (error) { return told(error); }
};

const key = async (store, name) => {
  try {
    const data = await store.get("/" + name);
    return { hex: data === undefined ? null : hex(data) };
  } catch (error) { return told(error); }
};

const answer = async ({ manifest, parquet, arrays, keys }) => {
  try {
    if (parquet) throw new Error("zarrita reads no Parquet sets");
    const store = await ReferenceStore.fromSpec(JSON.parse(readFileSync(manifest, "utf8"), asUrls(dirname(manifest))));
    const found = { arrays: {}, keys: {} };
    for (const path of arrays) found.arrays[path] = await read(store, path);
    for (const name of keys) found.keys[name] = await key(store, name);
    return found;
  } catch (error) {
    const all = (names) => Object.fromEntries(names.map((name) => [name, told(error)]));
    return { arrays: all(arrays), keys: all(keys) };
  }
};

const version = (name) => JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;
console.log(JSON.stringify({ reader: `zarrita ${version("zarrita")}, @zarrita/storage ${version("@zarrita/storage")}` }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
}
