// What the programs of this folder share: header names as Go's net/http shows them, and the few bytes of protocol buffers that they need.

/** `x-request-id` as `X-Request-Id`; a name with characters that no header has stays as it is. */
export function canonicalName(name: string): string {
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)) return name;
  return name.toLowerCase().replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}

/** The header of a request without `Host` and without pseudo-headers: every value of every name, names sorted. */
export function headerLists(pairs: Iterable<readonly [string, string]>): Map<string, string[]> {
  const lists = new Map<string, string[]>();
  for (const [name, value] of pairs) {
    const canonical = canonicalName(name);
    if (name.startsWith(":") || canonical === "Host") continue;
    const list = lists.get(canonical);
    if (list) list.push(value);
    else lists.set(canonical, [value]);
  }
  return new Map([...lists].sort(([a], [b]) => a < b ? -1 : 1));
}

/** `[name, value, name, value]`, as Node has it, in pairs. */
export function* pairsOf(raw: readonly string[]): Iterable<readonly [string, string]> {
  for (let i = 0; i + 1 < raw.length; i += 2) yield [raw[i], raw[i + 1]];
}

const encoder = new TextEncoder(), decoder = new TextDecoder();

function varint(value: number): number[] {
  return value < 128 ? [value] : [value & 127 | 128, ...varint(value >>> 7)];
}

/** A field of a message that holds text or another message; nothing when it is empty, as proto3 has it. */
export function field(number: number, value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === "string" ? encoder.encode(value) : value;
  return bytes.length === 0
    ? bytes
    : joined(Uint8Array.from([...varint(number << 3 | 2), ...varint(bytes.length)]), bytes);
}

export function joined(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The text in a field of a message, "" when it is not there or the message is not one. */
export function textOf(message: Uint8Array, number: number): string {
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35 && at < message.length; shift += 7) {
      const byte = message[at++];
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
    throw new RangeError("a number is cut short");
  };
  try {
    while (at < message.length) {
      const tag = next();
      if ((tag & 7) === 0) next();
      else if ((tag & 7) === 2) {
        const length = next();
        if (tag >>> 3 === number) return decoder.decode(message.subarray(at, at + length));
        at += length;
      } else return "";
    }
  } catch {
    // Not a message.
  }
  return "";
}
