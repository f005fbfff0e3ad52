import { inflateRawSync } from "node:zlib";

const END = 0x06054b50, CENTRAL = 0x02014b50, LOCAL = 0x04034b50;
const STORED = 0, DEFLATED = 8;

/**
 * The files of a zip archive below a folder, by their names in it (APPNOTE.TXT 4.3; no Zip64, no encryption: Go modules have neither).
 * Throws RangeError or Error for what is not such an archive: it is for archives whose checksum is known.
 */
export function unzip(archive: Uint8Array, folder: string): Map<string, Uint8Array> {
  const view = new DataView(archive.buffer, archive.byteOffset, archive.byteLength);
  let end = archive.byteLength - 22;
  while (view.getUint32(end, true) !== END) end--;
  const files = new Map<string, Uint8Array>();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (view.getUint32(at, true) !== CENTRAL) throw new Error(`no entry of the central directory at ${at}`);
    const method = view.getUint16(at + 10, true), size = view.getUint32(at + 20, true);
    const nameLength = view.getUint16(at + 28, true), local = view.getUint32(at + 42, true);
    const name = new TextDecoder().decode(archive.subarray(at + 46, at + 46 + nameLength));
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (!name.startsWith(folder) || name.endsWith("/")) continue;
    if (view.getUint32(local, true) !== LOCAL) throw new Error(`${name} is not where the central directory says`);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const data = archive.subarray(start, start + size);
    if (method !== STORED && method !== DEFLATED) throw new Error(`${name} is packed by method ${method}`);
    files.set(name, method === STORED ? data : inflateRawSync(data));
  }
  return files;
}
