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

/** What this user calls ambientd, and `ambientd ctl`; undefined where the plain name will do. */
export interface TypedNames {
  readonly ambientd: string | undefined;
  readonly ctl: string | undefined;
}

function typedNames(): TypedNames {
  const ambientd = Deno.env.get("AMBIENTD_NAME");
  return { ambientd, ctl: Deno.env.get("AMBIENTD_CTL_NAME") ?? (ambientd && `${ambientd} ctl`) };
}

/**
 * A text with the commands of ambientd in it as this user types them: `./scripts/ambientd up` where that script was called, `istioctl install`
 * where `bin/istioctl` was. A command stands at the start, in backquotes or after `&&`; one of `ambientd ctl` anywhere.
 */
export function asTyped(text: string, { ambientd, ctl }: TypedNames = typedNames()): string {
  const typed = ctl ? text.replace(/(?<![\w/.-])ambientd ctl(?![\w-])/g, () => ctl) : text;
  return ambientd ? typed.replace(/(?<=^|`|&& )ambientd (?=-|[a-z])/g, () => `${ambientd} `) : typed;
}

/** Root of the checkout, or the folder of the bundle, that this code was loaded from; without a trailing slash. */
export const CHECKOUT: string = new URL(import.meta.url.endsWith("/src/core/self.ts") ? "../.." : ".", import.meta.url)
  .pathname.replace(/\/$/, "");
