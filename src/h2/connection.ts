import { MeshError } from "../core/errors.ts";
import type { Reactor, Runnable } from "../net/reactor.ts";
import { flowError, type FlowErrorCode } from "../net/endpoint.ts";
import type { Timer } from "../net/timers.ts";
import type { Transport, TransportConsumer } from "../net/transport.ts";
import { U8 } from "../sys/memory.ts";
import { Budget } from "./budget.ts";
import * as h2 from "./constants.ts";
import { fieldOf, type HeaderFields, malformedHeaders } from "./headers.ts";
import { type FrameSink, H2Input, word } from "./input.ts";
import type { H2Options } from "./options.ts";
import { H2Output } from "./output.ts";
import { H2Stream, type H2StreamHandler } from "./stream.ts";

/** How a connection ended other than in order. */
export type H2ErrorCode = "h2_protocol" | "h2_goaway" | "h2_ping_timeout" | FlowErrorCode;

/** What the owner of a connection is told. */
export interface H2Handler {
  /** Server: a request. Answer with `connection.respond()`; bytes flow once the stream has a partner. */
  onRequest?(stream: H2Stream, headers: HeaderFields, endStream: boolean): void;
  /** The peer's first SETTINGS have arrived: the connection is usable. */
  onReady?(): void;
  /** The number of streams we may open has changed, or a stream has ended. */
  onCapacity?(): void;
  /** Server: a request was refused before anybody saw it: malformed (400, though what is sent is RST_STREAM) or too large (431). */
  onRefused?(status: number, reason: string): void;
  /** The peer is going away: open no more streams here. */
  onGoaway?(code: number): void;
  /** The connection is over; null after an orderly end. Called once, after every stream has been told. */
  onClosed?(error: MeshError<H2ErrorCode> | null): void;
}

/** Wasteful frames (see Budget): the burst a busy honest peer may cause, and what it may cause for ever. */
const WASTE_BURST = 4000, WASTE_PER_SECOND = 200;
/** Streams reset by the peer before we answered: each made us work for nothing (CVE-2023-44487). */
const RESET_BURST = 1000, RESET_PER_SECOND = 100;
/** Ids of streams that we reset lately, whose last frames may still be under way. */
const REMEMBERED_RESETS = 128;
/** How long the final GOAWAY waits for the answer to a PING when draining. */
const DRAIN_NOTICE_MS = 1000;

/**
 * One HTTP/2 connection, either side, over any {@linkcode Transport} (RFC 9113).
 *
 * What a frame means, and what must be said. Frames are read in input.ts and written in output.ts; bytes of a stream are in stream.ts.
 */
export class H2Connection implements TransportConsumer, FrameSink, Runnable {
  readonly reactor: Reactor;
  readonly transport: Transport;
  readonly role: "client" | "server";
  readonly options: H2Options;
  /** What the owner knows about the peer: its identity, say. */
  peer: unknown = null;
  #handler: H2Handler;
  readonly #streams = new Map<number, H2Stream>();
  readonly #waiting = new Set<H2Stream>();
  readonly #waste: Budget;
  readonly #resets: Budget;
  readonly #recentResets: number[] = [];

  // Output.
  readonly #out: H2Output;
  /** Bytes of DATA we may still send on the connection. */
  sendWindow: number = h2.DEFAULT_WINDOW;
  #peerWindow: number = h2.DEFAULT_WINDOW;
  #peerStreams = 100;
  /** Client: the peer takes CONNECT with `:protocol` (RFC 8441). */
  extendedConnect = false;
  #nextId: number;

  // Input.
  readonly #in: H2Input;
  #settled = false;
  #receiveWindow: number;
  #uncredited = 0;
  #held = 0;
  #dataStream: H2Stream | null = null;
  #dataEnd = false;
  #lastPeerId = 0;

  // Life.
  #closed = false;
  #failed: MeshError<H2ErrorCode> | null = null;
  #goawaySent = false;
  #goawayReceived = false;
  #draining = false;
  #pingTimer: Timer | null = null;
  #pingSent = false;
  #drainTimer: Timer | null = null;

