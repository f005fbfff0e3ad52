import { MeshError } from "../core/errors.ts";
import type { Reactor, Runnable } from "../net/reactor.ts";
import { flowError, type FlowErrorCode } from "../net/endpoint.ts";
import type { Timer } from "../net/timers.ts";
import type { Transport, TransportConsumer } from "../net/transport.ts";
import { U8 } from "../sys/memory.ts";
import { Budget } from "./budget.ts";
import * as h2 from "./constants.ts";
import type { H2ErrorCode, H2Handler } from "./handler.ts";
import { fieldOf, type HeaderFields, malformedHeaders } from "./headers.ts";
import { type FrameSink, H2Input, word } from "./input.ts";
import { KeepAlive, type KeepAliveOwner } from "./keep_alive.ts";
import type { H2Options } from "./options.ts";
import { H2Output } from "./output.ts";
import { PeerSettings, type SettingProblem, WINDOW_PROBLEM } from "./peer_settings.ts";
import { ReceiveWindow } from "./receive_window.ts";
import { SendTurns } from "./send_turns.ts";
import { H2Stream, type H2StreamHandler } from "./stream.ts";
import { StreamTable } from "./stream_table.ts";

/** Wasteful frames (see Budget): the burst a busy honest peer may cause, and what it may cause for ever. */
const WASTE_BURST = 4000, WASTE_PER_SECOND = 200;
/** Streams reset by the peer before we answered: each made us work for nothing (CVE-2023-44487). */
const RESET_BURST = 1000, RESET_PER_SECOND = 100;
/** How long the final GOAWAY waits for the answer to a PING when draining. */
const DRAIN_NOTICE_MS = 1000;

/**
 * One HTTP/2 connection, either side, over any {@linkcode Transport} (RFC 9113).
 *
 * What a frame means, and what must be said. Frames are read in input.ts and written in output.ts; bytes of a stream are in stream.ts, whose turn
 * it is to send in send_turns.ts.
 */
export class H2Connection implements TransportConsumer, FrameSink, Runnable, KeepAliveOwner {
  readonly reactor: Reactor;
  readonly transport: Transport;
  readonly role: "client" | "server";
  readonly options: H2Options;
  /** What the owner knows about the peer: its identity, say. */
  peer: unknown = null;
  #handler: H2Handler;
  readonly #streams: StreamTable;
  readonly #waste: Budget;
  readonly #resets: Budget;

  readonly #peerSettings: PeerSettings;

  // Output.
  readonly #out: H2Output;
  readonly #turns: SendTurns;

  // Input.
  readonly #in: H2Input;
  #settled = false;
  readonly #received: ReceiveWindow;
  #dataStream: H2Stream | null = null;
  #dataEnd = false;

