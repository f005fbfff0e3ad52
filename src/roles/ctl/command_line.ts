import type { Command, Option } from "commander";
import { UsageError } from "../../core/usage.ts";

/** What Go's strconv.ParseBool takes. */
const BOOLEANS: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...["1", "t", "T", "true", "TRUE", "True"].map((text) => [text, true]),
  ...["0", "f", "F", "false", "FALSE", "False"].map((text) => [text, false]),
]);

/**
 * Reads a command line by the rules of pflag and cobra, which istioctl is written with, and says the same for Commander:
 *
 * - `-n=x` and `-nx` are `-n x`; `-yr=x` are three;
 * - a switch takes a value only after "=": `--wait=false`, `-w=0`; what follows a bare one is an argument;
 * - flags of a command may stand before its name (`pc -o json listener x`), and `help a b` is `a b --help`;
 * - a group without a sub-command prints its help.
 *
 * @returns names of commands, flags as `--name=value`, then arguments; what is unknown stays for Commander to name
 * @throws UsageError
 */
export function normalizeArgs(program: Command, args: readonly string[]): string[] {
  const path: string[] = [], flags: Flag[] = [], unknown: string[] = [], operands: string[] = [];
  let command = program, help = false, ended = false;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (ended || arg === "-" || !arg.startsWith("-")) {
      if (!ended && /^[\u2010-\u2015\u2212]/.test(arg)) throw typographic(arg);
      const next = ended || operands.length > 0 ? undefined : subCommand(command, arg);
      if (next) {
        path.push(next.name());
        command = next;
      } else if (!ended && arg === "help" && command === program && path.length === 0) help = true;
      else operands.push(arg);
    } else if (arg === "--") ended = true;
    else if (arg === "--help" || arg === "-h") help = true;
    else {
      const read = arg.startsWith("--") ? longFlag(command, arg) : shortFlags(command, arg);
      if (!read) unknown.push(arg);
      else {
        const last = read.at(-1)!;
        // A flag that needs a value and has none takes the next word, whatever that is.
        if (last.value === undefined && last.option.required) {
          if (i + 1 === args.length) throw new UsageError(`option '${last.option.flags}' argument missing`);
          last.value = args[++i];
        }
        flags.push(...read);
      }
    }
  }
  const group = command.commands.length > 0 && operands.length === 0 && unknown.length === 0;
  return [
    ...path,
    ...written(flags),
    ...unknown,
    // Of a word that is no command there is no help: Commander says so.
    ...(group || help && !(command.commands.length > 0 && operands.length > 0) ? ["--help"] : []),
    ...(ended ? ["--"] : []),
    ...operands,
  ];
}

interface Flag {
  readonly option: Option;
  /** Undefined where none was given. */
  value: string | undefined;
}

function subCommand(command: Command, name: string): Command | undefined {
  return command.commands.find((one) => one.name() === name || one.aliases().includes(name));
}

/** The flag as a command knows it: its own, its parents', or, where a sub-command is still to come, one of theirs. */
function findOption(command: Command, matches: (option: Option) => boolean): Option | undefined {
  for (let at: Command | null = command; at; at = at.parent) {
    const found = at.options.find(matches);
    if (found) return found;
  }
  return below(command, matches);
}

function below(command: Command, matches: (option: Option) => boolean): Option | undefined {
  for (const child of command.commands) {
    const found = child.options.find(matches) ?? below(child, matches);
    if (found) return found;
  }
  return undefined;
}

function longFlag(command: Command, arg: string): Flag[] | undefined {
  const equals = arg.indexOf("=");
  const name = equals < 0 ? arg : arg.slice(0, equals);
  const option = findOption(command, ({ long }) => long === name);
  return option && [{ option, value: equals < 0 ? undefined : arg.slice(equals + 1) }];
}

/** `-abc`, `-ofile`, `-o=file`; undefined when one of them is unknown. */
function shortFlags(command: Command, arg: string): Flag[] | undefined {
  const flags: Flag[] = [];
  for (let i = 1; i < arg.length; i++) {
    const option = findOption(command, ({ short }) => short === `-${arg[i]}`);
    if (!option) return undefined;
    const rest = arg.slice(i + 1);
    if (rest.startsWith("=")) return [...flags, { option, value: rest.slice(1) }];
    if (option.required && rest !== "") return [...flags, { option, value: rest }];
    flags.push({ option, value: undefined });
  }
  return flags;
}

/** Flags in Commander's spelling; of a switch, the last one counts. */
function written(flags: readonly Flag[]): string[] {
  const result: string[] = [];
  const switches = new Map<string, boolean>();
  for (const { option, value } of flags) {
    const { long, required, optional } = option;
    if (required) {
      result.push(`${long}=${value}`);
      continue;
    }
    const on = value === undefined ? true : BOOLEANS[value];
    if (on === undefined) throw new UsageError(`${long} must be true or false, not "${value}"`);
    if (optional) result.push(`${long}=${on}`);
    else switches.set(long!, on);
  }
  return [...result, ...[...switches].flatMap(([long, on]) => on ? [long] : [])];
}

/** A flag copied from a text that was typeset. */
function typographic(arg: string): UsageError {
  const name = arg.replace(/^[-\u2010-\u2015\u2212]+/, "");
  const flag = /^\p{L}(=|$)/u.test(name) ? `-${name}` : `--${name}`;
  return new UsageError(`"${arg}" begins with a typographic dash; type "${flag}"`);
}
