/** What a TLS client asks for before anything is encrypted. */
export interface ClientHello {
  /** Lower case; "" when it names none. */
  readonly serverName: string;
  readonly alpn: readonly string[];
}

const HANDSHAKE = 22, CLIENT_HELLO = 1, SERVER_NAME = 0, ALPN = 16;

/** Reads the ClientHello (RFC 8446, 4.1.2; RFC 6066, 3) that a connection begins with: "more" when it is incomplete, "bad" when it is none. */
export function readClientHello(bytes: Uint8Array): ClientHello | "more" | "bad" {
  // Records may split it anywhere.
  const message: number[] = [];
  let need = 4;
  for (let at = 0; message.length < need;) {
    if (bytes.length < at + 5) return bytes.length > at && bytes[at] !== HANDSHAKE ? "bad" : "more";
    const length = (bytes[at + 3] << 8) | bytes[at + 4];
    if (bytes[at] !== HANDSHAKE || bytes[at + 1] !== 3 || length === 0 || length > 16384) return "bad";
    const end = Math.min(bytes.length, at + 5 + length);
    for (let i = at + 5; i < end; i++) message.push(bytes[i]);
    if (message.length > 0 && message[0] !== CLIENT_HELLO) return "bad";
    if (message.length >= 4) need = 4 + ((message[1] << 16) | (message[2] << 8) | message[3]);
    if (message.length < need && end < at + 5 + length) return "more";
    at += 5 + length;
  }
  return fromMessage(Uint8Array.from(message.slice(0, need))) ?? "bad";
}

function fromMessage(hello: Uint8Array): ClientHello | undefined {
  const word = (at: number) => (hello[at] << 8) | hello[at + 1];
  let at = 4 + 2 + 32;
  at += 1 + hello[at]; // session id
  at += 2 + word(at); // cipher suites
  at += 1 + hello[at]; // compression methods
  let serverName = "";
  const alpn: string[] = [];
  if (at === hello.length) return { serverName, alpn };
  const end = at + 2 + word(at);
  if (!(end <= hello.length)) return undefined;
  for (at += 2; at < end;) {
    const type = word(at), length = word(at + 2), start = at + 4;
    at = start + length;
    if (!(at <= end)) return undefined;
    if (type === SERVER_NAME && length >= 5 && hello[start + 2] === 0) {
      const name = hello.subarray(start + 5, start + 5 + word(start + 3));
      if (start + 5 + name.length > at) return undefined;
      serverName = String.fromCharCode(...name).toLowerCase();
      if (!/^[a-z0-9._-]{1,255}$/.test(serverName)) return undefined;
    } else if (type === ALPN) {
      for (let i = start + 2; i < at;) {
        const bytes = hello.subarray(i + 1, i + 1 + hello[i]);
        alpn.push(String.fromCharCode(...bytes));
        i += 1 + hello[i];
      }
    }
  }
  return { serverName, alpn };
}
