import { LimitedLog } from "../telemetry/limited_log.ts";
import { Logger } from "../telemetry/logger.ts";
import { describeError } from "../core/errors.ts";
import {
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLL_CTL_MOD,
  EPOLLET,
  EPOLLIN,
} from "../sys/constants.ts";
import { sysError } from "../sys/errno.ts";
import { libc } from "../sys/libc.ts";
import { allocate, BASE, I32 } from "../sys/memory.ts";
import { releaseText } from "../sys/text_pages.ts";
import { hostPolls, REACTOR_MARK } from "./host_loop.ts";
import { trimChunks } from "./byte_queue.ts";
import { reactorClock } from "./reactor_clock.ts";
import { type Timer, Timers } from "./timers.ts";

/** Something with a descriptor that the reactor watches. */
export interface Pollable {
  /** Place in the reactor's table, -1 while unregistered; kept by the reactor. */
  slot: number;
  /** epoll events have arrived. */
  onEvents(events: number): void;
  /** The reactor is stopping: let go of the descriptor at once. */
  onReactorStop(): void;
}

/** Something with more to do after the other descriptors have had their turn. */
export interface Runnable {
  run(): void;
}

export interface ReactorOptions {
  logger?: Logger;
}

/** `struct epoll_event` is packed on x86-64 only. */
const EVENT_BYTES = Deno.build.arch === "x86_64" ? 12 : 16;
const DATA_OFFSET = Deno.build.arch === "x86_64" ? 4 : 8;
const MAX_EVENTS = 256;

/** Longest synchronous wait; the event loop of Deno stands still meanwhile. */
const SPIN_WAIT_MS = 5;
/** Quiet time after which waiting moves to another thread, so that Deno's event loop is free and an idle process costs nothing. */
const QUIET_MS = 20;
/**
 * How often a busy reactor lets Deno's event loop turn for its timers; for I/O it does when there is some (host_loop.ts). A turn costs a tenth of a
 * millisecond, for which every connection waits: a hundred a second would be one request in a hundred.
 */
const TURN_MS = 50;
/** The same for a while after the loop may have been given something to carry on, which it begins only when it turns. */
const HOST_TURN_MS = 10, HOST_BUSY_MS = 100;
/** Turns that I/O asks for are at least this far apart, or a chatty peer of the control plane would take half the time. */
const IO_TURN_MS = 0.5;

/**
 * When a quiet reactor lets go of code that it does not use: soon after the start, then at most this often, once it has been busy again. A burst of a
 * thousand connections is a few dozen batches.
 */
const FIRST_TEXT_RELEASE_MS = 2000, TEXT_RELEASE_MS = 10_000, BUSY_BATCHES = 20;

/** Slots in epoll data that stand for no {@linkcode Pollable}. */
const WAKEUP_SLOT = -1, HOST_SLOT = -2;

/** Steps of a promise chain that foreign code may take before the reactor waits for events again. */
const MICROTASK_HOPS = 8;

const enum Pause {
  Microtasks,
  Turn,
  Quiet,
}

/**
 * The one event loop of a thread's data plane: epoll over FFI beside Deno's own event loop.
 *
 * While there is traffic it waits synchronously, at most 5 ms at a time, and gives Deno a turn now and then; after 20 ms of
 * quiet it waits asynchronously. Callbacks run on the thread that made it, and never concurrently.
 */
export class Reactor {
  readonly #epoll: number;
  readonly #wakeup: number;
  readonly #events = allocate(MAX_EVENTS * 16);
  readonly #scratch = allocate(64);
  readonly #handlers: (Pollable | null)[] = [];
  readonly #generations: number[] = [];
  readonly #freeSlots: number[] = [];
  readonly #timers: Timers;
  /** What fails for one peer may fail for every one of its messages. */
  readonly #failures: LimitedLog;
  #again: Runnable[] = [];
  #dirty: Runnable[] = [];
  #loop: Promise<void> | null = null;
  #stopping = false;
  #asleepUntil = -1;
  #inBatch = false;
  #flushScheduled = false;
  #wantMicrotasks = false;
  #wantTurn = false;
  readonly #hostPolls: number[];
  /** Deno's event loop may have something under way until then. */
  #hostBusyUntil = 0;
  #lastActive = performance.now();
  #closed = false;
  #textDue = performance.now() + FIRST_TEXT_RELEASE_MS;
  /** No release before there have been so many batches. */
  #textBatches = 0;

