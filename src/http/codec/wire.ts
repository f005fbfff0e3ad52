import { U8 } from "../../sys/memory.ts";

/** Writes our own text, line ends included, at arena offset `at`; returns the offset behind it. For anything from elsewhere see `writeText()`. */
export function writeAscii(text: string, at: number): number {
  for (let i = 0; i < text.length; i++) U8[at++] = text.charCodeAt(i);
  return at;
}

/** Writes a request target or method; what would end it early is written as its percent form. */
export function writeTarget(text: string, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x20 && code < 0x7f) U8[at++] = code;
    else at = writeAscii(code > 0xff ? "%3F" : `%${code.toString(16).toUpperCase().padStart(2, "0")}`, at);
  }
  return at;
}

/** Writes a whole number. */
export function writeNumber(value: number, at: number): number {
  let digits = 1;
  for (let left = value; left >= 10; left = Math.floor(left / 10)) digits++;
  for (let i = digits - 1; i >= 0; i--) {
    U8[at + i] = 0x30 + value % 10;
    value = Math.floor(value / 10);
  }
  return at + digits;
}

export function lineEnd(at: number): number {
  U8[at] = 0x0d;
  U8[at + 1] = 0x0a;
  return at + 2;
}
