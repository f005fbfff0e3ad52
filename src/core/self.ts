/**
 * The command line that runs this same build with other arguments: the compiled executable, or Deno with `main.ts` of
 * the checkout (or the bundle) that is running now.
 */
export function selfCommand(args: readonly string[] = []): string[] {
  if (Deno.build.standalone) return [Deno.execPath(), ...args];
  const main = Deno.mainModule.startsWith("file:") ? new URL(Deno.mainModule).pathname : CHECKOUT + "/main.ts";
  // A test's main module is the test file: then the checkout's own entry is meant.
  const entry = /\/(main\.ts|ambientd\.js)$/.test(main) ? main : CHECKOUT + "/main.ts";
  return [Deno.execPath(), "run", "--allow-all", "--no-prompt", "--quiet", "--no-check", entry, ...args];
}

/** Root of the checkout, or the folder of the bundle, that this code was loaded from; without a trailing slash. */
export const CHECKOUT: string = new URL(import.meta.url.endsWith("/src/core/self.ts") ? "../.." : ".", import.meta.url)
  .pathname.replace(/\/$/, "");
