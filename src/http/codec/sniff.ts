import type { MeshError } from "../../core/errors.ts";
import { PREFACE } from "../../h2/constants.ts";
import type { H2Stream } from "../../h2/stream.ts";
import { PLAIN } from "../../net/buffers.ts";
import { Endpoint, type EndpointMonitor, type FlowErrorCode } from "../../net/endpoint.ts";
import type { Reactor } from "../../net/reactor.ts";
import { TcpSocket } from "../../net/tcp_socket.ts";
import type { Timer } from "../../net/timers.ts";
import { U8 } from "../../sys/memory.ts";
import { readClientHello } from "./client_hello.ts";

/** What the first bytes of a connection look like. `none`: the client waits for the server to speak first. */
export type SniffedProtocol = "http1" | "http2" | "tls" | "other" | "none" | "closed";

export type SniffCallback = (protocol: SniffedProtocol, serverName: string, alpn: readonly string[]) => void;

/** The most that is looked at: a ClientHello may be long. */
const MAX_SNIFFED = 16 * 1024;
const METHOD = /^[A-Z]{1,20}$/;

/**
 * Looks at the first bytes that a client sends, at most until `timeoutMs`, and leaves them in place: `end` is joined, or given to a
 * transport, afterwards as if nothing had been read. With `tls` come the ClientHello's server name ("" when there is none) and protocols. With `closed`
 * the end is gone. Called back once, perhaps before this returns (a stream may hold its first bytes already).
 */
export function sniffProtocol(
  reactor: Reactor,
  end: TcpSocket | H2Stream,
  timeoutMs: number,
  callback: SniffCallback,
): void {
  new Sniffer(reactor, end, timeoutMs, callback).begin();
}

class Sniffer extends Endpoint implements EndpointMonitor {
  #bytes = new Uint8Array(0);
  #callback: SniffCallback | null;
  readonly #timer: Timer;

  constructor(reactor: Reactor, readonly end: TcpSocket | H2Stream, timeoutMs: number, callback: SniffCallback) {
    super();
    this.#callback = callback;
    this.#timer = reactor.setTimer(timeoutMs, () => this.#decide(this.#bytes.length > 0 ? "other" : "none"));
  }

  begin(): void {
    const { end } = this;
    this.partner = end;
    end.partner = this;
    end.monitor = this;
    if (end.open) end.resume();
    else this.onEndpointDone(end, end.error);
  }

  override prepare(): number {
    // A socket asks for room: its bytes stay in the kernel, so that TLS can begin on it as well.
    if (this.#callback === null || !(this.end instanceof TcpSocket)) return 0;
    const bytes = this.end.peek(PLAIN, MAX_SNIFFED);
    if (bytes >= 0) {
      this.#bytes = U8.slice(PLAIN, PLAIN + bytes);
      this.#look(bytes === 0);
    }
    return 0;
  }

  override commit(): void {}

  override push(at: number, bytes: number): void {
    this.#take(at, bytes);
  }

  #take(at: number, bytes: number): void {
    const have = this.#bytes;
    this.#bytes = new Uint8Array(have.length + bytes);
    this.#bytes.set(have);
    this.#bytes.set(U8.subarray(at, at + bytes), have.length);
    this.#look(false);
  }

  #look(ended: boolean): void {
    const bytes = this.#bytes;
    if (bytes.length > 0 && bytes[0] === 0x16) {
      const hello = readClientHello(bytes);
      if (hello === "more" && !ended && bytes.length < MAX_SNIFFED) return;
      if (typeof hello === "string") return this.#decide(hello === "more" ? "tls" : "other");
      return this.#decide("tls", hello.serverName, hello.alpn);
    }
    const protocol = classify(bytes);
    if (protocol !== null) this.#decide(protocol);
    else if (ended || bytes.length >= MAX_SNIFFED) this.#decide(bytes.length === 0 ? "none" : "other");
  }

  #decide(protocol: SniffedProtocol, serverName = "", alpn: readonly string[] = []): void {
    const callback = this.#callback;
    if (callback === null) return;
    this.#callback = null;
    this.#timer.cancel();
    const { end } = this;
    this.open = false;
    if (end.open) {
      end.partner = null;
      end.monitor = null;
      if (this.#bytes.length > 0 && !(end instanceof TcpSocket)) end.unread(this.#bytes);
    }
    this.#bytes = new Uint8Array(0);
    callback(protocol, serverName, alpn);
  }

  override finish(): void {
    // Told again to whoever is joined next.
    if (this.end.open && !(this.end instanceof TcpSocket)) this.end.unreadEnd();
    this.#look(true);
  }

  override finishAll(): void {
    this.finish();
  }

  onEndpointDone(_end: Endpoint, _error: MeshError<FlowErrorCode> | null): void {
    this.#decide("closed");
  }

  override write(): void {}
  override get queued(): number {
    return 0;
  }
  override abort(): void {}
  override resume(): void {}
  override consumed(): void {}
  override close(): void {}
}

/** What plain bytes are; null when more are needed. */
function classify(bytes: Uint8Array): SniffedProtocol | null {
  let same = 0;
  while (same < bytes.length && same < PREFACE.length && bytes[same] === PREFACE.charCodeAt(same)) same++;
  if (same === PREFACE.length) return "http2";
  if (same === bytes.length) return null;
  // METHOD SP target SP HTTP/1.
  let at = 0;
  while (at < bytes.length && bytes[at] >= 0x41 && bytes[at] <= 0x5a) at++;
  if (at === bytes.length) return at > 20 ? "other" : null;
  if (bytes[at] !== 0x20 || !METHOD.test(String.fromCharCode(...bytes.subarray(0, Math.min(at, 21))))) return "other";
  for (at++; at < bytes.length && bytes[at] > 0x20 && bytes[at] < 0x7f; at++);
  if (at === bytes.length) return null;
  if (bytes[at] !== 0x20) return "other";
  const version = String.fromCharCode(...bytes.subarray(at + 1, at + 8));
  if (version.length < 7) return "HTTP/1.".startsWith(version) ? null : "other";
  return version === "HTTP/1." ? "http1" : "other";
}
