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

/** Per-scope levels, changeable while running (`POST /logging?level=scope:level`). */
export class LogLevels {
  #default: LogLevel;
  readonly #initial: LogLevel;
  readonly #scopes = new Map<string, LogLevel>();

  constructor(level: LogLevel = "info") {
    this.#default = this.#initial = level;
  }

  enabled(scope: string, level: LogLevel): boolean {
    const threshold = this.#scopes.get(scope) ?? this.#default;
    return LOG_LEVELS.indexOf(level) >= LOG_LEVELS.indexOf(threshold) && threshold !== "off";
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
    for (const [scope, level] of changes) {
      if (scope === undefined) this.#default = level;
      else this.#scopes.set(scope, level);
    }
    return undefined;
  }

  reset(): void {
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

/** Batches lines and writes them to stdout at the end of the event-loop turn, or sooner when much has gathered. */
class StdoutSink implements LogSink {
  #lines: string[] = [];
  #scheduled = false;
  readonly #encoder = new TextEncoder();

  write(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length >= 256) return this.flush();
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => this.flush());
    }
  }

  flush(): void {
    this.#scheduled = false;
    if (this.#lines.length === 0) return;
    const bytes = this.#encoder.encode(this.#lines.join("\n") + "\n");
    this.#lines = [];
    try {
      for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
    } catch {
      // A closed stdout must not end a proxy.
    }
  }
}

const stdoutSink = new StdoutSink();

/**
 * Structured logger of one scope. The text layout is ztunnel's: RFC 3339 time in UTC with microseconds, TAB, level, TAB,
 * scope, TAB, message, TAB, `key=value` fields with strings quoted. JSON carries `level`, `time`, `scope`, `message` and
 * the fields. Callers never pass secrets.
 */
export class Logger {
  readonly scope: string;
  readonly levels: LogLevels;
  readonly #options: LoggerOptions;

  constructor(scope: string, options: LoggerOptions = {}) {
    this.scope = scope;
    this.levels = options.levels ?? new LogLevels();
    this.#options = options;
  }

  /** A logger of another scope that shares levels, sink and layout. */
  child(scope: string): Logger {
    return new Logger(scope, { ...this.#options, levels: this.levels });
  }

  enabled(level: LogLevel): boolean {
    return this.levels.enabled(this.scope, level);
  }

  log(level: LogLevel, message: string, fields?: LogFields): void {
    if (!this.enabled(level)) return;
    const time = (this.#options.now?.() ?? new Date()).toISOString().replace("Z", "000Z");
    const sink = this.#options.sink ?? stdoutSink;
    if (this.#options.json) {
      sink.write(JSON.stringify({ level, time, scope: this.scope, message, ...fields }));
      return;
    }
    const tail = fields ? formatFields(fields) : "";
    sink.write(`${time}\t${level}\t${this.scope}\t${escapeControls(message)}${tail === "" ? "" : "\t" + tail}`);
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

function formatFields(fields: LogFields): string {
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
function escapeControls(text: string): string {
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
