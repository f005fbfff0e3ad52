import { TypeTables } from "./notation.ts";
import type { Schema } from "./schema.ts";
import { APPS_TYPES } from "./tables/apps.ts";
import { AUTH_TYPES } from "./tables/auth.ts";
import { CORE_TYPES } from "./tables/core.ts";
import { META_TYPES } from "./tables/meta.ts";
import { NETWORK_TYPES } from "./tables/network.ts";
import { SYSTEM_TYPES } from "./tables/system.ts";

const tables = new TypeTables([META_TYPES, CORE_TYPES, APPS_TYPES, NETWORK_TYPES, AUTH_TYPES, SYSTEM_TYPES]);

/** Schema of a built-in type by group alias and name, e.g. `core.Pod`, `apps.Deployment`, `meta.ObjectMeta`. */
export function builtinSchema(name: string): Schema {
  return tables.get(name);
}
