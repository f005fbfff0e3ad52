import assert from "node:assert/strict";
import fc from "fast-check";
import { ByteQueue, CHUNK, freeChunks, trimChunks } from "../../src/net/byte_queue.ts";
import { U8 } from "../../src/sys/memory.ts";

Deno.test("a byte queue gives back every byte in order, whatever the sizes, and then every chunk", () => {
  // Chunks come in slabs: have one before counting.
  const warm = new ByteQueue();
  warm.pushFrom(new Uint8Array(1), 0, 1);
  warm.clear();
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 3 * CHUNK }), fc.integer({ min: 0, max: 3 * CHUNK })), {
        maxLength: 12,
      }),
      (steps) => {
        const before = freeChunks();
        const queue = new ByteQueue();
        let written = 0, read = 0;
        for (const [push, take] of steps) {
          const bytes = new Uint8Array(push);
          for (let i = 0; i < push; i++) bytes[i] = (written + i) * 7;
          assert.equal(queue.pushFrom(bytes, 0, push), true);
          written += push;
          let left = Math.min(take, queue.size);
          while (left > 0) {
            const part = Math.min(left, queue.firstLength);
            for (let i = 0; i < part; i += 997) assert.equal(U8[queue.first + i], ((read + i) * 7) & 255);
            queue.consume(part);
            read += part;
            left -= part;
          }
          assert.equal(queue.size, written - read);
        }
        queue.clear();
        assert.equal(queue.size, 0);
        assert.ok(freeChunks() >= before);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("trimming free chunks leaves them usable", () => {
  const queue = new ByteQueue();
  queue.pushFrom(new Uint8Array(400 * CHUNK).fill(1), 0, 400 * CHUNK);
  queue.clear();
  trimChunks();
  trimChunks();
  queue.pushFrom(new Uint8Array(400 * CHUNK).fill(2), 0, 400 * CHUNK);
  while (queue.size > 0) {
    assert.equal(U8[queue.first], 2);
    queue.consume(queue.firstLength);
  }
});
