// The Huffman code of RFC 7541, Appendix B. The code is canonical, so the lengths alone determine it: codes are handed
// out in order of length, then of symbol. Decoding is a state machine that eats four bits a step (16 KiB of table).

/** Bits of each symbol's code, 0 to 255, and of EOS (256). */
const LENGTHS = Uint8Array.of(
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
  ...[28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
  ...[5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
  ...[7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
  ...[6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
  ...[24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
  ...[21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
  ...[19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
  ...[26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30,
);

const EOS = 256;

/** Each symbol's code, right-aligned. */
const CODES = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const codes = new Uint32Array(257);
  let code = 0;
  let length = 0;
  const order = [...LENGTHS.keys()].sort((a, b) => LENGTHS[a] - LENGTHS[b] || a - b);
  for (const symbol of order) {
    code *= 2 ** (LENGTHS[symbol] - length);
    length = LENGTHS[symbol];
    codes[symbol] = code++;
  }
  return codes;
}

/** A step that leaves the tree, or that spells EOS, is an error (RFC 7541, 5.2). */
const FAIL = 1 << 9;
/** A step that completes a symbol (kept in bits 16 to 23). */
const EMIT = 1 << 8;

/** STEPS[state * 16 + nibble] = next state | EMIT | symbol << 16, or FAIL. State 0 is the root. */
const STEPS = new Uint32Array(256 * 16);
/** Whether input may end in this state: at a symbol's end, or after up to seven one bits of padding. */
const ACCEPTING = new Uint8Array(256);
buildDecoder();

function buildDecoder(): void {
  // children[node * 2 + bit]: an inner node (> 0), a leaf (-1 - symbol), or 0 for none.
  const children = new Int16Array(256 * 2);
  let nodes = 1;
  for (let symbol = 0; symbol <= EOS; symbol++) {
    let node = 0;
    for (let bit = LENGTHS[symbol] - 1; bit > 0; bit--) {
      const at = node * 2 + ((CODES[symbol] >>> bit) & 1);
      if (children[at] === 0) children[at] = nodes++;
      node = children[at];
    }
    children[node * 2 + (CODES[symbol] & 1)] = -1 - symbol;
  }
  for (let state = 0; state < 256; state++) {
    for (let nibble = 0; nibble < 16; nibble++) STEPS[state * 16 + nibble] = step(children, state, nibble);
  }
  for (let depth = 0, node = 0; depth < 8; depth++, node = children[node * 2 + 1]) ACCEPTING[node] = 1;
}

function step(children: Int16Array, state: number, nibble: number): number {
  let node = state;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const child = children[node * 2 + ((nibble >> bit) & 1)];
    if (child >= 0) {
      node = child;
      continue;
    }
    const symbol = -1 - child;
    if (symbol === EOS) return FAIL;
    emitted = EMIT | symbol << 16;
    node = 0;
  }
  return node | emitted;
}

/** Upper bound of the bytes that `length` encoded bytes decode to: the shortest code has five bits. */
export function huffmanDecodedMax(length: number): number {
  return (length * 8 / 5) | 0;
}

/**
 * Decodes `bytes[start, end)` into `out` from its beginning; `out` has room for {@linkcode huffmanDecodedMax} bytes.
 *
 * @returns how many bytes were written, or -1 when the input holds EOS or is not padded with up to seven one bits
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number, out: Uint8Array): number {
  let state = 0;
  let at = 0;
  for (let i = start; i < end; i++) {
    const byte = bytes[i];
    const high = STEPS[(state << 4) | (byte >> 4)];
    if ((high & EMIT) !== 0) out[at++] = high >> 16;
    else if ((high & FAIL) !== 0) return -1;
    const low = STEPS[((high & 0xff) << 4) | (byte & 15)];
    if ((low & EMIT) !== 0) out[at++] = low >> 16;
    else if ((low & FAIL) !== 0) return -1;
    state = low & 0xff;
  }
  return ACCEPTING[state] === 1 ? at : -1;
}

/** Bytes that the Huffman form of `text` takes. */
export function huffmanEncodedLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i);
    bits += LENGTHS[symbol > 0xff ? 0x3f : symbol];
  }
  return (bits + 7) >>> 3;
}

/**
 * Writes the Huffman form of `text` to `out` at `at`. A character that is no byte is written as a question mark.
 *
 * @param limit where it has to end at the latest
 * @returns the offset after the last byte written, or -1 when there is no room for it
 */
export function huffmanEncode(text: string, out: Uint8Array, at: number, limit: number): number {
  // At most seven bits wait between symbols and a code has at most 30, so the code goes in by parts of up to 24 bits.
  let pending = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    let symbol = text.charCodeAt(i);
    if (symbol > 0xff) symbol = 0x3f;
    const code = CODES[symbol];
    let length = LENGTHS[symbol];
    if (length > 24) {
      pending = (pending << (length - 24)) | (code >>> 24);
      bits += length - 24;
      if (bits >= 8) {
        if (at >= limit) return -1;
        out[at++] = pending >>> (bits -= 8);
      }
      length = 24;
    }
    pending = (pending << length) | (code & 0xffffff);
    bits += length;
    while (bits >= 8) {
      if (at >= limit) return -1;
      out[at++] = pending >>> (bits -= 8);
    }
  }
  if (bits > 0) {
    if (at >= limit) return -1;
    out[at++] = (pending << (8 - bits)) | (0xff >>> bits);
  }
  return at;
}
