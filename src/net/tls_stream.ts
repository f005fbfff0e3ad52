import type { MeshError } from "../core/errors.ts";
import { BASE } from "../sys/memory.ts";
import { openssl } from "../sys/openssl.ts";
import type { SocketAddress } from "../sys/socket_address.ts";
import { BATCH, INNER_INPUT, PLAIN } from "./buffers.ts";
import { type Carried, CarrierEnd } from "./carried.ts";
import type { Endpoint, FlowErrorCode } from "./endpoint.ts";
import type { Reactor } from "./reactor.ts";
import type { TlsContext } from "./tls_context.ts";
import { type HandshakeCallback, TlsTransport } from "./tls_transport.ts";
import type { Timer } from "./timers.ts";

const MAX_QUEUED = 2 * 1024 * 1024;
const LINGER_MS = 1000;
const BIO_C_SET_BUF_MEM_EOF_RETURN = 130;

/**
 * TLS within a stream of another connection: the inner tunnel of double HBONE. Records are copied in and out, which a
 * socket's are not.
 */
export class TlsStream extends TlsTransport implements Carried {
  readonly #end: CarrierEnd;
  readonly #carrier: Endpoint;
  readonly #source: Deno.PointerValue;
  #released = false;
  #owed = 0;
  #linger: Timer | null = null;

  constructor(
    reactor: Reactor,
    carrier: Endpoint,
    context: TlsContext,
    readonly remote: SocketAddress,
    readonly local: SocketAddress,
    timeoutMs: number,
    callback: HandshakeCallback,
  ) {
    super(reactor, context, INNER_INPUT, timeoutMs, callback);
    const ssl = openssl();
    this.#carrier = carrier;
    this.#source = ssl.BIO_new(ssl.BIO_s_mem());
    ssl.SSL_set0_rbio(this.handle, this.#source);
    this.#end = new CarrierEnd(this, carrier);
    if (context.role === "client") this.onRecords();
    this.#end.begin();
  }

  inputAt(): number {
    return this.paused ? 0 : PLAIN;
  }

  onBytes(at: number, bytes: number): void {
    if (!this.open || this.finishing) return;
    this.ssl.BIO_write(this.#source, BASE + at, bytes);
    this.onRecords();
  }

  onPushed(at: number, bytes: number): void {
    this.onBytes(at, bytes);
    // Paused: records wait in OpenSSL, and not more than the outer stream's window.
    if (this.paused) this.#owed += bytes;
    else this.#carrier.consumed(bytes);
  }

  protected override watchInput(on: boolean): void {
    if (!on) return;
    const owed = this.#owed;
    this.#owed = 0;
    if (owed > 0) this.#carrier.consumed(owed);
    this.#carrier.resume();
  }

  onBytesEnd(): void {
    if (this.finishing) return this.end(null, false);
    // A memory BIO that is empty asks for more; told that this is the end, it reports it.
    this.ssl.BIO_ctrl(this.#source, BIO_C_SET_BUF_MEM_EOF_RETURN, 0n, null);
    this.onRecords();
  }

  onCarrierRoom(): void {
    if (this.open) this.onDrained();
  }

  onCarrierDone(error: MeshError<FlowErrorCode> | null): void {
    if (error !== null) this.fail(error.code, error.message);
    else this.end(null, false);
  }

  /** The memory BIO says nothing by itself: read until it is empty. */
  protected override get readsToEnd(): boolean {
    return this.ssl.BIO_ctrl_pending(this.#source) > 0;
  }

  protected override sendRecords(bytes: number): void {
    // A copy: what carries us may write to the same ring before it has taken everything.
    this.#carrier.write(this.ring.bytes.slice(0, bytes));
    if (this.#carrier.queued > MAX_QUEUED) this.fail("io", "the peer does not read");
  }

  override get writable(): boolean {
    return this.open && !this.finishing && this.#carrier.queued < BATCH;
  }

  protected override get drained(): boolean {
    return this.#carrier.queued === 0;
  }

  protected override finishCarrier(): void {
    this.#carrier.finish();
    this.#linger ??= this.reactor.setTimer(LINGER_MS, () => this.end(null, false));
  }

  protected override discardInput(): void {}

  protected override releaseCarrier(reset: boolean): void {
    if (this.#released) return;
    this.#released = true;
    this.#linger?.cancel();
    this.#carrier.monitor = null;
    if (reset) this.#carrier.abort();
    else this.#carrier.close();
  }
}