  /** Waits that have ended so far: an idle reactor adds none. */
  batches = 0;

  /** Milliseconds on a monotonic clock, read once per batch of events. */
  now: number = performance.now();

  constructor(options: ReactorOptions = {}) {
    this.#failures = new LimitedLog(options.logger ?? new Logger("reactor"), reactorClock(this));
    this.#timers = new Timers(this.now, (thrown) => this.report("a timer failed", thrown));
    this.#epoll = libc.epoll_create1(EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw sysError("cannot make an epoll instance");
    this.#wakeup = libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (this.#wakeup < 0) throw sysError("cannot make an eventfd");
    this.#control(EPOLL_CTL_ADD, this.#wakeup, EPOLLIN, WAKEUP_SLOT, REACTOR_MARK);
    this.#hostPolls = hostPolls().filter((fd) => this.#control(EPOLL_CTL_ADD, fd, 0, HOST_SLOT, 0) === 0);
    // What cannot be watched must be looked at.
    if (this.#hostPolls.length === 0) this.#hostBusyUntil = Infinity;
  }

  /** Begins to run on this thread. */
  start(): void {
    if (!this.#loop && !this.#stopping) this.#loop = this.#run();
  }

  /** Closes every descriptor still registered and resolves when nothing of the reactor is left. */
  async stop(): Promise<void> {
    if (!this.#stopping) {
      this.#stopping = true;
      this.wake();
    }
    await this.#loop;
    for (const handler of [...this.#handlers]) if (handler && handler.slot >= 0) handler.onReactorStop();
    this.#handlers.length = 0;
    if (!this.#closed) {
      this.#closed = true;
      libc.close(this.#wakeup);
      libc.close(this.#epoll);
    }
  }

  /** Number of descriptors watched. */
  get watched(): number {
    return this.#handlers.length - this.#freeSlots.length;
  }

  /**
   * Watches `fd`.
   *
   * @throws MeshError `system`
   */
  register(handler: Pollable, fd: number, events: number): void {
    const slot = this.#freeSlots.pop() ?? this.#handlers.length;
    this.#handlers[slot] = handler;
    this.#generations[slot] = ((this.#generations[slot] ?? 0) + 1) & 0x3fffffff;
    handler.slot = slot;
    if (this.#control(EPOLL_CTL_ADD, fd, events, slot, this.#generations[slot]) < 0) {
      const error = sysError("cannot watch a descriptor");
      this.#release(handler);
      throw error;
    }
  }

  /** Gives the place of a registered handler, and what its descriptor is watched for, to another one. */
  succeed(former: Pollable, handler: Pollable): void {
    const slot = former.slot;
    former.slot = -1;
    handler.slot = slot;
    this.#handlers[slot] = handler;
  }

  /** Changes what a registered descriptor is watched for. */
  modify(handler: Pollable, fd: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events, handler.slot, this.#generations[handler.slot]);
  }

  /**
   * Forgets a descriptor that is about to be closed; events already fetched for it are dropped. Closing is what removes it
   * from epoll, unless somebody else holds a duplicate (`keepOpen`).
   */
  unregister(handler: Pollable, fd: number, keepOpen = false): void {
    if (handler.slot < 0) return;
    if (keepOpen) this.#control(EPOLL_CTL_DEL, fd, 0, handler.slot, 0);
    this.#release(handler);
  }

  #release(handler: Pollable): void {
    const slot = handler.slot;
    this.#handlers[slot] = null;
    this.#generations[slot]++;
    this.#freeSlots.push(slot);
    handler.slot = -1;
  }

  #control(operation: number, fd: number, events: number, slot: number, generation: number): number {
    const at = this.#scratch;
    I32[at >> 2] = events;
    I32[(at + DATA_OFFSET) >> 2] = slot;
    I32[(at + DATA_OFFSET + 4) >> 2] = generation;
    return libc.epoll_ctl(this.#epoll, operation, fd, BASE + at);
  }

  /** Calls `fire` once, `ms` from now. */
  setTimer(ms: number, fire: () => void): Timer {
    const now = this.#inBatch ? this.now : (this.now = performance.now());
    const timer = this.#timers.schedule(now + ms, fire);
    if (this.#asleepUntil >= 0 && timer.deadline < this.#asleepUntil) this.wake();
    return timer;
  }

  /** Moves a timer made by this reactor to `ms` from now, whether it has fired or not. */
  resetTimer(timer: Timer, ms: number): void {
    const now = this.#inBatch ? this.now : (this.now = performance.now());
    this.#timers.reschedule(timer, now + ms);
    if (this.#asleepUntil >= 0 && timer.deadline < this.#asleepUntil) this.wake();
  }

  /** Runs `runnable` again after the other descriptors have had a turn. */
  again(runnable: Runnable): void {
    this.#again.push(runnable);
    if (!this.#inBatch) this.wake();
  }

  /** Runs `runnable` when the current batch of events is done: this is how the output of one batch becomes one write. */
  afterBatch(runnable: Runnable): void {
    this.#dirty.push(runnable);
    if (this.#inBatch || this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => {
      this.#flushScheduled = false;
      if (this.#inBatch || this.#stopping) return;
      this.now = performance.now();
      this.#inBatch = true;
      this.#flush();
      this.#inBatch = false;
      if (this.#again.length > 0) this.wake();
    });
  }

  /**
   * Asks for promise continuations to run right after this batch; called wherever foreign code may have awaited. What that code has begun
   * (to read a file, to fetch) goes on in turns of Deno's event loop, which come more often for a while.
   */
  wantMicrotasks(): void {
    this.#wantMicrotasks = true;
    this.#expectHost();
  }

  /** As {@linkcode wantMicrotasks}, for every single request: whoever takes one may await, and begins nothing of Deno's. */
  wantContinuations(): void {
    this.#wantMicrotasks = true;
  }

  #expectHost(): void {
    this.#hostBusyUntil = Math.max(this.#hostBusyUntil, this.now + HOST_BUSY_MS);
  }

  /** Ends a wait that goes on in another thread. */
  wake(): void {
    const at = this.#scratch + 32;
    I32[at >> 2] = 1;
    I32[(at >> 2) + 1] = 0;
    libc.write(this.#wakeup, BASE + at, 8);
  }

  async #run(): Promise<void> {
    let lastTurn = performance.now();
    this.#watchHost(true);
    while (!this.#stopping) {
      const pause = this.#spin(lastTurn);
      if (pause === Pause.Microtasks) {
        // Each hop lets every promise chain take one step; a real turn of the event loop would cost ten times as much.
        for (let hop = 0; hop < MICROTASK_HOPS; hop++) await undefined;
        continue;
      }
      if (pause === Pause.Turn) await this.#turn();
      else await this.#sleep();
      lastTurn = this.now = performance.now();
    }
  }

  /** Batches until the event loop, or the microtasks, must have a turn. */
  #spin(lastTurn: number): Pause {
    for (;;) {
      const count = libc.epoll_wait(
        this.#epoll,
        BASE + this.#events,
        MAX_EVENTS,
        this.#again.length > 0 || this.#wantMicrotasks ? 0 : SPIN_WAIT_MS,
      );
      this.now = performance.now();
      const busy = this.#batch(count);
      if (this.#stopping) return Pause.Turn;
      if (busy) this.#lastActive = this.now;
      if (this.#wantMicrotasks) {
        this.#wantMicrotasks = false;
        return this.now - lastTurn >= this.#turnMs() ? Pause.Turn : Pause.Microtasks;
      }
      if (this.now - this.#lastActive >= QUIET_MS) return Pause.Quiet;
      if (this.now - lastTurn >= this.#turnMs()) return Pause.Turn;
    }
  }

  /** How long after the last turn the next one is due. */
  #turnMs(): number {
    return this.#wantTurn ? IO_TURN_MS : this.now < this.#hostBusyUntil ? HOST_TURN_MS : TURN_MS;
  }

  /** Dispatches fetched events, then what asked to run again, due timers, and the writes gathered meanwhile. */
  #batch(count: number): boolean {
    this.#inBatch = true;
    this.batches++;
    let busy = count > 0;
    const again = this.#again;
    if (again.length > 0) this.#again = [];
    for (let i = 0, at = this.#events >> 2; i < count; i++, at += EVENT_BYTES >> 2) {
      const slot = I32[at + (DATA_OFFSET >> 2)];
      if (slot === WAKEUP_SLOT) this.#drainWakeup();
      else if (slot === HOST_SLOT) this.#onHostEvents();
      else if (I32[at + (DATA_OFFSET >> 2) + 1] === this.#generations[slot]) this.#dispatch(slot, I32[at]);
    }
    for (let i = 0; i < again.length; i++) this.#runOne(again[i]);
    if (again.length > 0) busy = true;
    if (this.#timers.advance(this.now)) {
      busy = true;
      this.#wantMicrotasks = true;
    }
    this.#flush();
    this.#inBatch = false;
    return busy;
  }

  #onHostEvents(): void {
    this.#wantTurn = true;
    this.#expectHost();
  }

  #dispatch(slot: number, events: number): void {
    const handler = this.#handlers[slot];
    if (handler === null) return;
    try {
      handler.onEvents(events);
    } catch (thrown) {
      this.report("an event handler failed", thrown);
      if (handler.slot >= 0) handler.onReactorStop();
    }
  }

  #runOne(runnable: Runnable): void {
    try {
      runnable.run();
    } catch (thrown) {
      this.report("deferred work failed", thrown);
    }
  }

  /** Logs what a callback has thrown. It must never end the loop, or a listener: everybody else's connections live there. */
  report(what: string, thrown: unknown): void {
    this.#failures.log("error", what, {
      error: describeError(thrown),
      stack: thrown instanceof Error ? thrown.stack : undefined,
    });
  }

  #flush(): void {
    for (let i = 0; i < this.#dirty.length; i++) this.#runOne(this.#dirty[i]);
    this.#dirty.length = 0;
  }

  #drainWakeup(): void {
    libc.read(this.#wakeup, BASE + this.#scratch + 48, 8);
  }

  /** Waits in another thread until an event, a timer or {@linkcode wake}. */
  async #sleep(): Promise<void> {
    trimChunks();
    const wait = this.#releaseText(this.#timers.untilNext(this.now));
    if (this.#again.length > 0 || this.#stopping) return;
    this.#asleepUntil = wait < 0 ? Infinity : this.now + wait;
    // Deno waits for itself meanwhile.
    this.#watchHost(false);
    const count = await libc.epoll_wait_async(this.#epoll, BASE + this.#events, MAX_EVENTS, Math.min(wait, 0x7fffffff));
    this.#asleepUntil = -1;
    this.#watchHost(true);
    this.now = performance.now();
    if (this.#batch(count)) this.#lastActive = this.now;
  }

  /** Lets go of code that only starting, or a burst, needed when that is due; shortens a wait so that it will be. */
  #releaseText(wait: number): number {
    if (this.batches < this.#textBatches) return wait;
    const left = Math.ceil(this.#textDue - this.now);
    if (left > 0) return wait < 0 ? left : Math.min(wait, left);
    releaseText();
    this.#textDue = this.now + TEXT_RELEASE_MS;
    this.#textBatches = this.batches + BUSY_BATCHES;
    return wait;
  }

  /**
   * One real turn of Deno's event loop. A `setImmediate` would be cheaper and useless: with a task ready at all times the
   * runtime looks at its I/O only every 61st turn. Waiting for another thread makes it look.
   */
  async #turn(): Promise<void> {
    this.#wantTurn = false;
    const count = await libc.epoll_wait_async(this.#epoll, BASE + this.#events, MAX_EVENTS, 0);
    this.now = performance.now();
    if (this.#batch(count)) this.#lastActive = this.now;
  }

  #watchHost(on: boolean): void {
    for (const fd of this.#hostPolls) this.#control(EPOLL_CTL_MOD, fd, on ? EPOLLIN | EPOLLET : 0, HOST_SLOT, 0);
  }
}
