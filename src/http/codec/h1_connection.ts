import type { MeshError } from "../../core/errors.ts";
import type { FlowErrorCode } from "../../net/endpoint.ts";
import type { Reactor, Runnable } from "../../net/reactor.ts";
import type { Transport, TransportConsumer } from "../../net/transport.ts";
import { type Fields, nextInputEpoch } from "../fields.ts";
import { CHUNK_BAD, CHUNK_DATA, CHUNK_MORE, ChunkReader } from "./chunks.ts";
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_RAW, trailerFields } from "./h1_head.ts";
import { H1Output } from "./h1_output.ts";
import type { H1Stream } from "./h1_stream.ts";
import { COMPLETE, HEAD, INCOMPLETE, lineEnds, parseLines } from "./head_parser.ts";

/** Why input is paused. */
const PAUSED_BY_BODY = 1, PAUSED_BY_PIPELINE = 2;

/**
 * What both sides of an HTTP/1.1 connection have in common: messages are read one after another, each a head and a body, from whatever comes.
 */
export abstract class H1Connection implements TransportConsumer, Runnable {
  readonly output: H1Output;
  /** Whose body is being read; null when a head comes next. */
  protected reading: H1Stream | null = null;
  /** Nothing is read any more. */
  protected stopped = false;
  protected closed = false;
  /** Epoch of the input that is being read. */
  protected inputEpoch = 0;
  /** Bytes of an incomplete head that have been looked at. */
  #headSeen = 0;
  #body: number = BODY_NONE;
  #bodyLeft = 0;
  readonly #chunks = new ChunkReader();
  #paused = 0;
  #roomDue = false;

  constructor(
    readonly reactor: Reactor,
    readonly transport: Transport,
    readonly maxHead: number,
    readonly maxFields: number,
    readonly bodyBuffer: number,
  ) {
    this.output = new H1Output(reactor, transport, this);
    transport.consumer = this;
  }

  // --- what sides do

  /** A head may lie at `at`: returns how many bytes it took, 0 when it is incomplete or must wait. */
  protected abstract readHead(at: number, end: number): number;
  /** The peer broke the rules within a body: `reason` says how. */
  protected abstract onBadBody(stream: H1Stream, reason: string): void;
  /** Everything that came at once has been read; `rest` bytes are left. */
  protected abstract onInputRead(rest: number): void;
  /** Streams: a part of a body has come that nobody wants. */
  abstract onDiscarded(bytes: number): void;
  /** Streams: our body is complete. */
  abstract onLocalEnd(stream: H1Stream): void;
  /** Streams: the peer's body is complete and has been passed on. */
  abstract onRemoteDone(stream: H1Stream): void;
  /** Streams: cannot go on; the connection is lost. */
  abstract fail(error: MeshError<FlowErrorCode>): void;
  /** Streams: not wanted any more. */
  abstract giveUp(stream: H1Stream): void;
  abstract onInputEnd(): void;
  abstract onTransportClosed(error: MeshError<FlowErrorCode> | null): void;
  /** The batch is over, and what was said in it has gone out. */
  protected abstract onBatchEnd(): void;
  /** The stream that sends, if there is one. */
  protected abstract get sending(): H1Stream | null;

  // --- output

  onWritable(): void {
    if (this.output.stage.writing) {
      this.#roomDue = true;
      this.output.stage.schedule();
    } else this.sending?.onRoom();
  }

  run(): void {
    this.output.stage.unschedule();
    this.output.stage.flush();
    if (this.#roomDue) {
      this.#roomDue = false;
      this.sending?.onRoom();
    }
    this.onBatchEnd();
  }

  // --- input

  onInput(at: number, bytes: number): number {
    this.inputEpoch = nextInputEpoch();
    const end = at + bytes;
    let next = at;
    while (!this.stopped) {
      const stream = this.reading;
      if (stream === null) {
        if (next === end) break;
        const taken = this.readHead(next, end);
        if (taken === 0) break;
        next += taken;
      } else {
        next = this.#readBody(stream, next, end);
        if (this.reading !== null) break;
      }
    }
    nextInputEpoch();
    if (this.stopped) return bytes;
    this.onInputRead(end - next);
    return this.stopped ? bytes : next - at;
  }

