import type { H2Stream } from "./stream.ts";

/** Ids of streams that we reset lately, whose last frames may still be under way. */
const REMEMBERED_RESETS = 128;
/** Ids are 31 bits; a connection near their end takes no more requests. */
const LAST_ID = 0x7ffffff0;

/** The streams of one connection: those that are open, and what is known of the others by their ids (RFC 9113, 5.1.1). */
export class StreamTable {
  readonly #open = new Map<number, H2Stream>();
  readonly #resets: number[] = [];
  #nextId: number;
  /** The highest id that the peer has opened a stream with. */
  lastPeerId = 0;

  constructor(readonly role: "client" | "server") {
    this.#nextId = role === "client" ? 1 : 2;
  }

  /** Streams that are open. */
  get size(): number {
    return this.#open.size;
  }

  get(id: number): H2Stream | undefined {
    return this.#open.get(id);
  }

  add(stream: H2Stream): void {
    this.#open.set(stream.id, stream);
  }

  delete(id: number): void {
    this.#open.delete(id);
  }

  values(): Iterable<H2Stream> {
    return this.#open.values();
  }

  clear(): void {
    this.#open.clear();
  }

  /** Whether the ids of this side are used up. */
  get exhausted(): boolean {
    return this.#nextId > LAST_ID;
  }

  /** An id for a stream that this side opens. */
  takeId(): number {
    const id = this.#nextId;
    this.#nextId += 2;
    return id;
  }

  /** Whether a stream has never been opened. */
  isIdle(id: number): boolean {
    const ours = (id % 2 === 1) === (this.role === "client");
    return ours ? id >= this.#nextId : id > this.lastPeerId;
  }

  /** We reset a stream. */
  noteReset(id: number): void {
    if (this.#resets.length >= REMEMBERED_RESETS) this.#resets.shift();
    this.#resets.push(id);
  }

  /** Whether we reset a stream lately. */
  wasReset(id: number): boolean {
    return this.#resets.includes(id);
  }
}
