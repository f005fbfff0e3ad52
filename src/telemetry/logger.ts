import { stdoutSink } from "./stdout_sink.ts";

/** Levels of ztunnel and istiod, most verbose first. */
export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "off"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

/** Fields of a log line: absent values are left out; bare values (numbers, addresses) are marked with {@linkcode bare}. */
export type LogFields = Record<string, unknown>;

class Bare {
  constructor(readonly text: string) {}
  toJSON(): string {
    return this.text;
  }
}

/** A value that the text layout prints without quotes, such as an address. */
export function bare(text: string): unknown {
  return new Bare(text);
}

const RANK: Record<LogLevel, number> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4, off: 5 };
/** Above every level: nothing is logged. */
const SILENT = 6;

/** Per-scope levels, changeable while running (`POST /logging?level=scope:level`). */
export class LogLevels {
  #default: LogLevel;
  readonly #initial: LogLevel;
  readonly #scopes = new Map<string, LogLevel>();
  /** Grows with every change: whoever remembers an answer knows when to ask again. */
  version = 0;

  constructor(level: LogLevel = "info") {
    this.#default = this.#initial = level;
  }

  enabled(scope: string, level: LogLevel): boolean {
    return RANK[level] >= this.threshold(scope);
  }

  /** The rank from which on a scope logs. */
  threshold(scope: string): number {
    const level = this.#scopes.get(scope) ?? this.#default;
    return level === "off" ? SILENT : RANK[level];
  }

  /**
   * Applies `debug`, or `scope=level,scope:level,…`.
   *
   * @returns what was wrong with the text, or undefined when it was applied
   */
  apply(directives: string): string | undefined {
    const changes: [string | undefined, LogLevel][] = [];
    for (const directive of directives.split(",").map((part) => part.trim()).filter((part) => part !== "")) {
      const cut = directive.search(/[=:](?=[^=:]*$)/);
      const name = (cut < 0 ? directive : directive.slice(cut + 1)).toLowerCase();
      const level = ({ warning: "warn", critical: "error" } as Record<string, LogLevel>)[name] ?? name;
      if (!LOG_LEVELS.includes(level as LogLevel)) return `"${name}" is not a log level (${LOG_LEVELS.join(", ")})`;
      changes.push([cut < 0 ? undefined : directive.slice(0, cut), level as LogLevel]);
    }
    this.version++;
    for (const [scope, level] of changes) {
      if (scope === undefined) this.#default = level;
      else this.#scopes.set(scope, level);
    }
    return undefined;
  }

  reset(): void {
    this.version++;
    this.#default = this.#initial;
    this.#scopes.clear();
  }

  toString(): string {
    return [this.#default, ...[...this.#scopes].map(([scope, level]) => `${scope}=${level}`)].join(",");
  }
}

/** Where lines go and how they look. */
export interface LogSink {
  write(line: string): void;
}

export interface LoggerOptions {
  levels?: LogLevels;
  sink?: LogSink;
  json?: boolean;
  now?: () => Date;
}

/**
 * Structured logger of one scope. The text layout is ztunnel's: RFC 3339 time in UTC with microseconds, TAB, level, TAB,
 * scope, TAB, message, TAB, `key=value` fields with strings quoted. JSON carries `level`, `time`, `scope`, `message` and
 * the fields. Callers never pass secrets.
 */
export class Logger {
  readonly scope: string;
  readonly levels: LogLevels;
  readonly #options: LoggerOptions;
  readonly #sink: LogSink;
  #threshold = SILENT;
  /** Of the levels from which the threshold was taken. */
  #version = -1;

  constructor(scope: string, options: LoggerOptions = {}) {
    this.scope = scope;
    this.levels = options.levels ?? new LogLevels();
    this.#options = options;
    this.#sink = options.sink ?? stdoutSink;
  }

  /** A logger of another scope that shares levels, sink and layout. */
  child(scope: string): Logger {
    return new Logger(scope, { ...this.#options, levels: this.levels });
  }

  enabled(level: LogLevel): boolean {
    if (this.#version !== this.levels.version) {
      this.#version = this.levels.version;
      this.#threshold = this.levels.threshold(this.scope);
    }
    return RANK[level] >= this.#threshold;
  }

  /** Whether lines are JSON objects: {@linkcode text} is for the other layout. */
  get json(): boolean {
    return this.#options.json === true;
  }

  log(level: LogLevel, message: string, fields?: LogFields): void {
    if (!this.enabled(level)) return;
    if (!this.json) return this.text(level, message, fields ? formatFields(fields) : "");
    this.#sink.write(JSON.stringify({ level, time: this.#time(), scope: this.scope, message, ...fields }));
  }

  /**
   * Writes a line whose fields are text already, for those that log thousands of lines with mostly the same fields: made by
   * {@linkcode formatFields}, or of bytes that cannot break the line.
   */
  text(level: LogLevel, message: string, fields: string): void {
    if (!this.enabled(level)) return;
    const tail = fields === "" ? "" : "\t" + fields;
    this.#sink.write(`${this.#time()}\t${level}\t${this.scope}\t${escapeControls(message)}${tail}`);
  }

  #time(): string {
    const now = this.#options.now;
    return now ? timeText(now().getTime()) : timeText(Date.now());
  }

  trace(message: string, fields?: LogFields): void {
    this.log("trace", message, fields);
  }
  debug(message: string, fields?: LogFields): void {
    this.log("debug", message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.log("info", message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.log("warn", message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.log("error", message, fields);
  }
}

let lastMs = NaN, lastText = "";

/** RFC 3339 in UTC with microseconds. Many lines are of the same millisecond. */
function timeText(ms: number): string {
  if (ms !== lastMs) {
    lastMs = ms;
    lastText = new Date(ms).toISOString().replace("Z", "000Z");
  }
  return lastText;
}

/** Fields as the text layout shows them: `key=value key="value"`, absent ones left out. */
export function formatFields(fields: LogFields): string {
  const parts: string[] = [];
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined || value === null) continue;
    if (value instanceof Bare) parts.push(`${key}=${escapeControls(value.text)}`);
    else if (typeof value === "string") parts.push(`${key}=${JSON.stringify(value)}`);
    else if (typeof value === "object") parts.push(`${key}=${JSON.stringify(value)}`);
    else parts.push(`${key}=${String(value)}`);
  }
  return parts.join(" ");
}

/** Keeps one record on one line whatever a peer put into it. */
export function escapeControls(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x20 && code !== 0x7f) continue;
    return escapeEach(text);
  }
  return text;
}

function escapeEach(text: string): string {
  return [...text].map((c) => {
    const code = c.charCodeAt(0);
    if (code >= 0x20 && code !== 0x7f) return c;
    return c === "\n" ? "\\n" : `\\x${code.toString(16).padStart(2, "0")}`;
  }).join("");
}
