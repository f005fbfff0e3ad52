import { MeshError } from "../core/errors.ts";
import { allocate, BASE, I32, U8, VIEW, view } from "../sys/memory.ts";
import { type OpenSsl, openssl, opensslReason, readCString } from "../sys/openssl.ts";
import { BATCH, INPUT_BYTES } from "./buffers.ts";
import { ABORTED, flowError, type FlowErrorCode } from "./endpoint.ts";
import type { Reactor, Runnable } from "./reactor.ts";
import type { TlsContext, TlsErrorCode } from "./tls_context.ts";
import { type TlsRing, tlsRing } from "./tls_ring.ts";
import type { Timer } from "./timers.ts";
import { MAX_CARRY, Transport } from "./transport.ts";

/** What the handshake established about the peer. */
export interface TlsPeer {
  /** The peer's own certificate. */
  readonly leafDer: Uint8Array;
  /** `TLSv1.3` */
  readonly version: string;
  /** `TLS_AES_256_GCM_SHA384` */
  readonly cipher: string;
  /** Empty when the peer asked for none. */
  readonly alpn: string;
}

/** Called once when the handshake has ended; the transport is dead when there is an error. */
export type HandshakeCallback = (error: MeshError<TlsErrorCode> | null) => void;

const ERROR_WANT_READ = 2, ERROR_WANT_WRITE = 3, ERROR_ZERO_RETURN = 6;
const CTRL_SET_SERVER_NAME = 55, SERVER_NAME_HOST = 0n;
const SCRATCH = allocate(16);

/** TLS over something that carries its records: a socket, or a stream of another connection. */
export abstract class TlsTransport extends Transport implements Runnable {
  protected readonly reactor: Reactor;
  protected readonly ssl: OpenSsl = openssl();
  protected readonly ring: TlsRing = tlsRing();
  readonly #input: number;
  #handle: Deno.PointerValue;
  #handshake: HandshakeCallback | null;
  #timer: Timer | null;
  #carry: Uint8Array | null = null;
  #carryLength = 0;
  #peer: TlsPeer | null = null;
  #finishing = false;
  #inputEnded = false;
  #endTold = false;
  #paused = false;
  #outputEnded = false;
  #redeliver = false;
  #scheduled = false;

  /** `input` is the buffer to decrypt into; transports that may be read at the same time need different ones. */
  constructor(reactor: Reactor, context: TlsContext, input: number, timeoutMs: number, callback: HandshakeCallback) {
    super();
    this.reactor = reactor;
    this.#input = input;
    this.#handshake = callback;
    const handle = this.ssl.SSL_new(context.handle);
    if (handle === null) throw new MeshError("out_of_memory", `cannot begin a TLS connection: ${opensslReason()}`);
    this.#handle = handle;
    if (context.role === "server") this.ssl.SSL_set_accept_state(handle);
    else this.ssl.SSL_set_connect_state(handle);
    if (context.serverName !== null && context.role === "client") {
      this.ssl.SSL_ctrl(handle, CTRL_SET_SERVER_NAME, SERVER_NAME_HOST, context.serverName);
    }
    this.ssl.BIO_up_ref(this.ring.sink);
    this.ssl.SSL_set0_wbio(handle, this.ring.sink);
    this.#timer = reactor.setTimer(timeoutMs, () => this.#failHandshake("the handshake took too long"));
  }

  /** `SSL *`, for subclasses. */
  protected get handle(): Deno.PointerValue {
    return this.#handle;
  }

  override get open(): boolean {
    return this.#handle !== null;
  }

  protected get finishing(): boolean {
    return this.#finishing;
  }

  /** What the handshake established; read it in the callback or later. */
  get peer(): TlsPeer {
    return this.#peer!;
  }

  // --- what a carrier does

  /** Sends the first `bytes` bytes of the ring, or queues a copy. */
  protected abstract sendRecords(bytes: number): void;
  /** Whether everything sent so far has left. */
  protected abstract get drained(): boolean;
  /** Half-closes the carrier after what is queued; then waits for the peer's end, for a short time. */
  protected abstract finishCarrier(): void;
  /** Lets go of the carrier. */
  protected abstract releaseCarrier(reset: boolean): void;

  // --- input, called by carriers