  /** Whether an incomplete head should be looked at again: only when a line has been added to it, or it has become too long. */
  protected headGrew(at: number, end: number): boolean {
    const seen = this.#headSeen;
    if (seen === 0) return true;
    this.#headSeen = end - at;
    return end - at > this.maxHead || lineEnds(at + seen, end);
  }

  protected headIncomplete(bytes: number): void {
    this.#headSeen = bytes;
  }

  protected get partialHead(): boolean {
    return this.#headSeen > 0;
  }

  protected headRead(): void {
    this.#headSeen = 0;
  }

  /** A head has been read whose message has a body. */
  protected beginBody(stream: H1Stream, body: number, length: number): void {
    this.reading = stream;
    this.#body = body;
    this.#bodyLeft = length;
    if (body === BODY_CHUNKED) this.#chunks.reset();
  }

  protected get readingRaw(): boolean {
    return this.reading !== null && this.#body === BODY_RAW;
  }

  /** Bytes of the body still to come, Infinity when that is not known. */
  protected get bodyToCome(): number {
    return this.reading === null ? 0 : this.#body === BODY_LENGTH ? this.#bodyLeft : Infinity;
  }

  #readBody(stream: H1Stream, at: number, end: number): number {
    if (this.#body === BODY_CHUNKED) return this.#readChunks(stream, at, end);
    const part = this.#body === BODY_LENGTH ? Math.min(this.#bodyLeft, end - at) : end - at;
    if (part > 0) {
      this.#bodyLeft -= part;
      stream.onData(at, part);
      if (this.stopped) return end;
      this.#checkHeld(stream);
    }
    if (this.#body === BODY_LENGTH && this.#bodyLeft === 0) this.#endBody(stream);
    return at + part;
  }

  #readChunks(stream: H1Stream, at: number, end: number): number {
    const chunks = this.#chunks;
    for (;;) {
      const found = chunks.next(at, end);
      at = chunks.at;
      if (found === CHUNK_DATA) {
        stream.onData(chunks.dataAt, chunks.dataBytes);
        if (this.stopped) return end;
        continue;
      }
      if (found === CHUNK_MORE) {
        this.#checkHeld(stream);
        return at;
      }
      if (found === CHUNK_BAD) {
        this.onBadBody(stream, "a malformed chunk");
        return end;
      }
      const result = parseLines(at, end, this.maxFields);
      if (result === INCOMPLETE && end - at <= this.maxHead) return at;
      if (result !== COMPLETE) {
        this.onBadBody(stream, "malformed trailers, or too many");
        return end;
      }
      const after = HEAD.end;
      this.#endBody(stream, HEAD.lines > 0 ? trailerFields(at, this.inputEpoch) : null);
      return after;
    }
  }

  #endBody(stream: H1Stream, trailers: Fields | null = null): void {
    if (this.reading !== stream) return;
    this.reading = null;
    this.#paused &= ~PAUSED_BY_BODY;
    if (this.#paused === 0) this.transport.resumeInput();
    stream.onRemoteEnd(trailers);
  }

  /** The peer has ended its side within a body that ends so. */
  protected endRawBody(): void {
    const stream = this.reading;
    this.reading = null;
    stream?.onRemoteEnd();
  }

  // --- pausing

  #checkHeld(stream: H1Stream): void {
    if (stream.held > this.bodyBuffer && !stream.discarding) this.#pause(PAUSED_BY_BODY);
  }

  /** Streams: the partner has taken bytes. */
  onConsumed(stream: H1Stream): void {
    if ((this.#paused & PAUSED_BY_BODY) === 0 || stream !== this.reading) return;
    if (stream.held <= this.bodyBuffer >> 1 || stream.discarding) this.#unpause(PAUSED_BY_BODY);
  }

  protected pausePipeline(): void {
    this.#pause(PAUSED_BY_PIPELINE);
  }

  protected resumePipeline(): void {
    this.#unpause(PAUSED_BY_PIPELINE);
  }

  protected get paused(): boolean {
    return this.#paused !== 0;
  }

  #pause(reason: number): void {
    if (this.#paused === 0) this.transport.pauseInput();
    this.#paused |= reason;
  }

  #unpause(reason: number): void {
    if ((this.#paused & reason) === 0) return;
    this.#paused &= ~reason;
    if (this.#paused === 0) this.transport.resumeInput();
  }
}
