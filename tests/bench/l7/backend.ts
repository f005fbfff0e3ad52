// The backend of the L7 bench: `backend.ts <HTTP/1.1 port> <HTTP/2 port>`. Answers `…/<n>` with n bytes; reads request bodies to their end.

import { serveHttp2 } from "../../../src/http/mod.ts";
import { Fields } from "../../../src/http/fields.ts";
import type { ServerStream } from "../../../src/http/stream.ts";
import { listenTcp, Reactor, tap, type TcpSocket } from "../../../src/net/mod.ts";
import { PlainTransport } from "../../../src/net/plain_transport.ts";

const [http1Port, http2Port] = Deno.args.map(Number);
const reactor = new Reactor();
reactor.start();

const bodies = new Map<number, Uint8Array<ArrayBuffer>>();
function body(size: number): Uint8Array<ArrayBuffer> {
  let known = bodies.get(size);
  if (!known) bodies.set(size, known = new Uint8Array(size).fill(0x78));
  return known;
}

const decoder = new TextDecoder(), encoder = new TextEncoder();
const answers = new Map<string, Uint8Array>();

function answerTo(size: string): Uint8Array {
  let known = answers.get(size);
  if (!known) {
    const head = encoder.encode(
      `HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: ${size}\r\n\r\n`,
    );
    known = new Uint8Array(head.length + Number(size));
    known.set(head);
    known.set(body(Number(size)), head.length);
    answers.set(size, known);
  }
  return known;
}

/** HTTP/1.1 of a proxy that is known to be well-behaved: the least that works. */
class Http1 {
  #text = "";
  /** Bytes of a request's body that are still to come. */
  #bodyLeft = 0;
  readonly #end;

  constructor(socket: TcpSocket) {
    this.#end = tap(socket, {
      onData: (bytes) => this.#take(bytes),
      onEnd: () => this.#end.end(),
    });
  }

  #take(bytes: Uint8Array): void {
    if (this.#bodyLeft >= bytes.length) {
      this.#bodyLeft -= bytes.length;
      return;
    }
    this.#text += decoder.decode(bytes.subarray(this.#bodyLeft));
    this.#bodyLeft = 0;
    for (;;) {
      const end = this.#text.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = this.#text;
      const path = head.slice(head.indexOf(" ") + 1, head.indexOf(" ", 5));
      const length = head.charCodeAt(0) === 0x50 ? Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0) : 0;
      const rest = this.#text.length - end - 4;
      this.#text = rest > length ? this.#text.slice(end + 4 + length) : "";
      this.#bodyLeft = Math.max(0, length - rest);
      this.#end.write(answerTo(path.slice(path.lastIndexOf("/") + 1)));
    }
  }
}

listenTcp(reactor, { address: "127.0.0.1", port: http1Port }, (socket) => void new Http1(socket));
listenTcp(reactor, { address: "127.0.0.1", port: http2Port }, (socket) => {
  const transport = new PlainTransport(reactor, socket, socket.remote, socket.local);
  serveHttp2(reactor, transport, { scheme: "http" }, {
    onRequest(stream: ServerStream) {
      const { path } = stream.request;
      const size = Number(path.slice(path.lastIndexOf("/") + 1));
      if (!stream.requestEnded) tap(stream.body, { onData: () => {} });
      const fields = Fields.of(["content-type", "application/octet-stream"]);
      stream.respond({ version: "HTTP/2", status: 200, fields, contentLength: size }, size === 0);
      if (size === 0) return;
      stream.body.write(body(size));
      stream.body.finish();
    },
  });
  transport.begin();
});
console.log("ready");