  /** Records have arrived. */
  protected onRecords(): void {
    if (this.#handshake !== null) this.#step();
    else this.#read();
  }

  run(): void {
    this.#scheduled = false;
    if (this.#handle !== null) this.#read();
  }

  #step(): void {
    const ssl = this.ssl, handle = this.#handle;
    ssl.ERR_clear_error();
    const result = ssl.SSL_do_handshake(handle);
    const reason = result === 1 ? 0 : ssl.SSL_get_error(handle, result);
    // Whatever came of it, there may be records (an alert, even) to send.
    const records = this.ring.take();
    if (records > 0) this.sendRecords(records);
    if (this.#handle === null) return;
    if (result === 1) {
      this.#peer = this.#readPeer();
      this.#endHandshake(null);
      // The first request may have come in the same read as the end of the handshake.
      if (this.#handle !== null && this.consumer !== null) this.#read();
    } else if (reason !== ERROR_WANT_READ && reason !== ERROR_WANT_WRITE) {
      this.#failHandshake(this.#describeFailure());
    }
  }

  #describeFailure(): string {
    const reason = opensslReason();
    const verify = this.ssl.SSL_get_verify_result(this.#handle);
    if (verify !== 0n) return `${reason} (${readCString(this.ssl.X509_verify_cert_error_string(verify))})`;
    return reason === "no reason given" ? "the peer closed the connection" : reason;
  }

  #failHandshake(reason: string): void {
    const error = new MeshError<TlsErrorCode>(
      "tls_failure",
      `TLS handshake with "${this.remote.address}" failed: ${reason}`,
    );
    this.releaseCarrier(false);
    this.#free();
    this.#endHandshake(error);
  }

  #endHandshake(error: MeshError<TlsErrorCode> | null): void {
    const callback = this.#handshake;
    this.#handshake = null;
    this.#timer?.cancel();
    this.#timer = null;
    this.reactor.wantMicrotasks();
    callback?.(error);
  }

  #readPeer(): TlsPeer {
    const ssl = this.ssl, handle = this.#handle;
    const certificate = ssl.SSL_get1_peer_certificate(handle);
    let leafDer = new Uint8Array(0);
    if (certificate !== null) {
      const length = ssl.i2d_X509(certificate, 0);
      if (length > 0 && length <= INPUT_BYTES) {
        VIEW.setBigUint64(SCRATCH, BigInt(BASE + this.#input), true);
        ssl.i2d_X509(certificate, BASE + SCRATCH);
        leafDer = view(this.#input, length).slice();
      }
      ssl.X509_free(certificate);
    }
    ssl.SSL_get0_alpn_selected(handle, BASE + SCRATCH, BASE + SCRATCH + 8);
    const length = I32[(SCRATCH + 8) >> 2];
    const name = Deno.UnsafePointer.create(VIEW.getBigUint64(SCRATCH, true));
    return {
      leafDer,
      version: readCString(ssl.SSL_get_version(handle)),
      cipher: readCString(ssl.SSL_CIPHER_get_name(ssl.SSL_get_current_cipher(handle))),
      alpn: name === null ? "" : new TextDecoder().decode(new Deno.UnsafePointerView(name).getArrayBuffer(length)),
    };
  }

  /** Decrypts one batch into the input buffer and hands it to the consumer. */
  #read(): void {
    const ssl = this.ssl, handle = this.#handle, input = this.#input;
    if (this.#paused) return;
    if (this.#finishing) return this.discardInput();
    if (this.#inputEnded && !this.#redeliver) return this.discardInput();
    ssl.ERR_clear_error();
    let have = this.#carryLength;
    if (have > 0) {
      U8.set(have === this.#carry!.length ? this.#carry! : this.#carry!.subarray(0, have), input);
      this.#carryLength = 0;
    }
    const before = have;
    const redeliver = this.#redeliver;
    this.#redeliver = false;
    // What was left when input was paused goes first, alone: it may fill the buffer.
    let ended = this.#inputEnded, failed = false, more = redeliver;
    while (!ended && !redeliver) {
      // One record at most comes per call.
      const count = ssl.SSL_read(handle, BASE + input + have, INPUT_BYTES - have);
      if (count > 0) {
        have += count;
        if (ssl.SSL_has_pending(handle) === 0) break;
        if (have - before < BATCH) continue;
        more = true;
        break;
      }
      const reason = ssl.SSL_get_error(handle, count);
      if (reason === ERROR_ZERO_RETURN) ended = true;
      else if (reason !== ERROR_WANT_READ && reason !== ERROR_WANT_WRITE) failed = true;
      break;
    }
    // An answer to a key update, or an alert.
    const records = this.ring.take();
    if (records > 0) this.sendRecords(records);
    const consumer = this.consumer;
    if ((have > before || (redeliver && have > 0)) && consumer !== null && this.#handle !== null) {
      const consumed = consumer.onInput(input, have);
      if (this.#handle === null) return;
      if (consumed < have) this.#keep(input + consumed, have - consumed);
    } else if (have > 0) this.#keep(input, have);
    if (failed) this.fail("io", opensslReason());
    else if (ended) {
      this.#inputEnded = true;
      if (this.#paused || this.#endTold) return;
      this.#endTold = true;
      consumer?.onInputEnd();
    } else if (more || this.readsToEnd) this.schedule();
  }

  /** Whether input that OpenSSL already holds must be asked for (a socket says so itself when the kernel holds it). */
  protected get readsToEnd(): boolean {
    return false;
  }

  /** Reads again after the other connections have had their turn. */
  protected schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.reactor.again(this);
  }

  protected get paused(): boolean {
    return this.#paused;
  }

  override pauseInput(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.watchInput(false);
  }

  override resumeInput(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#redeliver = true;
    this.watchInput(true);
    this.schedule();
  }

  /** For carriers: whether input is wanted ({@linkcode paused} has changed). */
  protected abstract watchInput(on: boolean): void;

  /** After {@linkcode finish}: swallow what still arrives. */
  protected abstract discardInput(): void;

  #keep(at: number, bytes: number): void {
    if (bytes > MAX_CARRY && !this.#paused) return this.fail("io", "the peer sent an endless message");
    if (this.#carry === null || this.#carry.length < bytes) {
      this.#carry = new Uint8Array(Math.max(32, 1 << (32 - Math.clz32(bytes - 1))));
    }
    for (let i = 0; i < bytes; i++) this.#carry[i] = U8[at + i];
    this.#carryLength = bytes;
  }

  // --- output

  override write(at: number, bytes: number): void {
    const ssl = this.ssl;
    if (this.#handle === null || this.#outputEnded) return;
    while (bytes > 0) {
      const count = ssl.SSL_write(this.#handle, BASE + at, bytes);
      if (count <= 0) return this.fail("io", `cannot write: ${opensslReason()}`);
      at += count;
      bytes -= count;
    }
    const records = this.ring.take();
    if (records > 0) this.sendRecords(records);
  }

  /** For carriers: what was queued has gone out. */
  protected onDrained(): void {
    if (this.#finishing) this.finishCarrier();
    else if (this.#handshake === null) this.consumer?.onWritable();
  }

  override endOutput(): void {
    if (this.#handle === null || this.#outputEnded) return;
    this.#outputEnded = true;
    this.ssl.ERR_clear_error();
    this.ssl.SSL_shutdown(this.#handle);
    this.ssl.ERR_clear_error();
    const records = this.ring.take();
    if (records > 0) this.sendRecords(records);
  }

  override finish(): void {
    if (this.#handle === null || this.#finishing) return;
    this.endOutput();
    this.#finishing = true;
    if (this.#paused) {
      this.#paused = false;
      this.watchInput(true);
    }
    if (this.#handle !== null && this.drained) this.finishCarrier();
  }

  override abort(): void {
    this.end(ABORTED, true);
  }

  /** The carrier failed. */
  protected fail(code: FlowErrorCode, reason: string): void {
    if (this.#handshake !== null) return this.#failHandshake(reason);
    this.end(flowError(code, `connection with "${this.remote.address}:${this.remote.port}" failed: ${reason}`), false);
  }

  /** Everything is over. */
  protected end(error: MeshError<FlowErrorCode> | null, reset: boolean): void {
    if (this.#handle === null) return;
    this.releaseCarrier(reset);
    this.#free();
    const callback = this.#handshake;
    if (callback !== null) {
      this.#endHandshake(new MeshError("tls_failure", "the connection was given up during the TLS handshake"));
      return;
    }
    const consumer = this.consumer;
    this.consumer = null;
    consumer?.onTransportClosed(error);
  }

  #free(): void {
    if (this.#handle === null) return;
    this.ssl.SSL_free(this.#handle);
    this.#handle = null;
    this.#carry = null;
    this.#timer?.cancel();
  }
}
