import type { KubeObject } from "../../contracts.ts";
import type { PrinterColumn, ResourceType, TypeVersion } from "../types.ts";
import { BUILTIN_TABLES } from "./builtin.ts";
import { age, since } from "./cells.ts";
import { readJsonPath } from "./json_path.ts";

/** A `metav1.TableColumnDefinition`. */
export interface TableColumn {
  name: string;
  type: string;
  format: string;
  description: string;
  priority: number;
}

const DEFAULT_COLUMNS: PrinterColumn[] = [{ name: "Age", type: "date", jsonPath: ".metadata.creationTimestamp" }];

function customColumns(version: TypeVersion): PrinterColumn[] {
  return version.columns?.length ? version.columns : DEFAULT_COLUMNS;
}

/** The columns of a type's table. */
export function columnsOf(type: ResourceType, version: TypeVersion): TableColumn[] {
  const builtin = BUILTIN_TABLES[type.key];
  if (builtin) {
    return builtin.columns.split("|").map((text) => {
      const wide = text.startsWith("*");
      const marked = wide ? text.slice(1) : text;
      const kind = marked.startsWith("#") ? "integer" : marked.startsWith("?") ? "boolean" : "string";
      const name = kind === "string" ? marked : marked.slice(1);
      return { name, type: kind, format: name === "Name" ? "name" : "", description: "", priority: wide ? 1 : 0 };
    });
  }
  const custom = type.crd ? customColumns(version) : DEFAULT_COLUMNS;
  return [
    { name: "Name", type: "string", format: "name", description: "", priority: 0 },
    ...custom.map(({ name, type: kind, format = "", description = "", priority = 0 }) => ({
      name,
      type: kind,
      format,
      description,
      priority,
    })),
  ];
}

/** The cells of one object's row. */
export function rowCells(type: ResourceType, version: TypeVersion, object: KubeObject, now: number): unknown[] {
  const builtin = BUILTIN_TABLES[type.key];
  if (builtin) return builtin.cells(object, now);
  if (!type.crd) return [object.metadata.name, age(object, now)];
  return [object.metadata.name, ...customColumns(version).map((column) => customCell(column, object, now))];
}

function customCell(column: PrinterColumn, object: KubeObject, now: number): unknown {
  const found = readJsonPath(object, column.jsonPath);
  if (found.length === 0) return null;
  // Of several values, as of `.status.addresses[*].value`, Kubernetes prints the first.
  const [value] = found;
  switch (column.type) {
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    case "date":
      return typeof value === "string" ? since(value, now) : "<invalid>";
    default:
      return text(value);
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
