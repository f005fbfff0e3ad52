import { MeshError } from "../../../core/errors.ts";

const NICKNAMES: Record<string, string> = {
  "@yearly": "0 0 1 1 *",
  "@annually": "0 0 1 1 *",
  "@monthly": "0 0 1 * *",
  "@weekly": "0 0 * * 0",
  "@daily": "0 0 * * *",
  "@midnight": "0 0 * * *",
  "@hourly": "0 * * * *",
};
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MINUTE_MS = 60_000;
/** A schedule such as 30 February never comes; nobody waits longer than this for one that does. */
const HORIZON_MINUTES = 5 * 366 * 24 * 60;

/** When a CronJob runs: five fields, or a nickname such as `@hourly`, or `@every 10m`, in a time zone. */
export interface Schedule {
  /** The first time after `afterMs`, or undefined when there is none within five years. */
  next(afterMs: number): number | undefined;
}

/** @throws MeshError `invalid_schedule` naming the part that cannot be read */
export function parseSchedule(text: string, timeZone = "UTC"): Schedule {
  const trimmed = text.trim();
  const every = /^@every (\d+)(h|m|s)$/.exec(trimmed);
  if (every) {
    const ms = Number(every[1]) * { h: 3_600_000, m: 60_000, s: 1000 }[every[2] as "h" | "m" | "s"];
    if (ms <= 0) throw invalid(text, `"${trimmed}" never passes`);
    return { next: (afterMs) => Math.floor(afterMs / 1000) * 1000 + ms };
  }
  const fields = (NICKNAMES[trimmed.toLowerCase()] ?? trimmed).split(/\s+/);
  if (fields.length !== 5) throw invalid(text, `it has ${fields.length} fields in place of 5`);
  const [minutes, hours, days, months, weekdays] = [
    parseField(text, fields[0], 0, 59),
    parseField(text, fields[1], 0, 23),
    parseField(text, fields[2], 1, 31),
    parseField(text, fields[3], 1, 12, MONTHS, 1),
    parseField(text, fields[4], 0, 7, DAYS, 0),
  ];
  if (weekdays.has(7)) weekdays.add(0);
  // As in cron: when both days are restricted either will do.
  const anyDay = fields[2].startsWith("*") || fields[2] === "?";
  const anyWeekday = fields[4].startsWith("*") || fields[4] === "?";
  const local = localTime(text, timeZone);
  return {
    next(afterMs) {
      let at = Math.floor(afterMs / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
      for (let steps = 0; steps < HORIZON_MINUTES;) {
        const time = local(at);
        const dayMatches = days.has(time.day);
        const weekdayMatches = weekdays.has(time.weekday);
        const today = anyDay || anyWeekday ? dayMatches && weekdayMatches : dayMatches || weekdayMatches;
        let skip = 0;
        if (!months.has(time.month) || !today) skip = (24 - time.hour) * 60 - time.minute;
        else if (!hours.has(time.hour)) skip = 60 - time.minute;
        else if (!minutes.has(time.minute)) skip = 1;
        if (skip === 0) return at;
        // A day that changes its length must not be jumped over: the last hour of a day is walked in small steps.
        if (skip > 180) skip -= 120;
        at += skip * MINUTE_MS;
        steps += skip;
      }
      return undefined;
    },
  };
}

interface LocalTime {
  minute: number;
  hour: number;
  day: number;
  month: number;
  weekday: number;
}

function localTime(schedule: string, timeZone: string): (ms: number) => LocalTime {
  if (timeZone === "UTC" || timeZone === "Etc/UTC") {
    return (ms) => {
      const date = new Date(ms);
      return {
        minute: date.getUTCMinutes(),
        hour: date.getUTCHours(),
        day: date.getUTCDate(),
        month: date.getUTCMonth() + 1,
        weekday: date.getUTCDay(),
      };
    };
  }
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      minute: "numeric",
      hour: "numeric",
      day: "numeric",
      month: "numeric",
      weekday: "short",
    });
  } catch {
    throw invalid(schedule, `"${timeZone}" is not a time zone`);
  }
  return (ms) => {
    const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    return {
      minute: Number(parts.minute),
      hour: Number(parts.hour),
      day: Number(parts.day),
      month: Number(parts.month),
      weekday: DAYS.indexOf(parts.weekday.toLowerCase()),
    };
  };
}

function parseField(
  schedule: string,
  text: string,
  low: number,
  high: number,
  names: string[] = [],
  base = 0,
): Set<number> {
  const values = new Set<number>();
  const number = (part: string): number => {
    const named = names.indexOf(part.toLowerCase());
    const value = named >= 0 ? named + base : /^\d+$/.test(part) ? Number(part) : NaN;
    if (!(value >= low && value <= high)) throw invalid(schedule, `"${part}" is not between ${low} and ${high}`);
    return value;
  };
  for (const part of text.split(",")) {
    const [range, stepText, ...rest] = part.split("/");
    const step = stepText === undefined ? 1 : Number(stepText);
    if (rest.length > 0 || !Number.isSafeInteger(step) || step < 1 || !/^\d*$/.test(stepText ?? "")) {
      throw invalid(schedule, `"${part}" has a step that is not a positive number`);
    }
    const [from, to, ...more] = range.split("-");
    const any = range === "*" || range === "?";
    const first = any ? low : number(from);
    const last = any
      ? Math.min(high, low === 0 && high === 7 ? 6 : high)
      : to !== undefined
      ? number(to)
      : stepText
      ? high
      : first;
    if (more.length > 0 || last < first) throw invalid(schedule, `"${range}" is not a range`);
    for (let value = first; value <= last; value += step) values.add(value);
  }
  return values;
}

function invalid(schedule: string, why: string): MeshError {
  return new MeshError("invalid_schedule", `cannot read the schedule "${schedule}": ${why}`);
}