  constructor(
    reactor: Reactor,
    transport: Transport,
    role: "client" | "server",
    options: H2Options,
    handler: H2Handler,
  ) {
    this.reactor = reactor;
    this.transport = transport;
    this.role = role;
    this.options = options;
    this.#out = new H2Output(reactor, transport, this);
    this.#handler = handler;
    this.#in = new H2Input(this, role, options);
    this.#waste = new Budget(WASTE_BURST, WASTE_PER_SECOND, reactor.now);
    this.#resets = new Budget(RESET_BURST, RESET_PER_SECOND, reactor.now);
    this.#nextId = role === "client" ? 1 : 2;
    this.#receiveWindow = Math.max(options.connectionWindow, h2.DEFAULT_WINDOW);
    transport.consumer = this;
    this.#begin();
    if (options.pingIntervalMs > 0) {
      this.#pingTimer = reactor.setTimer(options.pingIntervalMs, () => this.#onPingTimer());
    }
  }

  // --- facts

  get closed(): boolean {
    return this.#closed;
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Client: streams that may still be opened now. */
  get capacity(): number {
    if (this.#closed || this.#failed || this.#goawayReceived || this.#draining || this.#nextId > 0x7ffffff0) return 0;
    return Math.max(0, this.#peerStreams - this.#streams.size);
  }

  /** Streams that the peer lets us have open at once; 100 until it says. */
  get peerMaxStreams(): number {
    return this.#peerStreams;
  }

  /** Bytes received that nobody has taken yet. */
  get held(): number {
    return this.#held;
  }

  // --- what owners do

  /** Client: sends a request; null when there is no capacity. */
  request(headers: HeaderFields, endStream: boolean, handler: H2StreamHandler): H2Stream | null {
    if (this.capacity === 0) return null;
    const id = this.#nextId;
    this.#nextId += 2;
    const stream = new H2Stream(this, id, handler, this.#peerWindow, this.options.streamWindow);
    this.#streams.set(id, stream);
    this.#sendHeaders(stream, headers, endStream);
    return stream;
  }

  /** Server: answers a request (a 1xx may come before). */
  respond(stream: H2Stream, headers: HeaderFields, endStream: boolean): void {
    if (!stream.open || stream.localEnded) return;
    this.#sendHeaders(stream, headers, endStream);
    if (endStream) stream.settle();
    else if (stream.headersSent && stream.queued > 0) this.waitForRoom(stream);
  }

  /** Ends our side of a stream with trailers; everything written must have gone out. */
  sendTrailers(stream: H2Stream, headers: HeaderFields): void {
    if (!stream.open || stream.localEnded) return;
    this.#sendHeaders(stream, headers, true);
    stream.settle();
  }

  /** Goes away gracefully: what runs may finish, nothing new begins. */
  drain(): void {
    if (this.#draining || this.#closed || this.#failed) return;
    this.#draining = true;
    if (this.role === "server") {
      // First a GOAWAY that still allows what is under way, then the real one (RFC 9113, 6.8).
      this.#sendGoaway(h2.MAX_WINDOW, h2.NO_ERROR);
      this.#goawaySent = false;
      this.#drainTimer = this.reactor.setTimer(DRAIN_NOTICE_MS, () => this.#finalGoaway());
    } else {
      this.#finalGoaway();
    }
  }

  #finalGoaway(): void {
    if (this.#closed) return;
    this.#sendGoaway(this.#lastPeerId, h2.NO_ERROR);
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (this.#streams.size > 0 || this.#closed) return;
    if ((this.#draining && this.#goawaySent) || this.#goawayReceived) this.#finish(null);
  }

  /** Ends the connection at once with GOAWAY; open streams fail. */
  close(code: number = h2.NO_ERROR): void {
    if (this.#closed) return;
    this.#sendGoaway(this.#lastPeerId, code);
    this.#finish(flowError("closed", "the HTTP/2 connection was closed"));
  }

  /** Ends the connection at once without a word. */
  abort(): void {
    this.transport.abort();
  }

  /** Counts a request that was refused for what it says as useless (see Budget); false when that was one too many and the connection ends. */
  countRefusal(): boolean {
    return this.#spend(1);
  }

  // --- TransportConsumer

  onInput(at: number, bytes: number): number {
    return this.#in.take(at, bytes);
  }

  onInputEnd(): void {
    this.#finish(this.#streams.size > 0 ? flowError("closed", "the peer ended the connection") : null);
  }

  onWritable(): void {
    this.#resumeWaiting();
  }

  onTransportClosed(error: MeshError<FlowErrorCode> | null): void {
    this.#conclude(
      this.#failed ?? error ?? (this.#streams.size > 0 ? flowError("closed", "the connection ended") : null),
    );
  }

  // --- FrameSink

  onFrameError(code: number, reason: string): void {
    this.#fail(code, reason);
  }

  onUnknownFrame(): void {
    this.#spend(1);
  }

  onDataFrame(id: number, length: number, payload: number, endStream: boolean): void {
    const stream = this.#streams.get(id) ?? null;
    if (stream === null && this.#isIdle(id)) return this.#fail(h2.PROTOCOL_ERROR, `DATA on the idle stream ${id}`);
    if (length > this.#receiveWindow) {
      return this.#fail(h2.FLOW_CONTROL_ERROR, "DATA exceeds the connection's window");
    }
    if (payload === 0 && !endStream && !this.#spend(1)) return;
    this.#receiveWindow -= length;
    this.#uncredited += length;
    this.#dataStream = null;
    this.#dataEnd = endStream;
    if (stream === null) {
      if (this.#spend(1) && !this.#recentResets.includes(id)) this.sendReset(id, h2.STREAM_CLOSED);
    } else if (stream.remoteEnded) {
      stream.reset(h2.STREAM_CLOSED);
    } else if (!stream.headersReceived) {
      stream.reset(h2.PROTOCOL_ERROR);
    } else if (length > stream.receiveWindow) {
      stream.reset(h2.FLOW_CONTROL_ERROR);
    } else {
      stream.receiveWindow -= length;
      this.#dataStream = stream;
      if (payload > 0) this.#waste.earn(1 + (payload >> 10));
      // Padding is consumed as it comes.
      if (length > payload) {
        stream.held += length - payload;
        this.#held += length - payload;
        stream.consumed(length - payload);
      }
    }
    this.#credit();
  }

  onDataPayload(at: number, bytes: number): void {
    const stream = this.#dataStream;
    if (stream === null || !stream.open) return;
    if (stream.expected >= 0) {
      stream.expected -= bytes;
      if (stream.expected < 0) return stream.malformed("a body is longer than its Content-Length");
    }
    this.#held += bytes;
    stream.onData(at, bytes);
  }

  onDataEnd(): void {
    const stream = this.#dataStream;
    this.#dataStream = null;
    if (!this.#dataEnd || stream === null || !stream.open) return;
    if (stream.expected > 0) stream.malformed("a body is shorter than its Content-Length");
    else stream.onRemoteEnd();
  }

  onHeaderBlock(
    id: number,
    fields: HeaderFields,
    endStream: boolean,
    tooLarge: boolean,
    selfDependent: boolean,
  ): void {
    const stream = this.#streams.get(id);
    if (selfDependent) {
      if (stream) return stream.malformed("it depends on itself");
      return this.#fail(h2.PROTOCOL_ERROR, `the stream ${id} depends on itself`);
    }
    if (stream) return this.#laterHeaders(stream, fields, endStream, tooLarge);
    if (this.role === "client" || id % 2 === 0) {
      // Otherwise it is the end of a stream that we have reset.
      if (this.#isIdle(id)) this.#fail(h2.PROTOCOL_ERROR, `HEADERS on the stream ${id}, which we did not open`);
      return;
    }
    if (id <= this.#lastPeerId) {
      if (!this.#recentResets.includes(id)) this.#fail(h2.STREAM_CLOSED, `HEADERS on the closed stream ${id}`);
      return;
    }
    this.#lastPeerId = id;
    this.#newRequest(id, fields, endStream, tooLarge);
  }

  #newRequest(id: number, fields: HeaderFields, ended: boolean, tooLarge: boolean): void {
    if (this.#goawaySent) return; // after the final GOAWAY: the peer knows that it was not processed
    if (this.#streams.size >= this.options.maxConcurrentStreams) {
      if (this.#spend(1)) this.sendReset(id, h2.REFUSED_STREAM);
      return;
    }
    if (tooLarge && !this.#spend(1)) return;
    const problem = tooLarge ? undefined : malformedHeaders(fields, "request", this.options.extendedConnect);
    if (problem !== undefined) {
      if (this.#spend(1)) this.sendReset(id, h2.PROTOCOL_ERROR);
      this.#handler.onRefused?.(400, problem);
      return;
    }
    const stream = new H2Stream(this, id, null, this.#peerWindow, this.options.streamWindow);
    stream.headersReceived = true;
    this.#streams.set(id, stream);
    if (ended) stream.endsAtOnce();
    this.reactor.wantContinuations();
    if (tooLarge) {
      this.#handler.onRefused?.(431, "the headers are too large, or too many");
      this.respond(stream, [[":status", "431"]], true);
      if (stream.open) stream.reset(h2.NO_ERROR);
      return;
    }
    this.#handler.onRequest?.(stream, fields, ended);
  }

  /** A response, an informational one before it, or trailers. */
  #laterHeaders(stream: H2Stream, fields: HeaderFields, ended: boolean, tooLarge: boolean): void {
    if (stream.remoteEnded) return stream.reset(h2.STREAM_CLOSED);
    if (tooLarge) return stream.malformed("the headers are too large, or too many", h2.ENHANCE_YOUR_CALM);
    this.reactor.wantContinuations();
    if (stream.headersReceived) {
      if (!ended || malformedHeaders(fields, "trailers") !== undefined) return stream.malformed("malformed trailers");
      if (stream.expected > 0) return stream.malformed("a body is shorter than its Content-Length");
      stream.onRemoteEnd(fields);
      return;
    }
    const problem = malformedHeaders(fields, "response");
    if (problem !== undefined) return stream.malformed(problem);
    const informational = fieldOf(fields, ":status")!.startsWith("1");
    if (informational && (ended || !this.#spend(1))) return stream.malformed("an informational answer at the end");
    if (!informational) {
      stream.headersReceived = true;
      stream.responseHeaders = fields;
    }
    stream.handler?.onHeaders?.(stream, fields, ended);
    if (ended && stream.open) stream.onRemoteEnd();
  }

  onPriority(id: number, length: number, dependency: number): void {
    if (!this.#spend(1) || (length === 5 && dependency !== id)) return;
    const code = length === 5 ? h2.PROTOCOL_ERROR : h2.FRAME_SIZE_ERROR;
    const stream = this.#streams.get(id);
    if (stream) stream.malformed("a PRIORITY frame that cannot be", code);
    else this.#fail(code, "a PRIORITY frame of the wrong length, or of a stream that depends on itself");
  }

  onResetFrame(id: number, code: number): void {
    if (this.#isIdle(id)) return this.#fail(h2.PROTOCOL_ERROR, `RST_STREAM on the idle stream ${id}`);
    const stream = this.#streams.get(id);
    if (!stream) return void this.#spend(1);
    if (this.role === "server" && !stream.headersSent && !this.#resets.spend(1, this.reactor.now)) {
      return this.#fail(h2.ENHANCE_YOUR_CALM, "the client resets its requests too fast");
    }
    stream.onRemoteReset(code);
  }

  onSettings(at: number, length: number): void {
    const first = !this.#settled;
    if (!first && !this.#spend(1 + length / 60)) return;
    for (let i = at; i < at + length; i += 6) {
      if (!this.#applySetting((U8[i] << 8) | U8[i + 1], word(i + 2))) return;
    }
    this.#out.settingsAck();
    this.#settled = true;
    this.reactor.wantMicrotasks();
    if (first) this.#handler.onReady?.();
    else this.#handler.onCapacity?.();
  }

  #applySetting(setting: number, value: number): boolean {
    switch (setting) {
      case h2.SETTINGS_HEADER_TABLE_SIZE:
        this.#out.setHeaderTableSize(value);
        return true;
      case h2.SETTINGS_ENABLE_PUSH:
        if (value > 1 || (value === 1 && this.role === "client")) {
          return this.#refuse(h2.PROTOCOL_ERROR, "SETTINGS_ENABLE_PUSH");
        }
        return true;
      case h2.SETTINGS_MAX_CONCURRENT_STREAMS:
        this.#peerStreams = value;
        return true;
      case h2.SETTINGS_INITIAL_WINDOW_SIZE: {
        if (value > h2.MAX_WINDOW) return this.#refuse(h2.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE");
        const difference = value - this.#peerWindow;
        this.#peerWindow = value;
        for (const stream of this.#streams.values()) {
          stream.sendWindow += difference;
          if (stream.sendWindow > h2.MAX_WINDOW) {
            return this.#refuse(h2.FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE");
          }
        }
        if (difference > 0) this.#resumeWaiting();
        return true;
      }
      case h2.SETTINGS_MAX_FRAME_SIZE:
        if (value < h2.DEFAULT_FRAME_SIZE || value > h2.MAX_FRAME_SIZE) {
          return this.#refuse(h2.PROTOCOL_ERROR, "SETTINGS_MAX_FRAME_SIZE");
        }
        this.#out.maxFrame = value;
        return true;
      case h2.SETTINGS_ENABLE_CONNECT_PROTOCOL:
        if (value > 1 || (value === 0 && this.extendedConnect)) {
          return this.#refuse(h2.PROTOCOL_ERROR, "SETTINGS_ENABLE_CONNECT_PROTOCOL");
        }
        this.extendedConnect = value === 1;
        return true;
      default:
        return true; // unknown settings are ignored, and the header list size is advice
    }
  }

  #refuse(code: number, name: string): false {
    this.#fail(code, `a value of ${name} that is not allowed`);
    return false;
  }

  onPing(at: number, ack: boolean): void {
    if (!ack) {
      if (this.#spend(1)) this.#out.ping(at);
      return;
    }
    if (!this.#pingSent) return;
    this.#pingSent = false;
    if (this.#pingTimer) this.reactor.resetTimer(this.#pingTimer, this.options.pingIntervalMs);
  }

  onGoawayFrame(last: number, code: number): void {
    if (!this.#spend(1)) return;
    this.#goawayReceived = true;
    if (this.role === "client") {
      const reason = `the peer went away before it took the request (${h2.errorName(code)})`;
      for (const stream of [...this.#streams.values()]) {
        if (stream.id > last) stream.onConnectionClosed(flowError("closed", reason), h2.REFUSED_STREAM);
      }
    }
    this.#handler.onGoaway?.(code);
    this.#endIfIdle();
  }

  onWindowUpdate(id: number, increment: number): void {
    if (!this.#spend(0.5)) return;
    if (id === 0) {
      if (increment === 0) return this.#fail(h2.PROTOCOL_ERROR, "a WINDOW_UPDATE of nothing");
      this.sendWindow += increment;
      if (this.sendWindow > h2.MAX_WINDOW) {
        return this.#fail(h2.FLOW_CONTROL_ERROR, "the connection's window overflows");
      }
      return this.#resumeWaiting();
    }
    const stream = this.#streams.get(id);
    if (!stream) {
      if (this.#isIdle(id)) this.#fail(h2.PROTOCOL_ERROR, `WINDOW_UPDATE on the idle stream ${id}`);
      return;
    }
    if (increment === 0) return stream.reset(h2.PROTOCOL_ERROR);
    stream.sendWindow += increment;
    if (stream.sendWindow > h2.MAX_WINDOW) return stream.reset(h2.FLOW_CONTROL_ERROR);
    if (this.#waiting.delete(stream)) stream.onRoom();
  }

  /** Whether a stream has never been opened. */
  #isIdle(id: number): boolean {
    const ours = (id % 2 === 1) === (this.role === "client");
    return ours ? id >= this.#nextId : id > this.#lastPeerId;
  }

  #spend(cost: number): boolean {
    if (this.#waste.spend(cost, this.reactor.now)) return true;
    this.#fail(h2.ENHANCE_YOUR_CALM, "the peer sends too many frames that do nothing");
    return false;
  }

  // --- flow control in

  /** A stream's partner has taken bytes. */
  onConsumed(bytes: number): void {
    this.#held -= bytes;
    this.#credit();
  }

  /**
   * The connection's window is credited on receipt, so that one slow stream does not stop the others, for as long as what
   * we hold altogether stays within it.
   */
  #credit(): void {
    if (this.#uncredited < this.options.connectionWindow >> 2 || this.#held > this.options.connectionWindow) return;
    const bytes = this.#uncredited;
    this.#uncredited = 0;
    this.#receiveWindow += bytes;
    this.sendWindowUpdate(0, bytes);
  }

  // --- out

  #begin(): void {
    const { options } = this;
    if (this.role === "client") this.#out.preface();
    const settings: [number, number][] = [
      [h2.SETTINGS_INITIAL_WINDOW_SIZE, Math.max(options.streamWindow, h2.DEFAULT_WINDOW)],
      [h2.SETTINGS_MAX_FRAME_SIZE, options.maxFrameSize],
      [h2.SETTINGS_MAX_HEADER_LIST_SIZE, options.maxHeaderListSize],
      this.role === "client"
        ? [h2.SETTINGS_ENABLE_PUSH, 0]
        : [h2.SETTINGS_MAX_CONCURRENT_STREAMS, options.maxConcurrentStreams],
    ];
    if (options.extendedConnect) settings.push([h2.SETTINGS_ENABLE_CONNECT_PROTOCOL, 1]);
    this.#out.settings(settings);
    if (options.connectionWindow > h2.DEFAULT_WINDOW) {
      this.sendWindowUpdate(0, options.connectionWindow - h2.DEFAULT_WINDOW);
    }
  }

  #sendHeaders(stream: H2Stream, headers: HeaderFields, endStream: boolean): void {
    if (endStream) stream.localEnded = true;
    if (fieldOf(headers, ":status")?.charCodeAt(0) !== 0x31) stream.headersSent = true;
    if (!this.#out.headers(stream.id, headers, endStream)) stream.reset(h2.INTERNAL_ERROR);
  }

  /** Streams: our side is over. */
  sendEnd(stream: H2Stream): void {
    stream.localEnded = true;
    this.#out.end(stream.id);
  }

  sendReset(id: number, code: number): void {
    if (this.#recentResets.length >= REMEMBERED_RESETS) this.#recentResets.shift();
    this.#recentResets.push(id);
    this.#out.reset(id, code);
  }

  sendWindowUpdate(id: number, bytes: number): void {
    this.#out.windowUpdate(id, bytes);
  }

  #sendGoaway(last: number, code: number): void {
    if (this.#goawaySent) return;
    this.#goawaySent = true;
    this.#out.goaway(last, code);
  }

  #onPingTimer(): void {
    if (this.#closed) return;
    if (this.#pingSent) {
      this.#failed = new MeshError("h2_ping_timeout", `"${this.transport.remote.address}" does not answer a PING`);
      if (this.role === "server") this.#sendGoaway(this.#lastPeerId, h2.NO_ERROR);
      this.#out.stage.flush();
      this.transport.abort();
      return;
    }
    this.#pingSent = true;
    this.#out.ping();
    this.reactor.resetTimer(this.#pingTimer!, this.options.pingTimeoutMs);
  }

  /** Streams: room for payload, see {@linkcode H2Output.prepareData}; 0 means wait for `onRoom()`. */
  prepareData(stream: H2Stream, contiguous = false): number {
    const window = Math.min(stream.sendWindow, this.sendWindow);
    if (window > 0 && this.transport.writable) {
      const room = this.#out.prepareData(stream, window, contiguous);
      if (room > 0) return room;
    }
    this.#waiting.add(stream);
    return 0;
  }

  /** Streams: `bytes` bytes are where {@linkcode prepareData} said. */
  commitData(stream: H2Stream, bytes: number): void {
    stream.sendWindow -= bytes;
    this.sendWindow -= bytes;
    this.#waste.earn(1 + (bytes >> 10));
    this.#out.commitData(stream, bytes);
  }

  /** Streams: call `onRoom()` when windows and transport allow. */
  waitForRoom(stream: H2Stream): void {
    this.#waiting.add(stream);
    if (stream.headersSent && stream.sendWindow > 0 && this.sendWindow > 0 && this.transport.writable) {
      this.#out.stage.schedule();
    }
  }

  /** In turn, until the window is used up: those that have had none are first next time. */
  #resumeWaiting(): void {
    const waiting = this.#waiting;
    let left = waiting.size;
    for (const stream of waiting) {
      if (left-- === 0 || this.sendWindow <= 0 || !this.transport.writable) return;
      waiting.delete(stream);
      if (!stream.open) continue;
      if (stream.headersSent) stream.onRoom();
      else waiting.add(stream);
    }
  }

  /** The reactor: the batch is over. */
  run(): void {
    this.#out.stage.unschedule();
    if (this.#waiting.size > 0 && this.transport.writable) this.#resumeQueued();
    this.#out.stage.flush();
    this.#endIfIdle();
  }

  /** Streams with bytes of their own that were queued while they could have gone out (before HEADERS, say). */
  #resumeQueued(): void {
    for (const stream of [...this.#waiting]) {
      if (stream.queued === 0 || !stream.headersSent || stream.sendWindow <= 0 || this.sendWindow <= 0) continue;
      this.#waiting.delete(stream);
      stream.onRoom();
    }
  }

  // --- endings

  /** Streams: this one is over. */
  removeStream(stream: H2Stream): void {
    this.#streams.delete(stream.id);
    this.#waiting.delete(stream);
    this.#held -= stream.held;
    stream.held = 0;
    if (this.#closed) return;
    this.#credit();
    this.#handler.onCapacity?.();
    if (this.#streams.size === 0 && (this.#draining || this.#goawayReceived)) {
      this.#out.stage.schedule(); // not here: the caller is still in the middle of the stream's last words
    }
  }

  /** A connection error: says so, and ends. */
  #fail(code: number, reason: string): void {
    if (this.#failed !== null || this.#closed) return;
    this.#failed = new MeshError(
      "h2_protocol",
      `HTTP/2 with "${this.transport.remote.address}" failed: ${reason} (${h2.errorName(code)})`,
      {
        source: this.role === "server" ? "downstream" : "upstream",
        details: { code },
      },
    );
    this.#goawaySent = false;
    this.#sendGoaway(this.#lastPeerId, code);
    this.#finish(this.#failed);
  }

  /** Flushes, ends the transport in order, and tells everybody. */
  #finish(error: MeshError<H2ErrorCode> | null): void {
    if (this.#closed) return;
    this.#out.stage.flush();
    this.transport.finish();
    this.#conclude(error);
  }

  #conclude(error: MeshError<H2ErrorCode> | null): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pingTimer?.cancel();
    this.#drainTimer?.cancel();
    this.#out.stage.close();
    this.#in.stop();
    const reason = flowError("closed", error === null ? "the connection ended" : error.message);
    for (const stream of [...this.#streams.values()]) stream.onConnectionClosed(reason);
    this.#streams.clear();
    this.#waiting.clear();
    this.reactor.wantMicrotasks();
    this.#handler.onClosed?.(error);
    this.#handler = {};
  }
}
