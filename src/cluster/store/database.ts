import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { MeshError } from "../../core/errors.ts";

/** One object as a row: `type` is `group/plural`, `namespace` is "" for cluster-scoped objects. */
export interface StoredRow {
  type: string;
  namespace: string;
  name: string;
  revision: number;
  data: string;
}

export type DatabaseErrorCode = "STATE_CORRUPT" | "STATE_UNUSABLE" | "STATE_VERSION";

const SCHEMA_VERSION = 1;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
  type TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  revision INTEGER NOT NULL, data TEXT NOT NULL,
  PRIMARY KEY (type, namespace, name)
) WITHOUT ROWID;`;

/** What a person can do about a state file that cannot be used. */
function advice(path: string): string {
  return `restore the file from a copy, remove it (with "${path}-wal" and "${path}-shm") to start with an empty cluster, ` +
    `or choose another place with --data-dir`;
}

/**
 * The cluster's state on disk: SQLite in WAL mode, one row per object. Writes arrive in batches, each one transaction;
 * with `synchronous=NORMAL` a batch survives the death of the process, and a power cut leaves an older consistent state.
 *
 * @throws {MeshError} `STATE_CORRUPT`, `STATE_VERSION` or `STATE_UNUSABLE`, naming the file and what to do
 */
export class StateDatabase {
  readonly path: string;
  readonly #db: DatabaseSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #setMeta: StatementSync;

  constructor(path: string) {
    this.path = path;
    let opened: DatabaseSync | undefined;
    try {
      if (path !== ":memory:") mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      opened = new DatabaseSync(path);
      opened.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=2000;");
      const check = opened.prepare("PRAGMA quick_check(1)").get() as Record<string, unknown>;
      if (Object.values(check)[0] !== "ok") throw new Error(String(Object.values(check)[0]));
      opened.exec(SCHEMA);
      this.#db = opened;
      this.#put = opened.prepare(
        "INSERT OR REPLACE INTO objects (type, namespace, name, revision, data) VALUES (?, ?, ?, ?, ?)",
      );
      this.#remove = opened.prepare("DELETE FROM objects WHERE type = ? AND namespace = ? AND name = ?");
      this.#setMeta = opened.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)");
    } catch (cause) {
      try {
        opened?.close();
      } catch {
        // It never opened.
      }
      throw describeOpenFailure(path, cause);
    }
    const version = this.meta("schema");
    if (version === undefined) this.#setMeta.run("schema", String(SCHEMA_VERSION));
    else if (Number(version) !== SCHEMA_VERSION) {
      this.#db.close();
      throw new MeshError<DatabaseErrorCode>(
        "STATE_VERSION",
        `the cluster state in "${path}" has layout ${version}, this program knows ${SCHEMA_VERSION}: ${advice(path)}`,
      );
    }
  }

  meta(key: string): string | undefined {
    const row = this.#db.prepare("SELECT value FROM meta WHERE key = ?").get(key) as { value: string } | undefined;
    return row?.value;
  }

  /** Every stored object, by type, namespace and name. */
  rows(): StoredRow[] {
    try {
      return this.#db.prepare("SELECT type, namespace, name, revision, data FROM objects")
        .all() as unknown as StoredRow[];
    } catch (cause) {
      throw describeOpenFailure(this.path, cause);
    }
  }

  /** Writes a batch and the revision it brings the store to, all or nothing. */
  commit(revision: number, puts: Iterable<StoredRow>, removals: Iterable<Omit<StoredRow, "data" | "revision">>): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      for (const row of puts) this.#put.run(row.type, row.namespace, row.name, row.revision, row.data);
      for (const row of removals) this.#remove.run(row.type, row.namespace, row.name);
      this.#setMeta.run("revision", String(revision));
      this.#db.exec("COMMIT");
    } catch (cause) {
      this.#db.exec("ROLLBACK");
      throw cause;
    }
  }

  close(): void {
    this.#db.close();
  }
}

function describeOpenFailure(path: string, cause: unknown): MeshError<DatabaseErrorCode> {
  const text = cause instanceof Error ? cause.message : String(cause);
  const corrupt = /malformed|not a database|corrupt|\*\*\*|page|row .* missing/i.test(text);
  return new MeshError<DatabaseErrorCode>(
    corrupt ? "STATE_CORRUPT" : "STATE_UNUSABLE",
    corrupt
      ? `the cluster state in "${path}" is damaged (${text}): ${advice(path)}`
      : `cannot open the cluster state in "${path}" (${text}): check that the directory is writable, or ${
        advice(path)
      }`,
    { cause },
  );
}
