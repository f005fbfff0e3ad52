import { Buffer } from "node:buffer";
import { MeshError } from "../core/errors.ts";
import { huffmanDecode, huffmanDecodedMax } from "./hpack_huffman.ts";
import { STATIC_LENGTH, STATIC_NAMES, STATIC_VALUES } from "./hpack_static.ts";
import { DynamicTable, ENTRY_OVERHEAD } from "./hpack_table.ts";

/**
 * `hpack`: the block is malformed and the table is lost, a connection error COMPRESSION_ERROR (RFC 9113, 4.3).
 * `hpack_list_too_large`: the block was read to its end and the table is sound, so that one request may be refused and
 * the connection live on.
 */
export type HpackErrorCode = "hpack" | "hpack_list_too_large";

/** No integer of a sensible block is larger: lengths are bounded by the block, table sizes by the setting. */
const MAX_INTEGER = 0x0fffffff;

const latin1Slice: (this: Uint8Array, start: number, end: number) => string = (Buffer.prototype as any).latin1Slice;

/**
 * Decodes header blocks of one connection, in order (RFC 7541). Names and values come as strings with one byte (0 to
 * 255) in each character; nothing of HTTP is checked here. Memory is bounded by the table size and by the longest block:
 * headers beyond `maxHeaderListSize` (counted as SETTINGS_MAX_HEADER_LIST_SIZE does) are parsed and not handed out.
 */
export class HpackDecoder {
  readonly #table: DynamicTable;
  readonly #maxHeaderListSize: number;
  /** What the peer's updates may not exceed: our SETTINGS_HEADER_TABLE_SIZE. */
  #limit: number;
  /** Our limit fell below the table's capacity, so the next block has to begin with an update (4.2). */
  #updateDue = false;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #end = 0;
  #scratch: Uint8Array = new Uint8Array(512);

  constructor(maxTableSize = 4096, maxHeaderListSize = 65536) {
    this.#limit = maxTableSize;
    this.#table = new DynamicTable(maxTableSize);
    this.#maxHeaderListSize = maxHeaderListSize;
  }

  /** Bytes held in the dynamic table, as RFC 7541, 4.1 counts them. */
  get tableSize(): number {
    return this.#table.size;
  }

  /** Takes effect once the peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE: call it then. */
  setMaxTableSize(size: number): void {
    this.#limit = size;
    if (size < this.#table.capacity) this.#updateDue = true;
  }

  /**
   * Decodes one complete header block, `bytes[start, end)`, and calls `onHeader` for each header in order.
   *
   * @throws MeshError of {@linkcode HpackErrorCode}; headers before the fault have been handed out by then
   */
  decode(bytes: Uint8Array, start: number, end: number, onHeader: (name: string, value: string) => void): void {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    let listSize = 0;
    let updatesAllowed = true;
    while (this.#at < end) {
      const first = bytes[this.#at];
      let name: string | undefined;
      let value: string | undefined;
      if (first >= 0x80) {
        const index = this.#integer(0x7f);
        name = this.#nameAt(index);
        value = index <= STATIC_LENGTH ? STATIC_VALUES[index] : this.#table.value(index - STATIC_LENGTH - 1);
        listSize += name.length + value.length + ENTRY_OVERHEAD;
      } else if (first >= 0x40) {
        const index = this.#integer(0x3f);
        name = index === 0 ? this.#string() : this.#nameAt(index);
        value = this.#string();
        this.#requireUpdate();
        this.#table.add(name, value);
        listSize += name.length + value.length + ENTRY_OVERHEAD;
      } else if (first >= 0x20) {
        if (!updatesAllowed) throw malformed("a table size update stands after a header");
        this.#update(this.#integer(0x1f));
        continue;
      } else {
        // Never-indexed (0001) and not-indexed (0000) literals differ only for whoever encodes them again.
        const index = this.#integer(0x0f);
        name = index === 0 ? this.#string() : this.#nameAt(index);
        value = this.#string();
        listSize += name.length + value.length + ENTRY_OVERHEAD;
      }
      this.#requireUpdate();
      updatesAllowed = false;
      if (listSize <= this.#maxHeaderListSize) onHeader(name, value);
    }
    this.#bytes = EMPTY;
    if (listSize > this.#maxHeaderListSize) {
      throw new MeshError<HpackErrorCode>(
        "hpack_list_too_large",
        `the headers take ${listSize} bytes, more than the ${this.#maxHeaderListSize} allowed`,
        { source: "downstream" },
      );
    }
  }

  #requireUpdate(): void {
    if (this.#updateDue) throw malformed("the block does not begin with the table size update that is due");
  }

  #update(size: number): void {
    if (size > this.#limit) throw malformed(`the table size update to ${size} exceeds the limit of ${this.#limit}`);
    this.#table.setCapacity(size);
    this.#updateDue = false;
  }

  #nameAt(index: number): string {
    if (index === 0 || index > STATIC_LENGTH + this.#table.length) {
      throw malformed(`index ${index} is outside the tables`);
    }
    return index <= STATIC_LENGTH ? STATIC_NAMES[index] : this.#table.name(index - STATIC_LENGTH - 1);
  }

  /** RFC 7541, 5.1; `mask` covers the prefix. The caller has seen that the first byte is there. */
  #integer(mask: number): number {
    let value = this.#bytes[this.#at++] & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 28; shift += 7) {
      if (this.#at >= this.#end) throw malformed("the block ends within an integer");
      const byte = this.#bytes[this.#at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) {
        if (value > MAX_INTEGER) break;
        return value;
      }
    }
    throw malformed("an integer is too large");
  }

  #string(): string {
    if (this.#at >= this.#end) throw malformed("the block ends where a string should begin");
    const huffman = this.#bytes[this.#at] >= 0x80;
    const length = this.#integer(0x7f);
    const start = this.#at;
    if (length > this.#end - start) throw malformed("a string is longer than the block");
    this.#at = start + length;
    if (!huffman) return latin1(this.#bytes, start, this.#at);
    const room = huffmanDecodedMax(length);
    if (room > this.#scratch.length) {
      if (room > 65536) return this.#largeHuffman(start, room);
      this.#scratch = new Uint8Array(Math.max(room, this.#scratch.length * 2));
    }
    return this.#huffman(start, this.#scratch);
  }

  /** A string so long that its buffer is not worth keeping. */
  #largeHuffman(start: number, room: number): string {
    return this.#huffman(start, new Uint8Array(room));
  }

  #huffman(start: number, out: Uint8Array): string {
    const written = huffmanDecode(this.#bytes, start, this.#at, out);
    if (written < 0) throw malformed("a Huffman string holds EOS or wrong padding");
    return latin1(out, 0, written);
  }
}

const EMPTY = new Uint8Array(0);

/** Measured under Deno 2.9: the loop wins below ten characters, the call from there on. */
function latin1(bytes: Uint8Array, start: number, end: number): string {
  if (end - start >= 10) return latin1Slice.call(bytes, start, end);
  let text = "";
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i]);
  return text;
}

function malformed(what: string): MeshError<HpackErrorCode> {
  return new MeshError<HpackErrorCode>("hpack", `cannot decode the header block: ${what}`, { source: "downstream" });
}
