import { UsageError } from "../core/usage.ts";
import { PROGRAMS } from "../cluster/programs/mod.ts";

/** `ambientd sample <name>`: a program that stands in for an image of the samples; runs until SIGTERM or SIGINT. */
export async function run([name, ...args]: string[]): Promise<number> {
  if (name === undefined || !Object.hasOwn(PROGRAMS, name)) {
    throw new UsageError(`unknown sample "${name ?? ""}"; there are ${Object.keys(PROGRAMS).join(", ")}`);
  }
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) Deno.addSignalListener(signal, () => stop.abort());
  const program = await PROGRAMS[name]();
  return await program({ args, env: (key) => Deno.env.get(key), signal: stop.signal });
}
