import { describeError } from "../../core/errors.ts";
import { CommandError } from "../../core/usage.ts";
import type { EnvLookup } from "../../core/config.ts";

/** Finds the default of a global flag, or undefined. */
export type FlagDefaults = (flag: string) => string | undefined;

/**
 * Defaults of global flags as istioctl has them: `ISTIOCTL_<FLAG>` with dashes as underscores, then
 * `$HOME/.istioctl/config.yaml` (or the file in $ISTIOCONFIG).
 *
 * @throws CommandError when the file is there and is not a map
 */
export async function flagDefaults(env: EnvLookup): Promise<FlagDefaults> {
  const file = await readConfigFile(env("ISTIOCONFIG") ?? `${env("HOME") ?? ""}/.istioctl/config.yaml`);
  return (flag) => {
    const value = env(`ISTIOCTL_${flag.toUpperCase().replaceAll("-", "_")}`) || file[flag.toLowerCase()];
    return value === undefined ? undefined : String(value);
  };
}

async function readConfigFile(path: string): Promise<Record<string, unknown>> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch {
    return {};
  }
  const { parse } = await import("yaml");
  try {
    const config = parse(text) ?? {};
    if (typeof config !== "object" || Array.isArray(config)) throw new Error("it is not a map");
    return Object.fromEntries(Object.entries(config).map(([key, value]) => [key.toLowerCase(), value]));
  } catch (cause) {
    throw new CommandError(`cannot read "${path}": ${describeError(cause)}`);
  }
}
