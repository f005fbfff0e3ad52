/** Repeats `check` until it throws no more; after `deadlineMs` its last error is the test's. */
export async function eventually<T>(check: () => T | Promise<T>, deadlineMs = 10_000): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (let wait = 2;; wait = Math.min(wait * 2, 100)) {
    try {
      return await check();
    } catch (thrown) {
      if (performance.now() > end) throw thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
