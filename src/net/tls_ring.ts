import { MeshError } from "../core/errors.ts";
import { allocate, BASE, I32, U8, VIEW } from "../sys/memory.ts";
import { openssl } from "../sys/openssl.ts";

const RING_BYTES = 384n * 1024n;

/**
 * Where all connections of the thread write their TLS records: one BIO pair. After every OpenSSL call that may write, the
 * records are taken out and sent at once, so the ring is empty in between and the records always begin at its start.
 */
export interface TlsRing {
  /** The end that `SSL *` objects write to; each takes a reference of its own. */
  readonly sink: Deno.PointerObject;
  /** Where records begin. */
  readonly pointer: Deno.PointerObject;
  /** The same memory. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Takes everything out; returns its length. The bytes stay in place until the next write. */
  take(): number;
}

let ring: TlsRing | undefined;

/** The thread's ring, made on first use. */
export function tlsRing(): TlsRing {
  return ring ??= makeRing();
}

function makeRing(): TlsRing {
  const ssl = openssl();
  const out = allocate(16);
  if (ssl.BIO_new_bio_pair(BASE + out, RING_BYTES, BASE + out + 8, RING_BYTES) !== 1) {
    throw new MeshError("out_of_memory", "cannot make a pair of memory BIOs");
  }
  const sink = Deno.UnsafePointer.create(VIEW.getBigUint64(out, true))!;
  const source = Deno.UnsafePointer.create(VIEW.getBigUint64(out + 8, true))!;
  // The buffer is allocated with the pair; one byte through it tells where it is.
  U8[out] = 0;
  ssl.BIO_write(sink, BASE + out, 1);
  ssl.BIO_nread(source, BASE + out, 1);
  const address = VIEW.getBigUint64(out, true);
  const low = I32[out >> 2];
  const pointer = Deno.UnsafePointer.create(address)!;
  const bytes = new Uint8Array(new Deno.UnsafePointerView(pointer).getArrayBuffer(Number(RING_BYTES)) as ArrayBuffer);
  const take = (): number => {
    const count = ssl.BIO_nread(source, BASE + out, Number(RING_BYTES));
    if (count <= 0) return 0;
    if (I32[out >> 2] !== low) throw new MeshError("tls_ring", "TLS output does not begin where it should");
    return count;
  };
  return { sink, pointer, bytes, take };
}