  // Life.
  #closed = false;
  #failed: MeshError<H2ErrorCode> | null = null;
  #goawaySent = false;
  #goawayReceived = false;
  #draining = false;
  readonly #keepAlive: KeepAlive;
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
    this.#streams = new StreamTable(role);
    this.#peerSettings = new PeerSettings(role);
    this.#out = new H2Output(reactor, transport, this);
    this.#turns = new SendTurns(transport, this.#out);
    this.#received = new ReceiveWindow(options.connectionWindow, this.#out);
    this.#handler = handler;
    this.#in = new H2Input(this, role, options);
    this.#waste = new Budget(WASTE_BURST, WASTE_PER_SECOND, reactor.now);
    this.#resets = new Budget(RESET_BURST, RESET_PER_SECOND, reactor.now);
    transport.consumer = this;
    this.#begin();
    this.#keepAlive = new KeepAlive(reactor, options, this);
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
    if (this.#closed || this.#failed || this.#goawayReceived || this.#draining || this.#streams.exhausted) return 0;
    return Math.max(0, this.#peerSettings.maxStreams - this.#streams.size);
  }

  /** Streams that the peer lets us have open at once; 100 until it says. */
  get peerMaxStreams(): number {
    return this.#peerSettings.maxStreams;
  }

  /** Bytes received that nobody has taken yet. */
  get held(): number {
    return this.#received.held;
  }

  /** Client: the peer takes CONNECT with `:protocol` (RFC 8441). */
  get extendedConnect(): boolean {
    return this.#peerSettings.extendedConnect;
  }

  // --- what owners do

  /** Client: sends a request; null when there is no capacity. */
  request(headers: HeaderFields, endStream: boolean, handler: H2StreamHandler): H2Stream | null {
    if (this.capacity === 0) return null;
    const stream = new H2Stream(
      this,
      this.#streams.takeId(),
      handler,
      this.#peerSettings.window,
      this.options.streamWindow,
    );
    this.#streams.add(stream);
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
    this.#sendGoaway(this.#streams.lastPeerId, h2.NO_ERROR);
    this.#endIfIdle();
  }

  #endIfIdle(): void {
    if (this.#streams.size > 0 || this.#closed) return;
    if ((this.#draining && this.#goawaySent) || this.#goawayReceived) this.#finish(null);
  }

  /** Ends the connection at once with GOAWAY; open streams fail. */
  close(code: number = h2.NO_ERROR): void {
    if (this.#closed) return;
    this.#sendGoaway(this.#streams.lastPeerId, code);
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
    this.#turns.resume();
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
    if (stream === null && this.#streams.isIdle(id)) {
      return this.#fail(h2.PROTOCOL_ERROR, `DATA on the idle stream ${id}`);
    }
    if (!this.#received.take(length)) {
      return this.#fail(h2.FLOW_CONTROL_ERROR, "DATA exceeds the connection's window");
    }
    if (payload === 0 && !endStream && !this.#spend(1)) return;
    this.#dataStream = null;
    this.#dataEnd = endStream;
    if (stream === null) {
      if (this.#spend(1) && !this.#streams.wasReset(id)) this.sendReset(id, h2.STREAM_CLOSED);
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
        this.#received.hold(length - payload);
        stream.consumed(length - payload);
      }
    }
    this.#received.credit();
  }

  onDataPayload(at: number, bytes: number): void {
    const stream = this.#dataStream;
    if (stream === null || !stream.open) return;
    if (stream.expected >= 0) {
      stream.expected -= bytes;
      if (stream.expected < 0) return stream.malformed("a body is longer than its Content-Length");
    }
    this.#received.hold(bytes);
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
      if (this.#streams.isIdle(id)) this.#fail(h2.PROTOCOL_ERROR, `HEADERS on the stream ${id}, which we did not open`);
      return;
    }
    if (id <= this.#streams.lastPeerId) {
      if (!this.#streams.wasReset(id)) this.#fail(h2.STREAM_CLOSED, `HEADERS on the closed stream ${id}`);
      return;
    }
    this.#streams.lastPeerId = id;
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
    const stream = new H2Stream(this, id, null, this.#peerSettings.window, this.options.streamWindow);
    stream.headersReceived = true;
    this.#streams.add(stream);
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
    if (this.#streams.isIdle(id)) return this.#fail(h2.PROTOCOL_ERROR, `RST_STREAM on the idle stream ${id}`);
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
    this.#out.maxFrame = this.#peerSettings.maxFrame;
    this.#out.settingsAck();
    this.#settled = true;
    this.reactor.wantMicrotasks();
    if (first) this.#handler.onReady?.();
    else this.#handler.onCapacity?.();
  }

  #applySetting(setting: number, value: number): boolean {
    const settings = this.#peerSettings, before = settings.window;
    const problem = settings.apply(setting, value);
    if (problem !== undefined) return this.#refuse(problem);
    if (setting === h2.SETTINGS_HEADER_TABLE_SIZE) this.#out.setHeaderTableSize(value);
    const difference = settings.window - before;
    if (difference === 0) return true;
    for (const stream of this.#streams.values()) {
      stream.sendWindow += difference;
      if (stream.sendWindow > h2.MAX_WINDOW) return this.#refuse(WINDOW_PROBLEM);
    }
    if (difference > 0) this.#turns.resume();
    return true;
  }

  #refuse({ code, name }: SettingProblem): false {
    this.#fail(code, `a value of ${name} that is not allowed`);
    return false;
  }

  onPing(at: number, ack: boolean): void {
    if (!ack) {
      if (this.#spend(1)) this.#out.ping(at);
      return;
    }
    this.#keepAlive.onAnswer();
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
      this.#turns.window += increment;
      if (this.#turns.window > h2.MAX_WINDOW) {
        return this.#fail(h2.FLOW_CONTROL_ERROR, "the connection's window overflows");
      }
      return this.#turns.resume();
    }
    const stream = this.#streams.get(id);
    if (!stream) {
      if (this.#streams.isIdle(id)) this.#fail(h2.PROTOCOL_ERROR, `WINDOW_UPDATE on the idle stream ${id}`);
      return;
    }
    if (increment === 0) return stream.reset(h2.PROTOCOL_ERROR);
    stream.sendWindow += increment;
    if (stream.sendWindow > h2.MAX_WINDOW) return stream.reset(h2.FLOW_CONTROL_ERROR);
    this.#turns.onStreamWindow(stream);
  }

  #spend(cost: number): boolean {
    if (this.#waste.spend(cost, this.reactor.now)) return true;
    this.#fail(h2.ENHANCE_YOUR_CALM, "the peer sends too many frames that do nothing");
    return false;
  }

  // --- flow control in

  /** A stream's partner has taken bytes. */
  onConsumed(bytes: number): void {
    this.#received.release(bytes);
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
    this.#received.announce();
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
    this.#streams.noteReset(id);
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

  /** The keep-alive: the connection has been quiet. */
  sendPing(): void {
    this.#out.ping();
  }

  onPingTimeout(): void {
    this.#failed = new MeshError("h2_ping_timeout", `"${this.transport.remote.address}" does not answer a PING`);
    if (this.role === "server") this.#sendGoaway(this.#streams.lastPeerId, h2.NO_ERROR);
    this.#out.stage.flush();
    this.transport.abort();
  }

  /** Streams: see {@linkcode SendTurns.prepare}. */
  prepareData(stream: H2Stream, contiguous = false): number {
    return this.#turns.prepare(stream, contiguous);
  }

  /** Streams: `bytes` bytes are where {@linkcode prepareData} said. */
  commitData(stream: H2Stream, bytes: number): void {
    this.#waste.earn(1 + (bytes >> 10));
    this.#turns.commit(stream, bytes);
  }

  /** Streams: call `onRoom()` when windows and transport allow. */
  waitForRoom(stream: H2Stream): void {
    this.#turns.wait(stream);
  }

  /** The reactor: the batch is over. */
  run(): void {
    this.#out.stage.unschedule();
    this.#turns.resumeQueued();
    this.#out.stage.flush();
    this.#endIfIdle();
  }

  // --- endings

  /** Streams: this one is over. */
  removeStream(stream: H2Stream): void {
    this.#streams.delete(stream.id);
    this.#turns.forget(stream);
    this.#received.release(stream.held);
    stream.held = 0;
    if (this.#closed) return;
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
    this.#sendGoaway(this.#streams.lastPeerId, code);
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
    this.#keepAlive.stop();
    this.#drainTimer?.cancel();
    this.#out.stage.close();
    this.#in.stop();
    const reason = flowError("closed", error === null ? "the connection ended" : error.message);
    for (const stream of [...this.#streams.values()]) stream.onConnectionClosed(reason);
    this.#streams.clear();
    this.#turns.clear();
    this.reactor.wantMicrotasks();
    this.#handler.onClosed?.(error);
    this.#handler = {};
  }
}
