import { parseDurationMs } from "./duration.ts";
import { describeError, MeshError } from "./errors.ts";

/** Reads one environment variable; passed in so that nothing reads the process environment behind a caller's back. */
export type EnvLookup = (name: string) => string | undefined;

type Kind = "string" | "integer" | "boolean" | "duration" | "list";
type Value<K extends Kind> = K extends "string" ? string
  : K extends "integer" | "duration" ? number
  : K extends "boolean" ? boolean
  : string[];

/** One setting: its environment name as Istio spells it, kind, default (in the parsed form) and one-line reason. */
export interface Setting<K extends Kind = Kind> {
  env: string | readonly string[];
  kind: K;
  default: Value<K>;
  doc: string;
}

/** Declares one setting with its types kept. Durations are milliseconds once parsed. */
export function setting<K extends Kind>(
  env: string | readonly string[],
  kind: K,
  defaultValue: Value<K>,
  doc: string,
): Setting<K> {
  return { env, kind, default: defaultValue, doc };
}

/** A table of settings as a role's `--help` lists them: names, reason, default. */
export function environmentHelp(table: Record<string, Setting<any>>): string {
  return Object.values(table).map(({ env, doc, default: value }) => {
    const names = typeof env === "string" ? env : env.join(", ");
    return `  ${names}\n      ${doc}${String(value) === "" ? "" : ` (default ${JSON.stringify(value)})`}`;
  }).join("\n");
}

/** The frozen configuration that a table of settings describes. */
export type ConfigOf<T extends Record<string, Setting>> = { readonly [P in keyof T]: Value<T[P]["kind"]> };

/**
 * Reads every setting of `table` and reports all the bad values at once. An empty variable counts as unset.
 *
 * @throws MeshError `invalid_config`
 */
export function readConfig<T extends Record<string, Setting<any>>>(table: T, env: EnvLookup): ConfigOf<T> {
  const config: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [field, { env: names, kind, default: fallback }] of Object.entries(table)) {
    const name = (typeof names === "string" ? [names] : names).find((candidate) => (env(candidate) ?? "") !== "");
    if (name === undefined) {
      config[field] = fallback;
      continue;
    }
    const text = env(name)!;
    try {
      config[field] = parse(kind, text);
    } catch (cause) {
      problems.push(`${name}="${text}": ${describeError(cause)}`);
    }
  }
  if (problems.length > 0) {
    throw new MeshError("invalid_config", `cannot read the configuration from the environment: ${problems.join("; ")}`);
  }
  return Object.freeze(config) as ConfigOf<T>;
}

function parse(kind: Kind, text: string): unknown {
  switch (kind) {
    case "string":
      return text;
    case "list":
      return text.split(",").map((item) => item.trim()).filter((item) => item !== "");
    case "integer":
      if (!/^-?\d+$/.test(text)) throw new Error("want a whole number");
      return Number(text);
    case "boolean":
      if (/^(1|t|true)$/i.test(text)) return true;
      if (/^(0|f|false)$/i.test(text)) return false;
      throw new Error("want true or false");
    case "duration":
      return parseDurationMs(text);
  }
}
