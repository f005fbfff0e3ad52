import { BOOT } from "./boot.ts";
import { ADDR } from "./memory.ts";

/**
 * The C library as the data plane calls it. Every pointer and size is {@linkcode ADDR} (an arena address, see memory.ts), so
 * callers pass `BASE + at`; strings are NUL-terminated `buffer`s and belong to cold paths only. A failed call returns -1
 * and leaves its reason in {@linkcode errno}.
 */
const symbols = {
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  socketpair: { parameters: ["i32", "i32", "i32", ADDR], result: "i32" },
  bind: { parameters: ["i32", ADDR, "u32"], result: "i32" },
  listen: { parameters: ["i32", "i32"], result: "i32" },
  accept4: { parameters: ["i32", ADDR, ADDR, "i32"], result: "i32" },
  connect: { parameters: ["i32", ADDR, "u32"], result: "i32" },
  getsockname: { parameters: ["i32", ADDR, ADDR], result: "i32" },
  getpeername: { parameters: ["i32", ADDR, ADDR], result: "i32" },
  setsockopt: { parameters: ["i32", "i32", "i32", ADDR, "u32"], result: "i32" },
  getsockopt: { parameters: ["i32", "i32", "i32", ADDR, ADDR], result: "i32" },
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  recv: { parameters: ["i32", ADDR, ADDR, "i32"], result: "i32" },
  send: { parameters: ["i32", ADDR, ADDR, "i32"], result: "i32" },
  /** From memory outside the arena. */
  send_pointer: { name: "send", parameters: ["i32", "pointer", ADDR, "i32"], result: "i32" },
  recvfrom: { parameters: ["i32", ADDR, ADDR, "i32", ADDR, ADDR], result: "i32" },
  sendto: { parameters: ["i32", ADDR, ADDR, "i32", ADDR, "u32"], result: "i32" },
  recvmsg: { parameters: ["i32", ADDR, "i32"], result: "i32" },
  sendmsg: { parameters: ["i32", ADDR, "i32"], result: "i32" },
  readv: { parameters: ["i32", ADDR, "i32"], result: "i32" },
  read: { parameters: ["i32", ADDR, ADDR], result: "i32" },
  write: { parameters: ["i32", ADDR, ADDR], result: "i32" },
  epoll_create1: { parameters: ["i32"], result: "i32" },
  epoll_ctl: { parameters: ["i32", "i32", "i32", ADDR], result: "i32" },
  epoll_wait: { parameters: ["i32", ADDR, "i32", "i32"], result: "i32" },
  epoll_wait_async: { name: "epoll_wait", parameters: ["i32", ADDR, "i32", "i32"], result: "i32", nonblocking: true },
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" },
  timerfd_settime: { parameters: ["i32", "i32", ADDR, ADDR], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  setns: { parameters: ["i32", "i32"], result: "i32" },
  unshare: { parameters: ["i32"], result: "i32" },
  mount: { parameters: ["buffer", "buffer", "buffer", "u64", "buffer"], result: "i32" },
  umount2: { parameters: ["buffer", "i32"], result: "i32" },
} as const;

export const libc = Deno.dlopen(BOOT.library, symbols).symbols;

const errnoCell = new Int32Array(
  new Deno.UnsafePointerView(BOOT.__errno_location()!).getArrayBuffer(4),
);

/**
 * The reason of the last failed call of this thread. Read it at once. A compilation or collection between the call and the
 * read could in theory change it, so a connection is never closed on the strength of one reading: see `confirmed` in
 * net/tcp_socket.ts.
 */
export function errno(): number {
  return errnoCell[0];
}

const encoder = new TextEncoder();

/** A NUL-terminated string for a `buffer` parameter. */
export function cstring(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text + "\0");
}
