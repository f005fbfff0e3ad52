import { type Command, InvalidArgumentError, Option } from "commander";
import { parseDurationMs } from "../../core/duration.ts";
import { asTyped } from "../../core/self.ts";
import { UsageError } from "../../core/usage.ts";
import { CtlContext, type GlobalFlags, type Streams } from "./context.ts";

/** Runs a command with its arguments and its own flags; resolves to the exit code. */
export type Handler = (context: CtlContext, args: string[], flags: any) => Promise<number>;

/** A flag that may be repeated. */
export const collect = (value: string, previous: string[] | undefined): string[] => [...(previous ?? []), value];

/** The same, where one flag may also hold several, with commas between. */
export const collectList = (value: string, previous: string[] | undefined): string[] => [
  ...(previous ?? []),
  ...value.split(","),
];

/** The value of a `[bool]` flag, as {@linkcode normalizeArgs} writes it. */
export const bool = (value: string): boolean => value === "true";

/** Adds commands that share streams, errors and the way in which they are run. */
export class ProgramBuilder {
  readonly program: Command;
  readonly #streams: Streams;
  readonly #setCode: (code: number) => void;

  constructor(program: Command, streams: Streams, setCode: (code: number) => void) {
    this.#streams = streams;
    this.#setCode = setCode;
    this.program = this.#configure(program);
  }

  /** A command below `parent`. */
  add(parent: Command, name: string, description: string, ...aliases: string[]): Command {
    const command = this.#configure(parent.command(name).description(description), `${pathOf(parent)} ${name}`);
    for (const alias of aliases) command.alias(alias);
    return command;
  }

  /** Gives a command what it does. */
  on(command: Command, handler: Handler): Command {
    return command.action(async (...received: unknown[]) => {
      const self = received.at(-1) as Command;
      this.#setCode(await handler(this.#context(), self.args, self.opts()));
    });
  }

  #context(): CtlContext {
    const { kubeclientTimeout, ...global } = this.program.opts();
    const timeout = parseDurationMs(kubeclientTimeout);
    if (!(timeout > 0)) throw new UsageError(`--kubeclient-timeout must be above zero, not "${kubeclientTimeout}"`);
    // An empty value is none, as in kubectl.
    const given = Object.entries(global).filter(([, value]) => value !== "");
    const istioNamespace = global.istioNamespace || "istio-system";
    return new CtlContext(
      { ...Object.fromEntries(given), istioNamespace, kubeclientTimeout: timeout } as unknown as GlobalFlags,
      this.#streams,
    );
  }

  /** Errors are thrown instead of ending the process, and all text goes to the given streams. */
  #configure(command: Command, path = command.name()): Command {
    return command
      .exitOverride()
      .configureOutput({
        writeOut: (text) => this.#streams.out(asTyped(text)),
        writeErr: (text) => this.#streams.err(asTyped(text)),
        outputError: (text, write) => write(text.replace(/^error: /, "Error: ")),
      })
      .configureHelp({ showGlobalOptions: true })
      .showSuggestionAfterError(true)
      .showHelpAfterError(`Run \`${path} --help\` for its usage.`)
      .helpOption("-h, --help", "Print this")
      .helpCommand(false);
  }
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
}

/** Shows commands as they are typed, below a command's help. */
export function examples(command: Command, ...lines: string[]): Command {
  return command.addHelpText("after", `\nExamples:\n${lines.map((line) => `  ambientd ctl ${line}`).join("\n")}`);
}

/** The value of a flag that takes a duration; it stays text. */
export function duration(value: string): string {
  try {
    parseDurationMs(value);
  } catch {
    throw new InvalidArgumentError("Write it like 10s, 1m30s or 250ms.");
  }
  return value;
}

/** The value of a flag that takes a whole number between bounds; it stays text. */
export const integer = (min: number, max: number) => (value: string): string => {
  if (!/^-?\d{1,9}$/.test(value) || Number(value) < min || Number(value) > max) {
    throw new InvalidArgumentError(`It has to be a whole number from ${min} to ${max}.`);
  }
  return value;
};

/** A flag that only some of istioctl's users still type: taken, not shown. */
export function hidden(flags: string, description = ""): Option {
  return new Option(flags, description).hideHelp();
}
