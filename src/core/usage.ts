import { MeshError } from "./errors.ts";

/** Exit code of a command that was typed wrongly, as istioctl's (EX_USAGE). */
export const EXIT_USAGE = 64;

/** Exit code when nobody reads the output any more, as shells report of a program that SIGPIPE ended. */
export const EXIT_PIPE = 141;

/** A command was typed wrongly; printed to stderr with exit code 64. */
export class UsageError extends MeshError<"usage"> {
  constructor(message: string) {
    super("usage", message, { source: "downstream" });
    this.name = "UsageError";
  }
}

/** A command failed in a way it has explained; printed to stderr, then the process ends with `exitCode`. */
export class CommandError extends MeshError<"command"> {
  readonly exitCode: number;
  constructor(message: string, exitCode = 1, cause?: unknown) {
    super("command", message, { cause });
    this.name = "CommandError";
    this.exitCode = exitCode;
  }
}
